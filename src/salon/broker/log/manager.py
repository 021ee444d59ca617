"""All logs of a broker: opened at start, checkpointed now and then, closed at the end.

(``LogManager``.) Methods block on the disk; the server calls them in its executor,
except at start, when nobody waits.
"""

import logging
import shutil
from collections.abc import Iterable
from pathlib import Path
from threading import Lock
from uuid import UUID, uuid4

from salon.broker.config import TopicConfig
from salon.broker.log import checkpoints
from salon.broker.log.partition_log import PartitionLog

log = logging.getLogger(__name__)

_DELETED = "-delete"

Key = tuple[str, int]


class LogManager:
    """The logs under one data folder.

    Args:
        folder: the data folder.
        clean: whether the last shutdown was clean.
        cache_bytes: newest bytes of each log kept in memory.
    """

    def __init__(self, folder: Path, *, clean: bool, cache_bytes: int) -> None:
        self._folder = folder
        self._clean = clean
        self._cache_bytes = cache_bytes
        points = checkpoints.read_offsets(folder / checkpoints.RECOVERY_POINTS)
        self._recovery_points = points
        self._log_starts = checkpoints.read_offsets(folder / checkpoints.LOG_STARTS)
        self._cleaned = checkpoints.read_offsets(folder / checkpoints.CLEANED)
        self._checkpointing = Lock()
        self.logs: dict[Key, PartitionLog] = {}
        for path in folder.glob(f"*{_DELETED}"):
            shutil.rmtree(path, ignore_errors=True)

    def open(
        self, topic: str, topic_id: UUID, index: int, config: TopicConfig
    ) -> PartitionLog:
        """The log of a partition, made if it is new."""
        folder = self._folder / f"{topic}-{index}"
        new = not (folder / checkpoints.PARTITION_METADATA).exists()
        opened = PartitionLog(
            folder,
            config,
            cache_bytes=self._cache_bytes,
            clean=self._clean and not new,
            recovery_point=0 if new else self._recovery_points.get((topic, index), 0),
            log_start=0 if new else self._log_starts.get((topic, index), 0),
            cleaned_offset=0 if new else self._cleaned.get((topic, index), 0),
        )
        if new:
            checkpoints.write_partition_metadata(folder, topic_id)
            checkpoints.sync_folder(self._folder)
        self.logs[topic, index] = opened
        return opened

    def delete(self, keys: Iterable[Key]) -> None:
        """Remove partitions: renamed first, so that a crash leaves no half of one."""
        for topic, index in keys:
            closed = self.logs.pop((topic, index))
            closed.close()
            doomed = self._folder / f"{topic}-{index}.{uuid4().hex}{_DELETED}"
            closed.folder.rename(doomed)
            shutil.rmtree(doomed, ignore_errors=True)
        checkpoints.sync_folder(self._folder)

    def checkpoint(self) -> None:
        """Write recovery points, log starts and how far logs are compacted."""
        with self._checkpointing:
            self._checkpoint()

    def _checkpoint(self) -> None:
        logs = list(self.logs.items())
        flushed = {key: each.flushed.offset for key, each in logs}
        starts = {key: each.start_offset for key, each in logs if each.start_offset}
        checkpoints.write_offsets(self._folder / checkpoints.RECOVERY_POINTS, flushed)
        checkpoints.write_offsets(self._folder / checkpoints.LOG_STARTS, starts)
        cleaned = {
            key: each.cleaned_offset for key, each in logs if each.cleaned_offset
        }
        checkpoints.write_offsets(self._folder / checkpoints.CLEANED, cleaned)

    @property
    def all_sound(self) -> bool:
        """Whether a clean shutdown may be noted: no log is damaged or failed."""
        return all(each.failure is None for each in self.logs.values())

    def close(self) -> None:
        """Seal and close every log; all must be flushed."""
        for each in self.logs.values():
            each.save_producers()
            each.close()
