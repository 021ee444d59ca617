"""Results settle in the order of their frames."""

import asyncio

from hypothesis import given, settings
from hypothesis import strategies as st

from salon.messaging.pipeline import Pipeline


def future():
    return asyncio.get_running_loop().create_future()


async def turn():
    for _ in range(3):
        await asyncio.sleep(0)


def pipeline(most=256):
    settled, room = [], []
    made = Pipeline(most, lambda: room.append(len(made)))
    return made, settled, room, lambda value, error: settled.append((value, error))


async def test_values_settle_at_once():
    made, settled, _, settle = pipeline()
    made.push(1, settle)

    assert settled == [(1, None)]


async def test_a_value_waits_for_the_futures_before_it():
    made, settled, _, settle = pipeline()
    first = future()
    made.push(first, settle)
    made.push(2, settle)
    assert (settled, len(made)) == ([], 2)
    first.set_result(1)
    await turn()

    assert settled == [(1, None), (2, None)]


async def test_errors_and_cancellations_are_settled_too():
    made, settled, _, settle = pipeline()
    error, cancelled = future(), future()
    made.push(error, settle)
    made.push(cancelled, settle)
    cancelled.cancel()
    error.set_exception(KeyError("x"))
    await turn()

    assert isinstance(settled[0][1], KeyError)
    assert isinstance(settled[1][1], asyncio.CancelledError)


async def test_it_says_when_it_is_full_and_when_there_is_room():
    made, _, room, settle = pipeline(2)
    one, two = future(), future()
    made.push(one, settle)
    assert not made.full
    made.push(two, settle)
    assert made.full
    two.set_result(None)
    await turn()
    assert room == []
    one.set_result(None)
    await turn()

    assert (room, made.full) == ([0], False)


async def test_a_future_that_was_done_already_settles():
    made, settled, _, settle = pipeline()
    done = future()
    done.set_result(1)
    made.push(done, settle)

    assert settled == [(1, None)]


async def test_after_close_nothing_settles_and_no_error_is_reported():
    made, settled, _, settle = pipeline()
    waiting, late = future(), future()
    made.push(waiting, settle)
    made.close()
    made.push(late, settle)
    made.push(3, settle)
    waiting.set_exception(KeyError("nobody hears"))
    late.set_exception(KeyError("nobody hears"))
    await turn()

    assert settled == []


async def test_settling_may_close_the_pipeline():
    made, settled, _, settle = pipeline()
    one = future()
    made.push(one, lambda value, error: made.close())
    made.push(2, settle)
    one.set_result(1)
    await turn()

    assert settled == []


async def test_an_entry_that_fails_to_settle_does_not_hold_up_the_others():
    made, settled, _, settle = pipeline()
    one = future()
    made.push(one, lambda value, error: 1 / 0)
    made.push(2, settle)
    one.set_result(1)
    await turn()

    assert settled == [(2, None)]


@given(st.permutations(range(6)), st.sets(st.integers(0, 5)))
@settings(max_examples=60, deadline=None)
def test_any_order_of_completion_gives_the_order_of_frames(order, immediate):
    async def main():
        made, settled, _, settle = pipeline()
        futures = {i: future() for i in range(6) if i not in immediate}
        for i in range(6):
            made.push(futures.get(i, i), settle)
        for i in order:
            if i in futures:
                futures[i].set_result(i)
                await turn()
        return settled

    assert asyncio.run(main()) == [(i, None) for i in range(6)]
