"""Reading packages: names, tones, flags, icons."""

import json
from pathlib import Path

import pytest

from salon.imaging.data import art
from salon.imaging.data.sources import SOURCES, WORDS
from tests.imaging.data.world import _unpacked


@pytest.fixture
def packages(tmp_path: Path) -> Path:
    words = _unpacked(tmp_path, WORDS.package, WORDS.version)
    rows = [
        {
            "hexcode": "1F44B", "group": 1, "order": 1, "label": "waving hand",
            "skins": [{"hexcode": "1F44B-1F3FB", "label": "waving hand: light skin tone"}],
        },
        {"hexcode": "1F37A", "group": 4, "order": 2, "label": "beer mug"},
        {"hexcode": "1F1E9-1F1EA", "group": 9, "order": 3, "label": "flag: Germany"},
        {"hexcode": "1F9B0", "group": 2, "order": 4, "label": "red hair"},
    ]  # fmt: skip
    for language in art.LANGUAGES:
        (words / language).mkdir()
        (words / language / "data.json").write_text(json.dumps(rows))
    return tmp_path


def _package(
    packages: Path, name: str, icons: list[str], chars: dict[str, str]
) -> None:
    source = SOURCES[name]
    place = _unpacked(packages, source.package, source.version)
    body = '<circle r="4"><animate attributeName="r"/></circle>'
    table = {"width": 32, "height": 32, "icons": {n: {"body": body} for n in icons}}
    (place / "icons.json").write_text(json.dumps(table))
    (place / "chars.json").write_text(json.dumps(chars))


def _names(packages: Path, source: str, **options: bool) -> list[str]:
    return [d.label for d in art.read(SOURCES[source], packages, **options)]


def test_drawings_are_named_by_their_code_points(packages: Path) -> None:
    chars = {"1f44b": "hello", "1f44b-1f3fb": "hello-light", "1f1e9-1f1ea": "de"}
    _package(packages, "noto", ["hello", "hello-light", "de", "unknown"], chars)
    assert _names(packages, "noto") == ["waving hand"]
    assert "waving hand: light skin tone" in _names(packages, "noto", tones=True)
    assert "flag: Germany" in _names(packages, "noto", flags=True)


def test_where_there_are_none_the_name_decides(packages: Path) -> None:
    _package(packages, "fxemoji", ["beermug", "wavinghand", "brandlogo"], {})
    assert _names(packages, "fxemoji") == ["beer mug", "waving hand"]


def test_an_icon_in_several_sizes_is_taken_once_in_the_largest(packages: Path) -> None:
    names = ["add-circle-16", "add-circle-24", "add-circle-20", "github-logo-20"]
    _package(packages, "fluent-color", names, {})
    found = art.read(SOURCES["fluent-color"], packages)
    assert [(d.name, d.label) for d in found] == [("add-circle-24", "add circle")]


def test_round_flags_are_only_read_where_flags_are_asked_for(packages: Path) -> None:
    _package(packages, "circle-flags", ["de", "lang-eo"], {})
    assert _names(packages, "circle-flags") == []
    assert _names(packages, "circle-flags", flags=True) == ["flag: Germany"]


def test_animations_are_taken_out() -> None:
    icons = {"icons": {"sun": {"body": '<g><animate a="1"/><path d="M0 0"/></g>'}}}
    assert "animate" not in art._svg(icons, "sun")
    assert "<path" in art._svg(icons, "sun")
