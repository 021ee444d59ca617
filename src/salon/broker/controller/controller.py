"""The controller: who lives, who leads, who is in sync.

(``KafkaController``, as it was before KRaft.) One broker hosts it. Theory of operation:

1. Every decision is made under one lock, **written to disk first**, then told: to all
   brokers what clients should know (UpdateMetadata), to the replicas what they are to do
   (LeaderAndIsr, StopReplica). That order matters: a follower needs to know where its
   leader is.
2. A broker lives from its registration until it is silent for
   ``broker.session.timeout.ms`` or registers anew. Each life has a *broker epoch*, so that
   nothing said to a former life counts.
3. The leader is the first replica, in the order of the assignment, that lives and is in
   sync. Who died leaves the ISR, save the last: then the partition is offline until that
   one is back (or, with ``unclean.leader.election.enable``, any other replica leads, and
   what only the dead one had is lost).
4. Leaders propose changes of their ISR (AlterPartition). A proposal holds only for the
   leader epoch and partition epoch it was made under.
5. There is no quorum: while the controller is away, leaders lead on, but nobody is
   elected and no topic is made. It starts again with a higher *controller epoch*; brokers
   obey no lower one.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor
from typing import Any
from uuid import UUID

from salon.broker.config import BrokerConfig
from salon.broker.controller import placement, state
from salon.broker.controller.announcer import Announcer, Life
from salon.broker.controller.channel import Connect, ControllerChannel
from salon.broker.controller.state import ClusterState, TopicState
from salon.broker.errors import ApiError, Code
from salon.broker.replication.messages import Endpoints
from salon.broker.replication.partition import (
    NO_LEADER,
    PartitionState,
    elect,
)
from salon.broker.topics import TRANSACTIONS_TOPIC, Topics

log = logging.getLogger(__name__)

PRODUCER_IDS = 1000
"""In a block (Kafka's ``ProducerIdsBlock.PRODUCER_ID_BLOCK_SIZE``)."""
Key = tuple[str, int]


class Controller:
    """Decides for the cluster.

    Args:
        config: of the broker that hosts it.
        topics: checks names and settings.
        executor: where the disk is waited for.
        connect: makes the channel to a broker's control listener.
    """

    def __init__(
        self,
        config: BrokerConfig,
        topics: Topics,
        executor: Executor,
        connect: Connect = ControllerChannel,
    ) -> None:
        self._config = config
        self._topics = topics
        self._executor = executor
        self._connect = connect
        self._loop = asyncio.get_running_loop()
        self._changing = asyncio.Lock()
        self._state = ClusterState.load(config.folder)
        self._state.controller_epoch += 1
        state.save(config.folder, self._state.encode())
        self._lives: dict[int, Life] = {}
        self._announcer = Announcer(config, self._state, self._lives)
        self._next_start = 0
        timeout_s = config.broker_session_timeout_ms / 1000
        self._patient_until = self._loop.time() + timeout_s
        self._task = self._loop.create_task(self._watch())

    @property
    def epoch(self) -> int:
        return self._state.controller_epoch

    @property
    def topics(self) -> Mapping[str, TopicState]:
        return self._state.topics

    @property
    def offline_partitions(self) -> int:
        return sum(
            p.leader == NO_LEADER
            for topic in self._state.topics.values()
            for p in topic.partitions
        )

    async def settled(self) -> None:
        """Wait until every broker that lives has done what it was told."""
        await self._announcer.settled()

    async def close(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        for life in self._lives.values():
            await life.channel.close()

    # --- who lives ---

    async def register(self, broker: int, endpoints: Endpoints) -> int:
        """A broker begins a life.

        Returns:
            Its broker epoch.

        Raises:
            ApiError: theirs; INVALID_REQUEST, it has no control listener.
        """
        control = self._config.control_plane_listener_name.upper()
        if control not in endpoints:
            raise ApiError(Code.INVALID_REQUEST, f"broker {broker} has no {control}")
        async with self._changing:
            if broker in self._lives:  # it died and is back before we noticed
                await self._bury(broker)
            self._state.broker_epoch += 1
            epoch = self._state.broker_epoch
            channel = self._connect(broker, epoch, endpoints[control])
            life = Life(epoch, endpoints, self._loop.time(), channel)
            self._lives[broker] = life
            log.info("broker %d is here, epoch %d", broker, epoch)
            moved = [key for key in self._keys() if self._revive(key)]
            await self._save()
            self._announcer.tell_all_about(self._state.topics)
            self._announcer.command(moved, but=broker)
            mine = [k for k in self._keys() if broker in self._state.at(k).replicas]
            self._announcer.command(mine, only=broker)
            return epoch

    def heartbeat(self, broker: int, epoch: int) -> None:
        """A broker lives on.

        Raises:
            ApiError: theirs; STALE_BROKER_EPOCH, it has to register.
        """
        life = self._lives.get(broker)
        if life is None or life.epoch != epoch:
            raise ApiError(Code.STALE_BROKER_EPOCH)
        life.heard = self._loop.time()

    async def leave(self, broker: int, epoch: int) -> None:
        """A broker stops: others lead what it led, before it is gone.

        Raises:
            ApiError: theirs; STALE_BROKER_EPOCH.
        """
        self.heartbeat(broker, epoch)
        async with self._changing:
            await self._died([broker])

    async def _watch(self) -> None:
        timeout_s = self._config.broker_session_timeout_ms / 1000
        while True:
            looked = self._loop.time()
            await asyncio.sleep(timeout_s / 4)
            if self._loop.time() - looked > timeout_s / 2:
                continue  # we were away ourselves: their words wait to be heard
            oldest = self._loop.time() - timeout_s
            silent = [
                broker
                for broker, life in self._lives.items()
                if life.heard < oldest or life.channel.behind
            ]
            if self._patient_until < oldest + timeout_s:
                silent += self._missing()
            if silent:
                async with self._changing:
                    log.warning("brokers that are silent, or far behind: %s", silent)
                    await self._died(silent)

    def _missing(self) -> list[int]:
        """Brokers that lead or are in sync, but do not live."""
        needed: set[int] = set()
        for key in self._keys():
            now = self._state.at(key)
            # the last one in sync keeps its place: only it has everything
            needed.update({now.leader, *now.isr} if len(now.isr) > 1 else {now.leader})
        return sorted(needed - {NO_LEADER} - self._lives.keys())

    async def _died(self, brokers: Iterable[int]) -> None:
        moved: list[Key] = []
        for broker in brokers:
            moved += await self._bury(broker, save=False)
        await self._save()
        self._announcer.tell_all_about(
            {topic for topic, _ in moved} or self._state.topics
        )
        self._announcer.command(moved)

    async def _bury(self, broker: int, *, save: bool = True) -> list[Key]:
        life = self._lives.pop(broker, None)
        if life is not None:
            await life.channel.close()
        moved = [key for key in self._keys() if self._without(key, broker)]
        if save:
            await self._save()
            self._announcer.tell_all_about({topic for topic, _ in moved})
            self._announcer.command(moved)
        return moved

    def _without(self, key: Key, dead: int) -> bool:
        """Take a dead broker out of a partition; whether that changed it."""
        now = self._state.at(key)
        if dead != now.leader and dead not in now.isr:
            return False
        isr = tuple(r for r in now.isr if r != dead) or now.isr
        leader = now.leader if now.leader != dead else self._elect(key, isr)
        if leader != NO_LEADER and leader not in isr:
            isr = (leader,)  # unclean
        if (leader, isr) == (now.leader, now.isr):
            return False
        self._put(key, leader, isr)
        return True

    def _revive(self, key: Key) -> bool:
        """Elect for a partition whose leader is away; whether that changed it."""
        now = self._state.at(key)
        if now.leader in self._lives or self._may_come_back(now.leader):
            return False
        leader = self._elect(key, now.isr)
        if leader == now.leader == NO_LEADER:
            return False
        isr = tuple(r for r in now.isr if r in self._lives) or now.isr
        if leader != NO_LEADER and leader not in isr:
            isr = (leader,)  # unclean
        self._put(key, leader, isr)
        return True

    def _may_come_back(self, broker: int) -> bool:
        """This controller has just begun, and the broker has not spoken yet."""
        return broker != NO_LEADER and self._loop.time() < self._patient_until

    def _elect(self, key: Key, isr: Iterable[int]) -> int:
        replicas = self._state.at(key).replicas
        leader = elect(replicas, isr, self._lives.__contains__)
        # what a transaction's coordinator has decided may not be forgotten
        unclean = self._config.unclean_leader_election_enable
        if leader == NO_LEADER and unclean and key[0] != TRANSACTIONS_TOPIC:
            leader = elect(replicas, replicas, self._lives.__contains__)
        return leader

    async def elect_leaders(
        self, keys: Sequence[Key] | None, *, unclean: bool
    ) -> dict[Key, Code]:
        """Have partitions led by their preferred replica, the first (KIP-460).

        Args:
            keys: the partitions; None: all.
            unclean: instead, have those that nobody leads led by any replica that lives;
                what only the dead ones had is lost.

        Returns:
            What became of each; of all, only those that were changed or cannot be.
        """
        choose = self._choose_any if unclean else self._choose_preferred
        async with self._changing:
            known = set(self._keys())
            wanted = sorted(known) if keys is None else keys
            codes = {
                key: choose(key) if key in known else Code.UNKNOWN_TOPIC_OR_PARTITION
                for key in wanted
            }
            moved = [key for key, code in codes.items() if code is Code.NONE]
            if moved:
                await self._save()
                self._announcer.tell_all_about({topic for topic, _ in moved})
                self._announcer.command(moved)
        await self._announcer.settled()
        if keys is not None:
            return codes
        return {k: c for k, c in codes.items() if c is not Code.ELECTION_NOT_NEEDED}

    def _choose_preferred(self, key: Key) -> Code:
        now = self._state.at(key)
        preferred = now.replicas[0]
        if now.leader == preferred:
            return Code.ELECTION_NOT_NEEDED
        if preferred not in self._lives or preferred not in now.isr:
            return Code.PREFERRED_LEADER_NOT_AVAILABLE
        self._put(key, preferred, now.isr)
        return Code.NONE

    def _choose_any(self, key: Key) -> Code:
        now = self._state.at(key)
        if now.leader in self._lives:
            return Code.ELECTION_NOT_NEEDED
        leader = elect(now.replicas, now.isr, self._lives.__contains__)
        isr = tuple(r for r in now.isr if r in self._lives)
        if leader == NO_LEADER:
            leader = elect(now.replicas, now.replicas, self._lives.__contains__)
            isr = (leader,)
        if leader == NO_LEADER:
            return Code.ELIGIBLE_LEADERS_NOT_AVAILABLE
        self._put(key, leader, isr)
        return Code.NONE

    # --- partitions ---

    def _keys(self) -> list[Key]:
        return [
            (topic.name, index)
            for topic in self._state.topics.values()
            for index in range(len(topic.partitions))
        ]

    def _put(self, key: Key, leader: int, isr: tuple[int, ...]) -> None:
        now = self._state.at(key)
        self._state.topics[key[0]].partitions[key[1]] = PartitionState(
            leader, now.leader_epoch + 1, isr, now.partition_epoch + 1, now.replicas
        )

    async def alter_partition(
        self,
        broker: int,
        topic_id: UUID,
        index: int,
        proposed: PartitionState,
    ) -> PartitionState:
        """A leader proposes an ISR (KIP-497).

        Args:
            broker: the leader.
            topic_id: of the topic.
            index: of the partition.
            proposed: with the epochs that the leader knows, and the new ISR.

        Raises:
            ApiError: theirs; it does not lead, its epochs are old, or somebody in the
                new ISR is no living replica.
        """
        async with self._changing:
            topic = self._state.by_id(topic_id)
            if topic is None or index >= len(topic.partitions):
                raise ApiError(Code.UNKNOWN_TOPIC_ID)
            key = (topic.name, index)
            now = self._state.at(key)
            if now.leader != broker or now.leader_epoch != proposed.leader_epoch:
                raise ApiError(Code.FENCED_LEADER_EPOCH)
            if now.partition_epoch != proposed.partition_epoch:
                raise ApiError(Code.INVALID_UPDATE_VERSION)
            isr = proposed.isr
            if broker not in isr or any(
                r not in self._lives or r not in now.replicas for r in isr
            ):
                raise ApiError(Code.INELIGIBLE_REPLICA)
            changed = now._replace(isr=isr, partition_epoch=now.partition_epoch + 1)
            topic.partitions[index] = changed
            await self._save()
            self._announcer.tell_all_about([topic.name])
            return changed

    # --- topics ---

    async def create(
        self,
        name: str,
        partitions: int,
        replication_factor: int,
        settings: Mapping[str, str],
        assignment: Sequence[Sequence[int]] = (),
        *,
        validate_only: bool = False,
    ) -> TopicState:
        """Make a topic.

        Args:
            name: of it.
            partitions: how many.
            replication_factor: brokers that have each.
            settings: of the topic.
            assignment: the replicas of each partition, the preferred leader first;
                empty: the controller chooses.
            validate_only: only say whether it could be made.

        Raises:
            ApiError: theirs; it exists, or something about it is impossible.
        """
        async with self._changing:
            if name in self._state.topics:
                raise ApiError(Code.TOPIC_ALREADY_EXISTS, f"topic {name!r} exists")
            described = self._topics.describe(name, partitions, settings)
            replicas = self._assign(partitions, replication_factor, assignment)
            topic = TopicState(
                name,
                described.id,
                dict(settings),
                [self._first(each) for each in replicas],
            )
            if not validate_only:
                self._state.topics[name] = topic
                await self._save()
                self._announcer.announce(name, 0)
        if not validate_only:
            await self._announcer.settled()
        return topic

    async def add_partitions(
        self, name: str, count: int, *, validate_only: bool = False
    ) -> None:
        """Grow a topic to ``count`` partitions, with as many replicas as it has.

        Raises:
            ApiError: theirs; unknown topic, or fewer than there are.
        """
        async with self._changing:
            topic = self._existing(name)
            first = len(topic.partitions)
            if count <= first:
                raise ApiError(
                    Code.INVALID_PARTITIONS,
                    f"topic {name!r} has {first} partitions already",
                )
            self._topics.describe(name, count, topic.settings)
            factor = len(topic.partitions[0].replicas)
            replicas = self._assign(count - first, factor, ())
            if validate_only:
                return
            topic.partitions += [self._first(each) for each in replicas]
            await self._save()
            self._announcer.announce(name, first)
        await self._announcer.settled()

    async def configure(
        self,
        name: str,
        change: Callable[[Mapping[str, str]], Mapping[str, str]],
        *,
        validate_only: bool = False,
    ) -> None:
        """Give a topic the settings that ``change`` makes of its own.

        Raises:
            ApiError: theirs; unknown topic, unknown or impossible setting.
        """
        async with self._changing:
            topic = self._existing(name)
            settings = dict(change(topic.settings))
            self._topics.describe(name, len(topic.partitions), settings)
            if validate_only:
                return
            topic.settings = settings
            await self._save()
            self._announcer.tell_all_about([name])
        await self._announcer.settled()

    async def delete(self, name: str) -> None:
        """Remove a topic everywhere; a broker that is away does it when it is back.

        Raises:
            ApiError: theirs; unknown topic.
        """
        async with self._changing:
            topic = self._existing(name)
            del self._state.topics[name]
            await self._save()
            self._announcer.gone(topic)
        await self._announcer.settled()

    def _existing(self, name: str) -> TopicState:
        topic = self._state.topics.get(name)
        if topic is None:
            raise ApiError(Code.UNKNOWN_TOPIC_OR_PARTITION, f"no topic {name!r}")
        return topic

    def _first(self, replicas: Sequence[int]) -> PartitionState:
        alive = tuple(r for r in replicas if r in self._lives)
        return PartitionState(alive[0], 0, alive, 0, tuple(replicas))

    def _assign(
        self, count: int, factor: int, assignment: Sequence[Sequence[int]]
    ) -> list[tuple[int, ...]]:
        alive = sorted(self._lives)
        if assignment:
            return placement.checked(assignment, alive)
        start = self._next_start
        self._next_start += count
        return placement.in_turn(count, factor, alive, start)

    async def new_producer_ids(self) -> int:
        """The first id of a block of ``PRODUCER_IDS`` that nobody was given."""
        async with self._changing:
            first = self._state.next_producer_id
            self._state.next_producer_id += PRODUCER_IDS
            await self._save()
            return first

    async def _save(self) -> None:
        encoded = self._state.encode()
        await self._loop.run_in_executor(
            self._executor, state.save, self._config.folder, encoded
        )


def describe(controller: Controller) -> dict[str, Any]:
    """For ``/status``."""
    return {
        "epoch": controller.epoch,
        "topics": len(controller.topics),
        "offline_partitions": controller.offline_partitions,
    }
