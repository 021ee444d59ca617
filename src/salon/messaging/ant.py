"""Ant-style patterns of destinations, as Spring's AntPathMatcher understands them.

A pattern is cut at its separator (``/`` or ``.``). Within a segment ``?`` is one
character, ``*`` any number of them, ``{name}`` any number that get a name, and
``{name:regex}`` what the regular expression takes; the segment ``**`` is any number of
segments, also none.

Two questions are answered besides "does it match?": which of two patterns is the more
specific (``compare``, the order of Spring's AntPatternComparator), and whether one
path could match both (``overlaps``), so that ambiguity is found at start-up.
"""

import re
from dataclasses import dataclass, field
from functools import cache

ANY = "**"

_VARIABLE = re.compile(r"\{(\w+)(?::(.+))?\}", re.DOTALL)


@dataclass(frozen=True)
class Segment:
    """One segment of a pattern; ``parts`` are literals, ``?`` and ``*`` for overlaps.

    Attributes:
        regex: None for a literal segment.
        names: of the variables, in the order of the regex's groups.
    """

    text: str
    regex: re.Pattern[str] | None
    names: tuple[str, ...]
    parts: tuple[str, ...]

    def match(self, text: str) -> dict[str, str] | None:
        """The variables if ``text`` fits, else None."""
        if self.regex is None:
            return {} if text == self.text else None
        match = self.regex.fullmatch(text)
        if match is None:
            return None
        return {name: match[name] for name in self.names}


@dataclass(frozen=True)
class AntPattern:
    """A compiled pattern.

    Raises:
        ValueError: ours; braces that do not close, a variable twice, a bad regex.
    """

    text: str
    separator: str = "/"
    segments: tuple[Segment, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        parts = _split(self.text, self.separator)
        segments = tuple(_segment(part) for part in parts)
        names = [name for segment in segments for name in segment.names]
        if len(set(names)) != len(names):
            raise ValueError(f"{self.text!r} names a variable twice")
        object.__setattr__(self, "segments", segments)

    @property
    def is_literal(self) -> bool:
        """Whether it matches itself only."""
        return all(s.regex is None and s.text != ANY for s in self.segments)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the variables."""
        return tuple(name for segment in self.segments for name in segment.names)

    def match(self, path: str) -> dict[str, str] | None:
        """The variables if the whole path matches, else None.

        Empty segments do not count, a separator at the beginning or end does: it must
        be in both or in neither, save that ``*`` and ``**`` at the end do not mind.
        """
        sep = self.separator
        if path.startswith(sep) != self.text.startswith(sep):
            return None
        last = self.segments[-1].text if self.segments else ""
        texts = [text for text in path.split(sep) if text]
        if path.endswith(sep) != self.text.endswith(sep) and last != ANY:
            # "/a/*" takes "/a/": the star stands for the empty end.
            open_end = last == "*" and len(texts) == len(self.segments) - 1
            if not (open_end and path.endswith(sep)):
                return None
            texts.append("")
        return _match(self.segments, 0, texts, 0)


def _match(
    segments: tuple[Segment, ...], i: int, texts: list[str], j: int
) -> dict[str, str] | None:
    found: dict[str, str] = {}
    while i < len(segments) and segments[i].text != ANY:
        if j == len(texts):
            return None
        variables = segments[i].match(texts[j])
        if variables is None:
            return None
        found.update(variables)
        i += 1
        j += 1
    if i == len(segments):
        return found if j == len(texts) else None
    if i + 1 == len(segments):  # ** at the end takes whatever is left
        return found
    for k in range(j, len(texts) + 1):
        rest = _match(segments, i + 1, texts, k)
        if rest is not None:
            return {**found, **rest}
    return None


def _split(text: str, separator: str) -> list[str]:
    """Segments; a separator within braces belongs to the variable's regex."""
    parts, depth, current = [], 0, ""
    for char in text:
        if char == separator and depth == 0:
            parts.append(current)
            current = ""
            continue
        depth += (char == "{") - (char == "}")
        if depth < 0:
            raise ValueError(f"{text!r} closes a brace that it did not open")
        current += char
    if depth:
        raise ValueError(f"{text!r} does not close a brace")
    return [part for part in [*parts, current] if part]


def _segment(text: str) -> Segment:
    regex, names, parts, at = "", [], [], 0
    while at < len(text):
        char = text[at]
        if char == "{":
            end = _closing(text, at)
            variable = _VARIABLE.fullmatch(text[at:end])
            if variable is None:
                raise ValueError(f"{text[at:end]!r} is no destination variable")
            regex += f"(?P<{variable[1]}>{variable[2] or '.*'})"
            names.append(variable[1])
            parts.append("*")
            at = end
            continue
        regex += {"?": ".", "*": ".*"}.get(char, re.escape(char))
        parts.append(char)
        at += 1
    literal = not names and "?" not in parts and "*" not in parts
    try:
        compiled = None if literal else re.compile(regex, re.DOTALL)
    except re.error as error:
        raise ValueError(f"{text!r}: {error}") from None
    return Segment(text, compiled, tuple(names), tuple(parts))


def _closing(text: str, at: int) -> int:
    """Index behind the brace that closes the one at ``at``."""
    depth = 0
    for i in range(at, len(text)):
        depth += (text[i] == "{") - (text[i] == "}")
        if depth == 0:
            return i + 1
    raise ValueError(f"{text!r} does not close a brace")


# ---------------------------------------------------------------- which is better


def compare(one: AntPattern, other: AntPattern) -> int:
    """Negative if ``one`` is the more specific, 0 if neither is."""
    catch_all = (_is_catch_all(one), _is_catch_all(other))
    if any(catch_all):
        return catch_all[0] - catch_all[1]
    a, b = _Weight(one), _Weight(other)
    if a.is_prefix and b.is_prefix:
        return b.length - a.length
    if a.is_prefix and not b.doubles:
        return 1
    if b.is_prefix and not a.doubles:
        return -1
    mine = (a.total, -a.length, a.singles, a.variables)
    theirs = (b.total, -b.length, b.singles, b.variables)
    return (mine > theirs) - (mine < theirs)


def _is_catch_all(pattern: AntPattern) -> bool:
    return pattern.text == pattern.separator + ANY


class _Weight:
    """What is counted: fewer wildcards first, then the longer text.

    As in Spring, ``.*`` at the end ("any extension") is no wildcard.
    """

    def __init__(self, pattern: AntPattern) -> None:
        bare = _without_variables(pattern.text).removesuffix(".*")
        self.doubles = bare.count(ANY)
        self.singles = bare.count("*") - 2 * self.doubles
        self.variables = len(pattern.names)
        self.total = self.variables + self.singles + 2 * self.doubles
        self.length = len(_without_variables(pattern.text, "#"))
        self.is_prefix = pattern.text.endswith(pattern.separator + ANY)


def _without_variables(text: str, instead: str = "") -> str:
    out, at = "", 0
    while at < len(text):
        if text[at] == "{":
            at = _closing(text, at)
            out += instead
        else:
            out += text[at]
            at += 1
    return out


# ---------------------------------------------------------------- could both match


def overlaps(one: AntPattern, other: AntPattern) -> bool:
    """Whether some path may match both.

    A variable's regex is taken for ``*``: of two that exclude each other by their
    regexes alone it says "may".
    """
    a, b = one.segments, other.segments

    @cache
    def meet(i: int, j: int) -> bool:
        if i == len(a):
            return all(s.text == ANY for s in b[j:])
        if j == len(b):
            return all(s.text == ANY for s in a[i:])
        if a[i].text == ANY:
            return meet(i + 1, j) or meet(i, j + 1)
        if b[j].text == ANY:
            return meet(i, j + 1) or meet(i + 1, j)
        return _share(a[i].parts, b[j].parts) and meet(i + 1, j + 1)

    return meet(0, 0)


def _share(one: tuple[str, ...], other: tuple[str, ...]) -> bool:
    """Whether some text fits both segments."""

    @cache
    def meet(i: int, j: int) -> bool:
        if i == len(one) and j == len(other):
            return True
        if i < len(one) and one[i] == "*":
            return meet(i + 1, j) or (j < len(other) and meet(i, j + 1))
        if j < len(other) and other[j] == "*":
            return meet(i, j + 1) or (i < len(one) and meet(i + 1, j))
        if i == len(one) or j == len(other):
            return False
        same = one[i] == other[j] or "?" in (one[i], other[j])
        return same and meet(i + 1, j + 1)

    return meet(0, 0)
