"""Copying from one leader: a loop of fetches, one for all partitions that it leads.

(``ReplicaFetcherThread``; KIP-101, KIP-595.) A follower asks for what comes after its
own end and appends what it gets, byte for byte. It says of which epoch its last record
is; if the leader never had that record there, it says where they part, and the follower
cuts its log there. Epochs decide, never the high watermark: the follower's is always a
little old, and cutting by it could take away what was acknowledged.

A partition that fails waits for ``replica.fetch.backoff.ms``, or until the controller
says something new about it; the others go on.
"""

import asyncio
import logging
from collections.abc import Callable

from salon.broker.config import BrokerConfig
from salon.broker.errors import Code, ProtocolError, StorageError
from salon.broker.log import batch as batches
from salon.broker.partition import Key
from salon.broker.protocol.versions import FETCH
from salon.broker.replication import wire
from salon.broker.replication.partition import ReplicatedPartition
from salon.broker.replication.peer import Address, Peer, PeerAway
from salon.broker.replication.wire import Fetched, Wanted

log = logging.getLogger(__name__)

_GRACE_S = 5.0
"""Beyond the time that the leader may wait: after that it does not answer."""


class ReplicaFetcher:
    """Fetches from one leader.

    Args:
        config: of this broker.
        address: of the leader's inter-broker listener; None while nobody knows.
        appended: called with the key of each partition that has new records.
    """

    def __init__(
        self,
        config: BrokerConfig,
        address: Callable[[], Address | None],
        appended: Callable[[Key], None],
    ) -> None:
        self._config = config
        self._appended = appended
        wait_s = config.replica_fetch_wait_max_ms / 1000
        self._peer = Peer(address, wait_s + _GRACE_S)
        self._partitions: dict[Key, ReplicatedPartition] = {}
        self._paused: dict[Key, float] = {}
        self._some = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._task = self._loop.create_task(self._run())

    def add(self, partition: ReplicatedPartition) -> None:
        """Copy a partition from now on."""
        self._partitions[partition.key] = partition
        self._paused.pop(partition.key, None)
        self._some.set()

    def remove(self, key: Key) -> None:
        """Copy it no more; what is being fetched of it is thrown away."""
        self._partitions.pop(key, None)
        self._paused.pop(key, None)

    def __len__(self) -> int:
        return len(self._partitions)

    async def close(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self._peer.close()

    async def _run(self) -> None:
        backoff_s = self._config.replica_fetch_backoff_ms / 1000
        while True:
            wanted = self._wanted()
            if not wanted:
                self._some.clear()
                try:
                    async with asyncio.timeout(backoff_s if self._paused else None):
                        await self._some.wait()
                except TimeoutError:
                    pass
                continue
            try:
                await self._fetch(wanted)
            except (PeerAway, ProtocolError) as error:
                log.info("the leader of %d partitions: %s", len(wanted), error)
                await asyncio.sleep(backoff_s)
            except Exception:
                log.exception("copying failed; it is tried again")
                await asyncio.sleep(backoff_s)

    def _wanted(self) -> list[Wanted]:
        now = self._loop.time()
        wanted = []
        for key, partition in self._partitions.items():
            if self._paused.get(key, 0) > now or partition.log.failure is not None:
                continue
            kept = partition.log
            wanted.append(
                Wanted(
                    key,
                    partition.leader_epoch,
                    kept.end.offset,
                    kept.epochs[-1][0] if kept.epochs else -1,
                    kept.start_offset,
                    self._config.replica_fetch_max_bytes,
                )
            )
        return wanted

    async def _fetch(self, wanted: list[Wanted]) -> None:
        config = self._config
        body = wire.encode_request(
            config.broker_id,
            config.replica_fetch_wait_max_ms,
            config.replica_fetch_min_bytes,
            config.replica_fetch_response_max_bytes,
            wanted,
        )
        answer = await self._peer.ask(FETCH, wire.VERSION, body)
        error, found = wire.decode_response(answer)
        if error:
            raise ProtocolError(f"the leader answers {error}")
        asked = {each.key: each for each in wanted}
        for each in found:
            partition = self._partitions.get(each.key)
            if partition is None or each.key not in asked:
                continue  # removed while the fetch was out
            epoch = asked[each.key].leader_epoch
            if partition.leader_epoch != epoch:
                continue  # another leadership began
            try:
                await self._apply(partition, each, epoch)
            except (StorageError, ProtocolError) as failed:
                log.error("%s-%d is not copied: %s", *each.key, failed)
                self._pause(each.key)

    async def _apply(
        self, partition: ReplicatedPartition, fetched: Fetched, leader_epoch: int
    ) -> None:
        """Do what the leader of ``leader_epoch`` has answered."""
        if fetched.error == Code.OFFSET_OUT_OF_RANGE:
            await self._start_over(partition, fetched, leader_epoch)
        elif fetched.error:
            log.info("%s-%d: the leader answers %d", *fetched.key, fetched.error)
            self._pause(fetched.key)
        elif fetched.diverging is not None:
            await self._cut(partition, *fetched.diverging, leader_epoch)
        else:
            self._append(partition, fetched)

    def _append(self, partition: ReplicatedPartition, fetched: Fetched) -> None:
        data, position = fetched.records, 0
        kept = partition.log
        while position + batches.HEADER_SIZE <= len(data):
            batch = batches.parse(data, position)
            if position + batch.size > len(data):
                break  # cut off at the size asked for: it comes again
            if not batches.is_sound(data, batch, position):
                raise ProtocolError(f"a batch at {batch.base_offset} that is unsound")
            if batch.base_offset >= kept.end.offset:
                kept.append_as_follower(data[position : position + batch.size], batch)
            position += batch.size
        partition.leader_has(fetched.high_watermark, fetched.log_start)
        if position:
            if partition.group_flushed:
                partition.flusher.request()
            self._appended(partition.key)

    async def _cut(
        self, partition: ReplicatedPartition, epoch: int, end: int, leader_epoch: int
    ) -> None:
        """The leader's log parts from ours: at the end of the last common epoch."""
        known, own_end = partition.log.epoch_end(epoch)
        offset = min(end, own_end) if known >= 0 else end
        async with partition.cleaning:
            await partition.flusher.idle()
            if not self._still_copies(partition, leader_epoch):
                return
            log.warning(
                "%s-%d: cut from %d to %d; the leader's epoch %d ends there",
                *partition.key,
                partition.log.end.offset,
                offset,
                epoch,
            )
            partition.log.truncate_to(offset)
            partition.cut(offset)

    def _still_copies(self, partition: ReplicatedPartition, leader_epoch: int) -> bool:
        """Whether an answer counts that was waited with.

        The controller does not wait for our disk: by now this broker may lead, and what
        the former leader never had may be acknowledged.
        """
        copied = self._partitions.get(partition.key) is partition
        return copied and partition.leader_epoch == leader_epoch

    async def _start_over(
        self, partition: ReplicatedPartition, fetched: Fetched, leader_epoch: int
    ) -> None:
        """The leader has deleted what comes after our end."""
        if partition.log.end.offset >= fetched.log_start:
            self._pause(fetched.key)
            return
        async with partition.cleaning:
            await partition.flusher.idle()
            if not self._still_copies(partition, leader_epoch):
                return
            partition.log.restart_at(fetched.log_start)
            partition.cut(fetched.log_start)

    def _pause(self, key: Key) -> None:
        backoff_s = self._config.replica_fetch_backoff_ms / 1000
        self._paused[key] = self._loop.time() + backoff_s
