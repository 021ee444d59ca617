"""Receipts: each who waits hears once, at the latest after the timeout."""

import asyncio

import pytest

from salon.chat.commands import SendMessage
from salon.delivery import receipts
from salon.delivery.receipts import Receipts
from salon.errors import Refusal, Unavailable
from salon.ids import ConversationId, UserId


class Log:
    """Takes records; they become durable, or not, when the test says."""

    def __init__(self):
        self.appended = []

    async def append(self, topic, key, value):
        self.appended.append(asyncio.get_running_loop().create_future())
        return self.appended[-1]


class Timers:
    """Remembers what is to be called."""

    def __init__(self):
        self.calls = []

    def __call__(self, seconds, function):
        self.calls.append((seconds, function))


def command(id_):
    return SendMessage(
        id=id_,
        conversation=ConversationId(1),
        sender=UserId(1),
        client_id=id_,
        node="n1",
        ts=0,
        text="hello",
    )


@pytest.fixture
def log():
    return Log()


@pytest.fixture
def timers():
    return Timers()


@pytest.fixture
def waiting(log, timers):
    return Receipts(log, "commands", timers)


async def test_one_timer_serves_all_who_wait(waiting, timers, monkeypatch):
    first = await waiting.submit(command("a"))
    second = await waiting.submit(command("b"))
    assert len(timers.calls) == 1

    monkeypatch.setattr(receipts, "TIMEOUT_S", 0.0)
    timers.calls[0][1]()
    for each in (first, second):
        with pytest.raises(Unavailable, match="again is safe"):
            await each
    assert len(timers.calls) == 1  # nobody waits: no timer

    await waiting.submit(command("c"))
    assert len(timers.calls) == 2


async def test_who_came_later_waits_on(waiting, timers, monkeypatch):
    first = await waiting.submit(command("a"))
    while asyncio.get_running_loop().time() == waiting._waiting["a"].since:
        await asyncio.sleep(0)
    second = await waiting.submit(command("b"))
    age = asyncio.get_running_loop().time() - waiting._waiting["a"].since
    monkeypatch.setattr(receipts, "TIMEOUT_S", age)
    waiting._waiting["b"] = waiting._waiting["b"]._replace(since=2**40)
    timers.calls[0][1]()

    with pytest.raises(Unavailable):
        await first
    assert not second.done()
    assert len(timers.calls) == 2


async def test_an_answer_after_the_timeout_is_late_and_harmless(
    waiting, timers, monkeypatch
):
    future = await waiting.submit(command("a"))
    monkeypatch.setattr(receipts, "TIMEOUT_S", 0.0)
    timers.calls[0][1]()
    waiting.answer("a", Refusal("late", "Too late."))

    with pytest.raises(Unavailable):
        await future


async def test_a_record_that_the_log_does_not_take_is_said(waiting, log):
    future = await waiting.submit(command("a"))
    log.appended[0].set_exception(Unavailable("gone"))

    with pytest.raises(Unavailable, match="nothing is certain"):
        await future


async def test_more_than_the_limit_is_refused(waiting, monkeypatch):
    monkeypatch.setattr(receipts, "WAITING_MAX", 2)
    await waiting.submit(command("a"))
    await waiting.submit(command("b"))
    with pytest.raises(Refusal) as refused:
        await waiting.submit(command("c"))
    assert refused.value.code == "overloaded"

    waiting.answer("a", Refusal("no", "No."))
    await waiting.submit(command("c"))


async def test_a_log_without_room_leaves_nobody_waiting(waiting, log, monkeypatch):
    async def full(*_):
        raise Unavailable("full")

    monkeypatch.setattr(log, "append", full)
    with pytest.raises(Unavailable, match="full"):
        await waiting.submit(command("a"))
    assert not waiting._waiting
