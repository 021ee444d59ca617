"""The hundred compositions: complete, distinct, grammatical where it is testable."""

from collections import Counter

from salon.imaging import layout
from salon.imaging.evaluate.prompts import LANGUAGES, compositions


def test_there_are_a_hundred_of_four_kinds() -> None:
    kinds = Counter(item.kind for item in compositions())
    assert kinds == {"colour": 40, "count": 24, "worn": 20, "pair": 16}


def test_every_prompt_is_asked_once_in_each_language() -> None:
    for language in LANGUAGES:
        prompts = [item.prompts[language] for item in compositions()]
        assert len(set(prompts)) == 100


def test_russian_adjectives_and_numbers_agree() -> None:
    by_english = {item.prompts["en"]: item.prompts["ru"] for item in compositions()}
    assert by_english["yellow car"] == "жёлтая машина"
    assert by_english["yellow heart"] == "жёлтое сердце"
    assert by_english["two rockets"] == "две ракеты"
    assert by_english["two hearts"] == "два сердца"
    assert by_english["three cats"] == "три кота"


def test_counts_are_read_as_counts_in_every_language() -> None:
    for item in compositions():
        if item.kind == "count":
            for language in LANGUAGES:
                found = layout.parse(item.prompts[language])
                assert found is not None
                assert (found.kind, found.count) == ("count", item.count)
