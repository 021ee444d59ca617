"""The things that compositions are made of, as people call them.

CLDR's names are exact, not natural ("automobile", "морда собаки", "cat face"), so what
is composed is taken from our own list, ``nouns.tsv``: nearly four hundred concrete
nouns with their Chinese classifier and the roles they can play::

    f  a face or head seen from the front: hats and glasses fit
    b  a whole body: hats fit
    a  an actor: has something like hands
    p  a prop: may be held
    s  a support: others may stand on it
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib import resources

HATS = ("crown", "top hat", "graduation cap", "billed cap", "woman’s hat")
GLASSES = ("glasses", "sunglasses")
BOW = "ribbon"
PEOPLE = ("Santa Claus", "baby", "boy", "girl", "man", "woman", "old man", "old woman")
"""Neither counted nor repainted."""
_PLURALS = {
    "mouse": "mice",
    "goose": "geese",
    "wolf": "wolves",
    "ox": "oxen",
    "die": "dice",
    "man": "men",
    "woman": "women",
    "tooth": "teeth",
    "scarf": "scarves",
    "leaf": "leaves",
    "piece": "pieces",
    "Santa Claus": "Santa Clauses",
}
_UNCHANGED = ("sheep", "deer", "fish", "squid", "shrimp", "broccoli")
_PAIRS = ("glasses", "sunglasses", "jeans", "shorts", "scissors", "headphones")


@dataclass(frozen=True)
class Noun:
    """One thing and its names."""

    label: str
    """CLDR's English name, by which the drawing is found."""
    en: str
    zh: str
    classifier: str
    ru: str
    roles: str

    @property
    def is_pair(self) -> bool:
        """English and Russian know it in the plural only: glasses, очки."""
        return self.en in _PAIRS

    @property
    def plural(self) -> str:
        """English plural: mice, cups of coffee, pairs of glasses."""
        if self.is_pair:
            return f"pairs of {self.en}"
        head, of, rest = self.en.partition(" of ")
        *before, last = head.split(" ") if head != "Santa Claus" else [head]
        return " ".join([*before, _plural(last)]) + of + rest

    def with_article(self, colour: str = "") -> str:
        """A car, an orange car, a UFO, glasses."""
        phrase = f"{colour} {self.en}".strip()
        if self.is_pair or self.en == "Santa Claus":
            return phrase
        spoken_otherwise = phrase.startswith(("UFO", "unicorn", "hourglass"))
        vowel = (phrase[0].lower() in "aeiou") != spoken_otherwise
        return f"{'an' if vowel else 'a'} {phrase}"


def _plural(noun: str) -> str:
    if noun in _PLURALS:
        return _PLURALS[noun]
    if noun.endswith(_UNCHANGED):
        return noun
    if noun.endswith(("s", "sh", "ch", "x")) or noun in ("potato", "tomato", "volcano"):
        return f"{noun}es"
    if noun.endswith("y") and noun[-2:-1] not in "aeiou":
        return f"{noun[:-1]}ies"
    if noun.endswith("man"):
        return f"{noun[:-3]}men"
    return f"{noun}s"


@cache
def nouns() -> dict[str, Noun]:
    """CLDR label -> noun, in the order of the list."""
    text = (
        resources.files("salon.imaging.data").joinpath("nouns.tsv").read_text("utf-8")
    )
    found = {}
    for line in text.splitlines():
        if not line.startswith("#"):
            noun = Noun(*line.split("\t"))
            found[noun.label] = noun
    return found
