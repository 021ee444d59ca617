"""``kill -9`` of coordinators and leaders while transactions run: whole, or not at all.

Three brokers as processes. Several producers, each under its own transactional id, write
one record to every partition in each transaction, and the offsets of a group with it;
some they commit, some they abort. Meanwhile the coordinator of one of them, leaders of
partitions, two brokers at once and the one with the controller die, and a coordinator
sleeps until it has a successor. What a client could not know (its producer was fenced in
the middle of a commit) may have become either, but whole.
"""

import asyncio
import itertools
import queue
import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from confluent_kafka import (
    Consumer,
    ConsumerGroupTopicPartitions,
    KafkaError,
    KafkaException,
    Producer,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, NewTopic

from salon.broker.groups.offsets import hash_code
from salon.cli.broker_cluster import Supervisor
from tests.faults.brokers import (
    CONTROLLER,
    all_in_sync,
    kill,
    kill_leader,
    leader,
    pause_leader,
    spread,
    supervised,
    until,
)

pytestmark = [pytest.mark.faults, pytest.mark.timeout(300)]

PARTITIONS = 4
STATE_PARTITIONS = 50
WRITERS = 3
EACH = 120
CALL_S = 10.0
TRIES = 4
HUNG_S = 25.0
"""librdkafka 2.16 was seen to wait in a call for ever, whatever time it was given."""
COMMITTED, ABORTED, UNKNOWN = "committed", "aborted", "unknown"


class HungError(Exception):
    """A call of the client did not come back; its producer is left to itself."""


def within(seconds: float, ask: Callable[..., Any], *args: Any) -> Any:
    """What a call returns or raises; HungError if it does neither in time."""
    told: queue.SimpleQueue[tuple[Any, BaseException | None]] = queue.SimpleQueue()

    def work() -> None:
        try:
            told.put((ask(*args), None))
        except BaseException as error:
            told.put((None, error))

    threading.Thread(target=work, daemon=True).start()
    try:
        value, error = told.get(timeout=seconds)
    except queue.Empty:
        raise HungError(str(ask)) from None
    if error is not None:
        raise error
    return value


class Writer:
    """One transactional id; what became of its transactions, as far as it knows."""

    def __init__(self, bootstrap: str, name: str) -> None:
        self.name = name
        self.fate: dict[int, str] = {}
        self.trouble: Counter[str] = Counter()
        self.error: BaseException | None = None
        self._bootstrap = bootstrap
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._begin()
            for n in range(EACH):
                self.fate[n] = self._transact(n, commit=n % 4 != 3)
            while self._transact(EACH, commit=True) != COMMITTED:
                self.trouble["again at the end"] += 1
            self.fate[EACH] = COMMITTED
        except BaseException as error:
            self.error = error

    def _begin(self) -> None:
        """A producer that fences the one before."""
        self._producer = Producer(
            {
                "bootstrap.servers": self._bootstrap,
                "transactional.id": self.name,
                "transaction.timeout.ms": 30_000,
                "message.timeout.ms": 20_000,
                "linger.ms": 1,
                "retry.backoff.ms": 50,
                "reconnect.backoff.max.ms": 500,
                "topic.metadata.refresh.interval.ms": 500,
                # librdkafka may wait for ever for a connection that it makes only when
                # it is needed (to the coordinator of a group, after a death)
                "enable.sparse.connections": False,
            }
        )
        group = {"bootstrap.servers": self._bootstrap, "group.id": f"g-{self.name}"}
        self._group = Consumer(group).consumer_group_metadata()
        self._call(self._producer.init_transactions)

    def _call(self, ask: Callable[..., Any], *args: Any) -> None:
        """A call that may be repeated, until it has an answer or has had ``TRIES``.

        Whoever raises lets go of this producer; the next one fences it.
        """
        for n in itertools.count(1):
            try:
                within(HUNG_S, ask, *args, CALL_S)
                return
            except KafkaException as refused:
                if not refused.args[0].retriable() or n == TRIES:
                    raise
                self.trouble[refused.args[0].name()] += 1

    def _transact(self, n: int, *, commit: bool) -> str:
        ending, safe = False, []

        def delivered(error: KafkaError | None, _message: Any) -> None:
            safe.append(error is None)

        try:
            self._producer.begin_transaction()
            for index in range(PARTITIONS):
                text = f"{self.name} {n}"
                self._producer.produce("t", text, partition=index, callback=delivered)
            offsets = [TopicPartition("t", i, n) for i in range(PARTITIONS)]
            self._call(self._producer.send_offsets_to_transaction, offsets, self._group)
            if not commit:
                self._call(self._producer.abort_transaction)
                return ABORTED
            within(HUNG_S, self._producer.flush, CALL_S)
            if safe != [True] * PARTITIONS:
                self.trouble["not delivered"] += 1
                self._begin()
                return ABORTED
            ending = True
            self._call(self._producer.commit_transaction)
            return COMMITTED
        except KafkaException as refused:
            error = refused.args[0]
            self.trouble[
                f"{error.name()}, {'fatal' if error.fatal() else 'abort'}"
            ] += 1
            if error.txn_requires_abort():
                try:
                    self._call(self._producer.abort_transaction)
                    return ABORTED
                except (KafkaException, HungError):
                    ending = False
            self._begin()
            return UNKNOWN if ending else ABORTED
        except HungError:
            self.trouble["hung"] += 1
            self._begin()
            return UNKNOWN if ending else ABORTED

    def wait(self) -> None:
        self._thread.join(200)
        assert not self._thread.is_alive(), (self.name, len(self.fate), self.trouble)
        if self.error is not None:
            raise self.error


def read_committed(bootstrap: str) -> list[list[str]]:
    """All that a reader of committed records sees, up to each writer's last word."""
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "reader",
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
        }
    )
    consumer.assign([TopicPartition("t", i, 0) for i in range(PARTITIONS)])
    found: list[list[str]] = [[] for _ in range(PARTITIONS)]
    last_words = 0
    while last_words < WRITERS * PARTITIONS:
        message = consumer.poll(60)
        assert message is not None, f"readers wait: {[each[-3:] for each in found]}"
        if message.error() is None:
            text = message.value().decode()
            found[message.partition()].append(text)
            last_words += text.endswith(f" {EACH}")
    consumer.close()
    return found


def create(bootstrap: str) -> None:
    admin = AdminClient({"bootstrap.servers": bootstrap})
    places = [[2, 3, 1], [3, 1, 2], [1, 2, 3], [2, 1, 3]]
    admin.create_topics([NewTopic("t", PARTITIONS, replica_assignment=places)])[
        "t"
    ].result(30)


def offsets_of(bootstrap: str, group: str) -> set[int]:
    admin = AdminClient({"bootstrap.servers": bootstrap})
    wanted = [ConsumerGroupTopicPartitions(group)]
    told = admin.list_consumer_group_offsets(wanted)[group].result(60)
    return {p.offset for p in told.topic_partitions}


async def hurt(supervisor: Supervisor, writers: list[Writer]) -> list[int]:
    """Kill, each time when some more transactions are over; who died."""
    state = f"__transaction_state-{hash_code(writers[0].name) % STATE_PARTITIONS}"
    killed = []

    def done() -> int:
        return sum(len(each.fate) for each in writers)

    def over() -> bool:
        return any(each.error is not None for each in writers)

    for n in range(1, 7):
        mark = n * WRITERS * EACH // 8
        await until(lambda mark=mark: done() >= mark or over(), 100)
        await until(lambda: all_in_sync(supervisor))  # or who is left may not lead
        await asyncio.to_thread(spread, supervisor)
        if n == 1:
            killed.append(await kill_leader(supervisor, state))
        elif n == 2:
            killed.append(await kill_leader(supervisor, "t-0"))
        elif n == 3:  # its coordinator again, and while nobody leads, another one
            victim = await asyncio.to_thread(leader, supervisor, state)
            others = [b for b in (2, 3) if b != victim]
            for each in (victim, others[0]):
                if each > 0:
                    kill(supervisor, each)
                    killed.append(each)
        elif n == 4:
            killed.append(await kill_leader(supervisor, "t-1"))
        elif n == 5:  # two coordinators at a time, one of which is of the past
            killed.append(await pause_leader(supervisor, state))
        else:
            kill(supervisor, CONTROLLER)
            killed.append(CONTROLLER)
    return killed


async def test_transactions_survive_the_death_of_their_coordinators(tmp_path):
    with supervised(tmp_path) as supervisor:
        await asyncio.to_thread(create, supervisor.bootstrap)
        names = [f"w{n}" for n in range(WRITERS)]
        writers = [Writer(supervisor.bootstrap, name) for name in names]
        killed = await hurt(supervisor, writers)
        for each in writers:
            await asyncio.to_thread(each.wait)
        assert len(killed) >= 6
        found = await asyncio.to_thread(read_committed, supervisor.bootstrap)
        counted = [Counter(each) for each in found]
        for each in writers:
            fates = Counter(each.fate.values())
            print(each.name, dict(fates), dict(each.trouble))
            for n, fate in each.fate.items():
                seen = [c[f"{each.name} {n}"] for c in counted]
                wanted = {COMMITTED: [[1]], ABORTED: [[0]], UNKNOWN: [[0], [1]]}[fate]
                assert seen in [w * PARTITIONS for w in wanted], (each.name, n, fate)
            of_one = [
                [int(t.split()[1]) for t in part if t.startswith(f"{each.name} ")]
                for part in found
            ]
            assert all(part == sorted(part) for part in of_one)
            offsets = await asyncio.to_thread(
                offsets_of, supervisor.bootstrap, f"g-{each.name}"
            )
            assert offsets == {EACH}
            assert fates[COMMITTED] > EACH // 2
