"""Markers: how a decided transaction reaches the partitions that it has written to.

(``TransactionMarkerChannelManager``, ``KafkaApis.handleWriteTxnMarkersRequest``.) The
coordinator sends each marker to the leader of its partition, over one connection to every
broker that leads some (WriteTxnMarkers, API 27); what waits for a broker goes in one
request. A marker that could not be written (the leader has moved, is dead, has too few
followers) is tried again until it is: the decision is safe in ``__transaction_state``, so
whoever coordinates next goes on where this one stopped. A second marker does no harm.

Only two answers end the trying: the partition has heard from a later coordinator, or of a
later epoch of the producer. Then this coordinator is of the past.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from salon.broker.errors import ApiError, Code, ProtocolError
from salon.broker.groups.offsets import Offsets
from salon.broker.log.transactions import Marker
from salon.broker.nodes import NOWHERE, Nodes
from salon.broker.partition import Key
from salon.broker.replicas import ReplicaManager
from salon.broker.replication.peer import Address, Peer, PeerAway
from salon.broker.topics import OFFSETS_TOPIC
from salon.broker.transactions import messages
from salon.clock import Clock

log = logging.getLogger(__name__)

_ACK_TIMEOUT_MS = 5_000
_ANSWER_S = 10.0
_AGAIN_S = 0.1
_FENCED = (Code.TRANSACTION_COORDINATOR_FENCED, Code.INVALID_PRODUCER_EPOCH)

Codes = Mapping[Key, Code]


class Marked(NamedTuple):
    """A marker, and the partitions of one broker that it is for."""

    marker: Marker
    keys: tuple[Key, ...]


class MarkerWriter:
    """Writes markers into partitions that are led here.

    Args:
        replicas: of this broker.
        offsets: of groups, which hold once their transaction is committed.
        clock: wall time of markers.
    """

    def __init__(
        self, replicas: ReplicaManager, offsets: Offsets, clock: Clock
    ) -> None:
        self._replicas = replicas
        self._offsets = offsets
        self._clock = clock

    def write(
        self, wanted: Sequence[Marked], done: Callable[[list[Codes]], None]
    ) -> None:
        """Append markers, and call ``done`` with what became of each when it is safe."""
        now_ms = self._clock.now_ms()
        appended = [
            {k: self._replicas.append_marker(k, each.marker, now_ms) for k in each.keys}
            for each in wanted
        ]

        def acknowledged() -> None:
            results: list[Codes] = []
            for each, parts in zip(wanted, appended, strict=True):
                codes = {key: part.error for key, part in parts.items()}
                for (topic, index), code in codes.items():
                    if topic == OFFSETS_TOPIC and code is Code.NONE:
                        self._offsets.end_transaction(
                            index, each.marker.producer_id, commit=each.marker.commit
                        )
                results.append(codes)
            done(results)

        flat = [part for parts in appended for part in parts.values()]
        self._replicas.wait_for_acks(flat, _ACK_TIMEOUT_MS, acknowledged)


class MarkerChannel:
    """Markers on their way to one other broker: what waits goes in one request.

    Args:
        address: of the broker's inter-broker listener; None while nobody knows.
    """

    def __init__(self, address: Callable[[], Address | None]) -> None:
        self._peer = Peer(address, _ANSWER_S)
        self._waiting: list[tuple[Marked, asyncio.Future[Codes]]] = []
        self._task: asyncio.Task[None] | None = None

    async def write(self, wanted: Marked) -> Codes:
        """Have markers written there; what became of each.

        Raises:
            PeerAway: ours; nobody knows what became of them.
        """
        loop = asyncio.get_running_loop()
        told: asyncio.Future[Codes] = loop.create_future()
        self._waiting.append((wanted, told))
        if self._task is None or self._task.done():
            self._task = loop.create_task(self._send())
        return await told

    async def _send(self) -> None:
        while self._waiting:
            sent, self._waiting = self._waiting, []
            try:
                codes = await messages.write_markers(
                    self._peer, [(m.marker, m.keys) for m, _ in sent]
                )
            except (PeerAway, ProtocolError) as away:
                self._peer.close()
                for _, told in sent:
                    if not told.done():
                        told.set_exception(PeerAway(str(away)))
                continue
            for (_, told), each in zip(sent, codes, strict=True):
                if not told.done():
                    told.set_result(each)

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        for _, told in self._waiting:
            told.cancel()
        self._peer.close()


class TransactionMarkers:
    """Brings markers to wherever their partitions are led.

    Args:
        me: this broker's id.
        nodes: who leads what.
        writer: for what is led here.
        address: of another broker's inter-broker listener.
    """

    def __init__(
        self,
        me: int,
        nodes: Nodes,
        writer: MarkerWriter,
        address: Callable[[int], Address | None],
    ) -> None:
        self._me = me
        self._nodes = nodes
        self._writer = writer
        self._address = address
        self._channels: dict[int, MarkerChannel] = {}

    async def deliver(self, marker: Marker, keys: Iterable[Key]) -> None:
        """Return when the marker is in all partitions; those of gone topics need none.

        Raises:
            ApiError: theirs; TRANSACTION_COORDINATOR_FENCED or INVALID_PRODUCER_EPOCH:
                somebody else decides by now.
        """
        left = set(keys)
        while True:
            by_leader: dict[int, list[Key]] = {}
            for key in sorted(left):
                leader = self._nodes.leader_id(*key)
                if leader is not None:
                    by_leader.setdefault(leader, []).append(key)
            by_leader.pop(NOWHERE, None)
            left = {k for k in left if self._nodes.leader_id(*k) is not None}
            writes = [
                self._write(broker, Marked(marker, tuple(wanted)))
                for broker, wanted in by_leader.items()
            ]
            one = len(writes) == 1  # as it always is where one broker is
            answers = [await writes[0]] if one else await asyncio.gather(*writes)
            for codes in answers:
                left -= {key for key, code in codes.items() if code is Code.NONE}
                fenced = [code for code in codes.values() if code in _FENCED]
                if fenced:
                    raise ApiError(fenced[0])
            if not left:
                return
            await asyncio.sleep(_AGAIN_S)

    async def _write(self, broker: int, wanted: Marked) -> Codes:
        """What became of markers; those of which nothing is known are missing."""
        if broker == self._me:
            return await self._write_here(wanted)
        channel = self._channels.get(broker)
        if channel is None:
            channel = self._channels[broker] = MarkerChannel(
                lambda: self._address(broker)
            )
        try:
            return await channel.write(wanted)
        except PeerAway as away:
            log.info("markers for broker %d: %s", broker, away)
            return {}

    async def _write_here(self, wanted: Marked) -> Codes:
        told: asyncio.Future[Codes] = asyncio.get_running_loop().create_future()

        def done(results: list[Codes]) -> None:
            if not told.done():
                told.set_result(results[0])

        self._writer.write([wanted], done)
        return await told

    async def close(self) -> None:
        """Send no more."""
        await asyncio.gather(*(each.close() for each in self._channels.values()))
