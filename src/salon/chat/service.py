"""What people may ask of chat, whoever carries the wish (STOMP or HTTP).

The service checks what needs no state (lengths, shapes), makes a command and submits
it. Whether one may is the owner's answer, given in the order of the log.
"""

import unicodedata
from collections.abc import Awaitable, Sequence
from typing import Any

import msgspec

from salon import ids
from salon.chat.commands import (
    AddMembers,
    CreateConversation,
    RemoveMember,
    SendMessage,
    pair_id,
)
from salon.chat.conversations import (
    GROUP_MEMBERS_MAX,
    NAME_MAX,
    TEXT_MAX,
    unknown,
)
from salon.chat.events import Event
from salon.chat.ports import Applied, Commands, Delta, History, Notices
from salon.clock import Clock
from salon.errors import Refusal
from salon.ids import ConversationId, FileId, UserId

CLIENT_ID_MAX = 64
PAGE_MAX = 200


class Chat:
    """People, conversations, messages.

    Args:
        node: this server's name, for answers to commands.
    """

    def __init__(
        self,
        node: str,
        commands: Commands,
        history: History,
        notices: Notices,
        clock: Clock,
    ) -> None:
        self._node = node
        self._commands = commands
        self._history = history
        self._notices = notices
        self._clock = clock

    # --- asking

    async def send(
        self, sender: UserId, conversation: ConversationId, client_id: str, text: str
    ) -> Awaitable[Applied]:
        """Say something; the awaitable is the tick."""
        if not text.strip():
            raise Refusal("text_empty", "A message needs a text.", field="text")
        if len(text) > TEXT_MAX:
            raise Refusal(
                "text_too_long",
                f"A message has at most {TEXT_MAX} characters; this has {len(text)}.",
                field="text",
                params={"limit": TEXT_MAX, "length": len(text)},
                status=413,
            )
        return await self._commands.submit(
            SendMessage(
                **self._envelope(conversation, sender, client_id),
                text=text.replace("\x00", ""),
            )
        )

    async def direct(self, sender: UserId, other: UserId) -> ConversationId:
        """The single conversation with ``other``; begun if there is none yet."""
        id_ = pair_id(sender, other)
        await (
            await self._commands.submit(
                CreateConversation(
                    **self._envelope(id_, sender, "create"),
                    kind="single",
                    name="",
                    members=[other],
                )
            )
        )
        return id_

    async def group(
        self, sender: UserId, name: str, members: Sequence[UserId], client_id: str
    ) -> ConversationId:
        """A new group; the same ``client_id`` finds the group of the first try."""
        name = clean_name(name)
        if len(members) >= GROUP_MEMBERS_MAX:
            raise Refusal(
                "group_full",
                f"A group has at most {GROUP_MEMBERS_MAX} members.",
                field="members",
                params={"limit": GROUP_MEMBERS_MAX},
            )
        id_ = _group_id(sender, client_id)
        applied = await (
            await self._commands.submit(
                CreateConversation(
                    **self._envelope(id_, sender, client_id),
                    kind="group",
                    name=name,
                    members=list(members),
                )
            )
        )
        return applied.event.conversation

    async def add(
        self, sender: UserId, conversation: ConversationId, users: Sequence[UserId]
    ) -> None:
        """Bring people into a group."""
        await (
            await self._commands.submit(
                AddMembers(
                    **self._envelope(conversation, sender, ids.token(96)),
                    users=list(users),
                )
            )
        )

    async def remove(
        self, sender: UserId, conversation: ConversationId, user: UserId
    ) -> None:
        """Leave a group (oneself) or put somebody out of it."""
        await (
            await self._commands.submit(
                RemoveMember(
                    **self._envelope(conversation, sender, ids.token(96)), user=user
                )
            )
        )

    async def read(self, user: UserId, conversation: ConversationId, seq: int) -> None:
        """One has read up to ``seq``; one's other devices hear of it."""
        read_seq, read_n = await self._history.read(user, conversation, seq)
        self._notices.tell(
            [user],
            msgspec.json.encode(
                {
                    "type": "cursor",
                    "conversation": str(conversation),
                    "read_seq": read_seq,
                    "read_n": read_n,
                }
            ),
        )

    async def typing(self, user: UserId, conversation: ConversationId) -> None:
        """One is writing; the others see it for a few seconds."""
        present = await self._history.members(conversation)
        if user not in present:
            raise unknown()
        self._notices.notify(
            [other for other in present if other != user],
            msgspec.json.encode(
                {
                    "type": "typing",
                    "conversation": str(conversation),
                    "user": str(user),
                }
            ),
            coalesce=f"typing:{conversation}:{user}",
        )

    # --- looking

    async def changes(self, user: UserId, token: str | None) -> tuple[str, bool, Delta]:
        """(new token, whether to start over, what changed) since ``token``."""
        epoch = await self._history.epoch()
        since: int | None = None
        resync = False
        if token:
            first, _, rev = token.partition(".")
            if first == epoch and rev.isascii() and rev.isdigit() and len(rev) < 19:
                since = int(rev)
            else:
                resync = True
        delta = await self._history.changes(user, since)
        if since is not None and since > delta.rev:  # a restored backup is older
            resync, delta = True, await self._history.changes(user, None)
        return f"{epoch}.{delta.rev}", resync, delta

    async def summary(self, user: UserId, id_: ConversationId) -> dict[str, Any]:
        """One conversation as ``user`` sees it."""
        return await self._history.summary(user, id_)

    async def page(
        self,
        user: UserId,
        id_: ConversationId,
        *,
        after: int | None,
        before: int | None,
        limit: int,
    ) -> tuple[list[Event], int]:
        """A page of events; at most ``PAGE_MAX``."""
        return await self._history.page(
            user, id_, after=after, before=before, limit=min(limit, PAGE_MAX)
        )

    async def people(self) -> list[dict[str, Any]]:
        """Everybody on this server."""
        return await self._history.people()

    async def file(self, user: UserId, id_: FileId) -> tuple[str, str]:
        """(key, media type) of a file that a conversation of ``user`` shows."""
        found = await self._history.file(user, id_)
        if found is None:
            raise Refusal("file_unknown", "There is no such file for you.", status=404)
        return found

    def _envelope(
        self, conversation: ConversationId, sender: UserId, client_id: str
    ) -> dict[str, Any]:
        if not 1 <= len(client_id) <= CLIENT_ID_MAX or not client_id.isprintable():
            raise Refusal(
                "client_id_invalid",
                f"A client id is 1 to {CLIENT_ID_MAX} printable characters.",
                field="client_id",
            )
        return {
            "id": ids.token(96),
            "conversation": conversation,
            "sender": sender,
            "client_id": client_id,
            "node": self._node,
            "ts": self._clock.now_ms(),
        }


def clean_name(name: str) -> str:
    """A group's name in one line.

    Raises:
        Refusal: theirs; empty, too long, or with characters that do not show.
    """
    name = " ".join(unicodedata.normalize("NFC", name).split())
    if not name or not name.isprintable():
        raise Refusal(
            "name_invalid", "A name needs at least one visible character.", field="name"
        )
    if len(name) > NAME_MAX:
        raise Refusal(
            "name_too_long",
            f"A name has at most {NAME_MAX} characters.",
            field="name",
            params={"limit": NAME_MAX},
        )
    return name


def _group_id(sender: UserId, client_id: str) -> ConversationId:
    """From who asks and their key, so that a repeated try makes no second group."""
    import hashlib

    digest = hashlib.blake2b(f"group:{sender}:{client_id}".encode(), digest_size=8)
    return ConversationId(int.from_bytes(digest.digest(), "big") >> 2)
