"""Histories: what is kept, what is forgotten, and that the latter is known."""

from hypothesis import given, settings
from hypothesis import strategies as st

from salon.messaging import retention
from salon.messaging.retention import Kept, Retention, retain


def add(made, destination, *numbers, size=1):
    for number in numbers:
        headers = (("message-id", f"n-{number}"),)
        made.add(destination, Kept(number, headers, b"x" * size))


def after(made, destination, number):
    return [kept.number for kept in made.of(destination).after(number)]


def test_only_topics_that_ask_for_it_are_kept():
    made = Retention(retain("/topic/news/*"))
    add(made, "/topic/news/a", 1)
    add(made, "/topic/other", 2)

    assert after(made, "/topic/news/a", 0) == [1]
    assert made.of("/topic/other") is None
    assert not made.is_whole("/topic/other", 99)


def test_the_last_messages_are_kept_by_number_and_bytes():
    made = Retention(retain("/many", messages=2), retain("/big", size=10))
    add(made, "/many", 1, 2, 3)
    add(made, "/big", 4, 5, 6, size=4)

    assert after(made, "/many", 0) == [2, 3]
    assert after(made, "/big", 0) == [5, 6]
    assert made.is_whole("/many", 1)
    assert not made.is_whole("/many", 0)


def test_a_message_is_found_by_its_own_id():
    made = Retention(retain("/a"))
    made.add("/a", Kept(7, (("message-id", "theirs"),), b""))

    assert made.of("/a").place("theirs") == 7
    assert made.of("/a").place("other") is None


def test_a_topic_that_makes_room_for_another_is_known_to_have_forgotten(monkeypatch):
    monkeypatch.setattr(retention, "TOPICS_MAX", 2)
    made = Retention(retain("/*"))
    add(made, "/a", 1, 5)
    add(made, "/b", 6)
    add(made, "/c", 7)

    assert made.of("/a") is None
    assert not made.is_whole("/a", 4)
    assert made.is_whole("/a", 5)
    add(made, "/a", 8)  # /b goes: one place is remembered for all that went
    assert not made.is_whole("/a", 1)
    assert made.is_whole("/a", 6)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 6)), max_size=40))
@settings(max_examples=150, deadline=None)
def test_whole_means_that_nothing_is_missing(messages):
    made = Retention(retain("/*", messages=3, size=10))
    said = {"a": [], "b": [], "c": []}
    for number, (name, size) in enumerate(messages):
        add(made, f"/{name}", number, size=size)
        said[name].append(number)
    for name, numbers in said.items():
        for place in range(-1, len(messages)):
            history = made.of(f"/{name}")
            kept = [k.number for k in history.after(place)] if history else []
            truth = [number for number in numbers if number > place]

            assert made.is_whole(f"/{name}", place) == (kept == truth)
