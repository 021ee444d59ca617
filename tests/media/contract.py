"""What every implementation of the port ``Media`` does; ``test_<tech>.py`` runs it."""

import asyncio

import pytest

from salon.media.ports import Media, MissingMediaError


class MediaContract:
    """Subclasses give a fixture ``media``."""

    async def test_what_was_put_is_opened_again(self, media: Media) -> None:
        key = await media.put(b"\x89PNG...", mime="image/png")

        assert await media.open(key) == b"\x89PNG..."

    async def test_the_same_bytes_twice_are_two_objects(self, media: Media) -> None:
        first = await media.put(b"same", mime="image/png")
        second = await media.put(b"same", mime="image/png")
        await media.delete(first)

        assert await media.open(second) == b"same"

    async def test_keys_are_unguessable_and_end_by_their_kind(
        self, media: Media
    ) -> None:
        keys = [await media.put(b"x", mime="image/webp") for _ in range(20)]

        assert len(set(keys)) == 20
        assert all(len(key) >= 32 and key.endswith(".webp") for key in keys)

    async def test_what_was_deleted_is_missing(self, media: Media) -> None:
        key = await media.put(b"gone", mime="image/png")
        await media.delete(key)
        await media.delete(key)  # twice is no error

        with pytest.raises(MissingMediaError):
            await media.open(key)

    @pytest.mark.parametrize(
        "key",
        [
            "0" * 32 + ".png",
            "",
            "..",
            "../../etc/passwd",
            "/etc/passwd",
            "a" * 32 + ".png\n",
            "A" * 32 + ".png",
            "a" * 32 + ".svg",
            "a" * 32,
            "aa/../" + "a" * 26 + ".png",
            "a" * 31 + "\0.png",
            "%2e%2e/secret",
        ],
    )
    async def test_no_other_text_is_a_key(self, media: Media, key: str) -> None:
        with pytest.raises(MissingMediaError):
            await media.open(key)

    async def test_other_kinds_are_not_kept(self, media: Media) -> None:
        with pytest.raises(ValueError, match="image/svg"):
            await media.put(b"<svg/>", mime="image/svg+xml")

    async def test_many_at_once_stay_apart(self, media: Media) -> None:
        keys = await asyncio.gather(
            *(media.put(bytes([i]) * 1000, mime="image/png") for i in range(30))
        )

        assert [await media.open(key) for key in keys] == [
            bytes([i]) * 1000 for i in range(30)
        ]

    async def test_empty_bytes_are_bytes(self, media: Media) -> None:
        assert await media.open(await media.put(b"", mime="image/png")) == b""
