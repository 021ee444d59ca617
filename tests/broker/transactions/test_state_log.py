"""Who coordinates an id, and what holds of what was written."""

from dataclasses import replace

import pytest

from salon.broker.delayed import Appended
from salon.broker.errors import ApiError, Code
from salon.broker.server import Broker
from salon.broker.topics import TRANSACTIONS_TOPIC
from salon.broker.transactions.records import State, Transaction
from salon.broker.transactions.state_log import TransactionLog
from tests.broker.cluster import Follower

ONE = Transaction("me", 7, 0, 60_000)


@pytest.fixture
async def kept(broker: Broker) -> TransactionLog:
    await broker.admin.ensure(TRANSACTIONS_TOPIC, 1)
    return TransactionLog(broker.config, broker.topics, broker.replicas, broker._clock)


def refused(kept: TransactionLog) -> Code:
    with pytest.raises(ApiError) as error:
        kept.coordinated("me")
    return error.value.code


async def test_nobody_coordinates_what_is_led_elsewhere(broker: Broker, kept):
    led = broker.replicas.partitions[TRANSACTIONS_TOPIC, 0]
    follower = Follower(led.topic, 0, led.log, led.flusher)
    broker.replicas.partitions[TRANSACTIONS_TOPIC, 0] = follower
    assert refused(kept) is Code.NOT_COORDINATOR


async def test_who_has_not_read_yet_says_so(kept):
    led = kept.begin(0)
    assert refused(kept) is Code.COORDINATOR_LOAD_IN_PROGRESS
    assert kept.known() == []
    assert await kept.read(led)
    assert kept.coordinated("me") is led


async def test_what_was_written_is_read_again_and_the_newest_holds(kept):
    led = kept.read_all(0)
    await kept.put(led, ONE)
    await kept.put(led, replace(ONE, state=State.ONGOING, partitions={("t", 0)}))
    await kept.put(led, replace(ONE, id="gone"))
    await kept.remove(led, "gone")
    again = kept.begin(0)
    assert await kept.read(again)
    found = again.transactions
    assert found.keys() == {"me"}
    assert (found["me"].state, found["me"].partitions) == (State.ONGOING, {("t", 0)})


async def test_a_reader_stops_when_leadership_goes(kept, monkeypatch):
    monkeypatch.setattr("salon.broker.transactions.state_log._BATCHES_A_TURN", 1)
    led = kept.read_all(0)
    for epoch in range(3):
        await kept.put(led, replace(ONE, epoch=epoch))
    first = kept.begin(0)
    second = kept.begin(0)
    assert not await kept.read(first)
    assert await kept.read(second)
    assert second.transactions["me"].epoch == 2


async def test_what_an_earlier_leadership_writes_is_refused(broker: Broker, kept):
    """Even when leadership has come back meanwhile: another may have decided."""
    led = kept.read_all(0)
    kept.resign(0)
    again = kept.read_all(0)
    end = broker.replicas.partitions[TRANSACTIONS_TOPIC, 0].log.end
    with pytest.raises(ApiError) as error:
        await kept.put(led, ONE)
    assert error.value.code is Code.NOT_COORDINATOR
    assert broker.replicas.partitions[TRANSACTIONS_TOPIC, 0].log.end == end
    await kept.put(again, ONE)


@pytest.mark.parametrize(
    ("code", "told"),
    [
        (Code.NOT_LEADER_OR_FOLLOWER, Code.NOT_COORDINATOR),
        (Code.NOT_ENOUGH_REPLICAS, Code.COORDINATOR_NOT_AVAILABLE),
        (Code.REQUEST_TIMED_OUT, Code.COORDINATOR_NOT_AVAILABLE),
    ],
)
async def test_a_write_of_unknown_fate_changes_nothing_here(
    broker: Broker, kept, monkeypatch, code: Code, told: Code
):
    led = kept.read_all(0)
    before = await kept.put(led, ONE)

    def lost(*_args: object, **_how: object) -> Appended:
        return Appended(None).fail(code)

    monkeypatch.setattr(broker.replicas, "append", lost)
    with pytest.raises(ApiError) as error:
        await kept.put(led, replace(ONE, epoch=5))
    assert error.value.code is told
    assert led.transactions["me"] is before
