"""Where the art comes from, under which licence, and what it may be used for.

Every source is an npm package of a pinned version whose SHA-512 is checked before it is
unpacked. ``train`` may be trained on and shipped; ``evaluate`` is share-alike
(OpenMoji, CC BY-SA 4.0): a model trained on it might have to be shared alike, so it
examines models and is never in a training set. Left out on purpose: emojione-v1
(share-alike), skill-icons (trademarks), and everything of Apple, JoyPixels and Facebook.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

Use = Literal["train", "evaluate"]
TRAINABLE = frozenset(("MIT", "Apache-2.0", "CC-BY-4.0"))
"""SPDX names of the licences that allow training and shipping, with attribution."""


@dataclass(frozen=True)
class Source:
    """One package of art."""

    name: str
    package: str
    version: str
    integrity: str
    """``sha512-`` and base64, as the registry gives it."""
    licence: str
    """SPDX name."""
    owner: str
    use: Use
    style: str
    """What its look is called in a caption: "flat", "3d"."""
    drop: str = ""
    """A regular expression: names left out, brands mostly."""
    emoji: bool = True
    """Emoji whose names are CLDR's; otherwise icons with English names of their own."""

    def keeps(self, name: str) -> bool:
        """Whether a drawing of this name is used."""
        return not (self.drop and re.search(self.drop, name))


_BRANDS = (
    r"logo|android|apple-|facebook|google|twitter|youtube|instagram|linkedin|skype|"
    r"whatsapp|amazon|microsoft|windows|paypal|visa|mastercard|spotify|netflix|"
    r"dropbox|chrome|firefox|safari|opera|steam|github|gitlab|reddit|snapchat|tiktok|"
    r"pinterest|airbnb|uber|slack|wikipedia|behance|dribbble|vimeo|yelp|xing|nfc|"
    r"stackoverflow|tux|ios|vlc|bitcoin|messenger|tesla|nintendo|playstation|xbox"
)

SOURCES = {
    source.name: source
    for source in (
        Source(
            "fluent-flat", "@iconify-json/fluent-emoji-flat", "1.2.6",
            "sha512-RY47RgPb47fYUiyrA64sIOL0+UU02s29sXpNBbIQRBUlPlfNFTKUmZDERGuxDs/"
            "7yNGWqQYvuaSYM1M4fRXlUw==",
            "MIT", "Microsoft Corporation", "train", "flat",
        ),
        Source(
            "noto", "@iconify-json/noto", "1.2.9",
            "sha512-DQiuXENbun41ch+XPSV55H9FaWKpHTyz46YIKtSaKYD4fIDDzL1tR6H4np/"
            "T38jfrTAeI3rcKF0mqHYeZVAuaw==",
            "Apache-2.0", "Google Inc.", "train", "noto",
        ),
        Source(
            "noto-v1", "@iconify-json/noto-v1", "1.2.5",
            "sha512-/DsVMius69Q0fRS53z7QK1TROSuar606jiIx+laXtdsYGMXpf6LtHBx6CGfoo3UHHb/"
            "XpBsw+1L1x3eyPqMuVA==",
            "Apache-2.0", "Google Inc.", "train", "blob",
        ),
        Source(
            "twemoji", "@iconify-json/twemoji", "1.2.5",
            "sha512-uKpuIEV0v6K5BW3Mjdyl+XKFVAbbcPxAgifKvEMtZoUZB5+YiY5zaMm2uNNCxyXzAWU9"
            "yNLlj41WU6/mvgALsw==",
            "CC-BY-4.0", "Twitter, Inc. and other contributors", "train", "twemoji",
        ),
        Source(
            "fluent", "@iconify-json/fluent-emoji", "1.2.7",
            "sha512-D8G6bKAyIsyxP1rzZtIWr/gg/fO4Rg1+DyCWlfqKK4h8W+4Em/Y0P6QYgJUQTlUcagzJ"
            "vSyg+9OBv4hz4Hc/QA==",
            "MIT", "Microsoft Corporation", "train", "glossy",
        ),
        Source(
            "fluent-3d", "@lobehub/fluent-emoji-3d", "1.1.0",
            "sha512-Wlq2lVStTnr8BDpIJ0pEnTKO4LuDxxqTEhTvRtD1DLRF0me7ogeRQjKoehDHXuVJ2Qae"
            "cgl5wRBv60lUAG3h7g==",
            "MIT", "Microsoft Corporation; packaged by LobeHub", "train", "3d",
        ),
        Source(
            "emojione", "@iconify-json/emojione", "1.2.3",
            "sha512-T9+T3HIbJNLKKsmxYKlaYhvnHYkz/HNYTV7SHCXVZPfeUi4FqskY70YeN8yYAZT8cCv7"
            "w5vJxS4Q1m8zb9CMMg==",
            "CC-BY-4.0", "Ranks.com Inc. (EmojiOne 2, EmojiTwo)", "train", "emojione",
        ),
        Source(
            "fxemoji", "@iconify-json/fxemoji", "1.2.2",
            "sha512-UAasRaxzFUKfIGSmLwnoarsssA4LX0VLLuEmplIqM6ZNQqIQRtav8tZ4H1neTlBreXuM"
            "QyAifr5jP4kn78DpiQ==",
            "Apache-2.0", "Mozilla Foundation", "train", "firefox",
            r"^(spider|spiderweb|tramcar)$",  # black glyphs
        ),
        Source(
            "streamline-emojis", "@iconify-json/streamline-emojis", "1.2.4",
            "sha512-iNr9T9XuZVTyQPJO8ZlLxBzPkpi7qMl+z1l0C31vpEMqhPMelth3n7CeWQYtixdetDPd"
            "I81yeG4ROqjWpYJE6A==",
            "CC-BY-4.0", "Streamline", "train", "line",
        ),
        Source(
            "streamline-color", "@iconify-json/streamline-ultimate-color", "1.2.2",
            "sha512-NAbD3xLtg3069865B5CLUulp/eowPNCiDfJBxVAmA+LKLPpxU7EIEJ2+mSfWriPd+ahO"
            "RWyqjRnoPVkTJopEgg==",
            "CC-BY-4.0", "Streamline", "train", "line icon", _BRANDS, emoji=False,
        ),
        Source(
            "fluent-color", "@iconify-json/fluent-color", "1.2.21",
            "sha512-VETjGx7BMpVsCR3HV5g5t6oBGZ92XKzIRClS5xUvDn1YHAkQTF9OyF/aFdtxYOC8JROo"
            "I1SNO/Ql6jZeK7mroA==",
            "MIT", "Microsoft Corporation", "train", "icon", _BRANDS, emoji=False,
        ),
        Source(
            "circle-flags", "@iconify-json/circle-flags", "1.2.11",
            "sha512-vrx2btOkTQ4/P75ElEDnjXShmNTwInXuhhpIQQ6U6YUTdxfWyvm/4ijNG8FX8iWFr+sq"
            "qQRCvXpm2RfRtjVXfg==",
            "MIT", "HatScripts", "train", "round flag", emoji=False,
        ),
        Source(
            "meteocons", "@iconify-json/meteocons", "1.2.4",
            "sha512-E7YV02ql5WmJgAOpXU/hoF9Mdshq73KjwR6fBxZ5SrqMJghMa3CIcRG6NQGwP4I1uBOh"
            "IjOFlAikYoPAKuT56A==",
            "MIT", "Bas Milius", "train", "weather icon", emoji=False,
        ),
        Source(
            "flat-color-icons", "@iconify-json/flat-color-icons", "1.2.3",
            "sha512-KcmJ7CY0TKFv5GuBjiS4/v++jEcNXna1jfY+yq014tnw/MN/jMI2oYpoMHGuIpYtUqDu"
            "7eove+WySnOYO8nS3w==",
            "MIT", "Icons8", "train", "flat icon", _BRANDS, emoji=False,
        ),
        Source(
            "openmoji", "@iconify-json/openmoji", "1.2.29",
            "sha512-vXdhkqcXVSO6suy+m9LbcUM3OdVyuNOtpV8/als/WqfkQIRxevL5Geb/g+6GH/"
            "Qwnq1OqksEmaDGTCmZ5nFKJQ==",
            "CC-BY-SA-4.0", "OpenMoji (HfG Schwäbisch Gmünd)", "evaluate", "openmoji",
            r"logo|brand",
        ),
    )
}  # fmt: skip

WORDS = Source(
    "words", "emojibase-data", "17.0.0",
    "sha512-Yvgb5AWoHViHV/gq1qr5ZAarcBip+B27/ZLRsUJkbgAEaLlZ/fof9g882LTpmEpyhBNEC0m2SEmI"
    "tljHsTygjA==",
    "MIT", "Miles Johnson; contains Unicode CLDR data, Unicode-3.0", "train", "",
)  # fmt: skip
"""Names and tags of the emoji in every language."""

_MIT = """Permission is hereby granted, free of charge, to any person obtaining a copy of
this software and associated documentation files (the "Software"), to deal in the
Software without restriction, including without limitation the rights to use, copy,
modify, merge, publish, distribute, sublicense, and/or sell copies of the Software, and
to permit persons to whom the Software is furnished to do so, subject to the following
conditions:

The above copyright notice and this permission notice shall be included in all copies or
substantial portions of the Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED,
INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR
PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR COPYRIGHT HOLDERS BE LIABLE
FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR
OTHERWISE, ARISING FROM, OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER
DEALINGS IN THE SOFTWARE.
"""

DEFAULT = ("fluent-flat", "noto", "twemoji", "fluent-3d", "emojione")


def choose(names: tuple[str, ...], use: Use = "train") -> list[Source]:
    """The named sources, in the table's order; all that may be trained on for "all".

    Raises ValueError for an unknown name, or one that this use forbids.
    """
    if names == ("all",):
        return [s for s in SOURCES.values() if s.use == use]
    for name in names:
        if name not in SOURCES:
            known = ", ".join(SOURCES)
            raise ValueError(f"there is no source {name!r}; known are {known}, or all")
        if SOURCES[name].use != use:
            raise ValueError(
                f"{name} ({SOURCES[name].licence}) is for {SOURCES[name].use} only: "
                "it must not get into a training set"
                if use == "train"
                else f"{name} is art to train on; an evaluation set needs unseen art"
            )
    return [source for source in SOURCES.values() if source.name in names]


def notice(sources: list[Source]) -> str:
    """The text that must travel with pictures made from these sources."""
    lines = [
        "The pictures in this folder are made from the works below, and from nothing",
        "else. Some are repainted, resized, or put together with others: changes were",
        "made. Who passes them on names the owners, as the licences ask.",
        "",
    ]
    for s in [*sources, WORDS]:
        lines += [
            f"{s.package} {s.version}",
            f"    Copyright (c) {s.owner}",
            f"    {s.licence}: https://spdx.org/licenses/{s.licence}.html",
        ]
        if s.use == "evaluate":
            lines.append("    Share-alike: for evaluation only, never for training.")
    return "\n".join([*lines, "", "The MIT licence, of the works so marked:", "", _MIT])
