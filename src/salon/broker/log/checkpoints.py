"""The small text files beside the log, in Kafka's formats, written atomically.

Written to a temporary file, flushed, renamed, and the folder flushed: after a crash
there is the old file or the new one.
"""

import base64
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from uuid import UUID

RECOVERY_POINTS = "recovery-point-offset-checkpoint"
LOG_STARTS = "log-start-offset-checkpoint"
CLEANED = "cleaner-offset-checkpoint"
LEADER_EPOCHS = "leader-epoch-checkpoint"
PARTITION_METADATA = "partition.metadata"


def write_atomically(path: Path, data: bytes) -> None:
    """Replace ``path`` by ``data``, durably.

    Whoever calls sees to it that nobody else replaces the same file meanwhile.

    Raises:
        OSError: ours; the disk is full or broken, and ``path`` is what it was.
    """
    temporary = path.with_name(path.name + ".tmp")
    with temporary.open("wb") as file:  # buffered: writes all of it, or raises
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make the names in ``folder`` durable."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def write_offsets(path: Path, offsets: Mapping[tuple[str, int], int]) -> None:
    """An offset checkpoint: version, count, then topic, partition, offset a line."""
    lines = ["0", str(len(offsets))]
    lines += [f"{topic} {index} {offset}" for (topic, index), offset in offsets.items()]
    write_atomically(path, ("\n".join(lines) + "\n").encode())


def read_offsets(path: Path) -> dict[tuple[str, int], int]:
    """An offset checkpoint; empty when it is missing or not understood."""
    offsets = {}
    for line in _lines(path):
        topic, index, offset = line.rsplit(" ", 2)
        offsets[topic, int(index)] = int(offset)
    return offsets


def write_epochs(path: Path, epochs: Sequence[tuple[int, int]]) -> None:
    """The leader epochs of a partition and the offset at which each began."""
    lines = ["0", str(len(epochs)), *(f"{epoch} {start}" for epoch, start in epochs)]
    write_atomically(path, ("\n".join(lines) + "\n").encode())


def read_epochs(path: Path) -> list[tuple[int, int]]:
    epochs = []
    for line in _lines(path):
        epoch, start = line.split()
        epochs.append((int(epoch), int(start)))
    return epochs


def _lines(path: Path) -> list[str]:
    """The entries of a checkpoint: whole, or none."""
    if not path.exists():
        return []
    version, count, *lines = path.read_text().splitlines() or ["", "0"]
    if version != "0" or not count.isdigit() or int(count) != len(lines):
        return []
    return lines


def write_partition_metadata(folder: Path, topic_id: UUID) -> None:
    text = f"version: 0\ntopic_id: {uuid_text(topic_id)}\n"
    write_atomically(folder / PARTITION_METADATA, text.encode())


def uuid_text(value: UUID) -> str:
    """Kafka's way to write an id: URL-safe base64 without padding."""
    return base64.urlsafe_b64encode(value.bytes).rstrip(b"=").decode()


def uuid_value(text: str) -> UUID:
    return UUID(bytes=base64.urlsafe_b64decode(text + "=="))
