"""Settings by name: a field knows what it is called outside, and what is possible.

A name that is not known is refused, with the nearest one that is, because a setting
that is read and ignored is a promise broken in silence.
"""

import difflib
from collections.abc import Mapping
from dataclasses import field, fields
from typing import Any, TypeVar

from salon.broker.errors import SettingError

T = TypeVar("T")


def setting(
    name: str,
    default: Any,
    doc: str,
    *,
    low: int | None = None,
    choices: tuple[str, ...] = (),
    secret: bool = False,
) -> Any:
    """A field that is set from outside as ``name``.

    Args:
        name: Kafka's name.
        default: its value when nobody sets it.
        doc: one line for ``--help`` and DescribeConfigs.
        low: smallest value of a number.
        choices: all possible values of a text.
        secret: never shown.
    """
    metadata = {"name": name, "doc": doc, "low": low, "choices": choices}
    return field(default=default, metadata={**metadata, "secret": secret})


def parse(base: T, settings: Mapping[str, str | None], **more: Any) -> T:
    """``base`` with ``settings`` on top: every name known, every value possible.

    ``more`` are fields that have been read already.

    Raises:
        SettingError: theirs; it names the setting and what it could be.
    """
    cls: Any = type(base)
    known = {f.metadata["name"]: f for f in fields(cls)}
    values = {f.name: getattr(base, f.name) for f in fields(cls)} | more
    for name, text in settings.items():
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise SettingError(f"unknown setting {name!r}{hint}")
        if text is not None:
            values[known[name].name] = _convert(known[name], name, text)
    made: T = cls(**values)
    return made


def _convert(known: Any, name: str, text: str) -> Any:
    if known.type in (bool, "bool"):
        if text.lower() not in ("true", "false"):
            raise SettingError(f"{name} is {text!r}; it can be true or false")
        return text.lower() == "true"
    if known.type in (int, "int"):
        return number(name, text, known.metadata["low"])
    choices = known.metadata["choices"]
    if choices and text not in choices:
        raise SettingError(f"{name} is {text!r}; it can be {' or '.join(choices)}")
    return text


def number(name: str, text: str, low: int | None = None) -> int:
    """The whole number ``text``.

    Raises:
        SettingError: theirs; it is none, or below ``low``.
    """
    try:
        value = int(text)
    except ValueError:
        raise SettingError(f"{name} is {text!r}; it takes a whole number") from None
    if low is not None and value < low:
        raise SettingError(f"{name} is {value}; its smallest value is {low}")
    return value
