"""The data folder: one broker at a time, its identity, and how it was left.

``meta.properties`` and ``.kafka_cleanshutdown`` are Kafka's. The lock is ``flock`` on
``.lock``: the kernel lets go of it however the process ends.
"""

import fcntl
import os
from pathlib import Path
from uuid import uuid4

from salon.broker.errors import FolderInUseError, SettingError
from salon.broker.log.checkpoints import uuid_text, write_atomically

_CLEAN = ".kafka_cleanshutdown"
META = "meta.properties"


class DataFolder:
    """A locked data folder.

    Args:
        path: made if missing.
        broker_id: written into a new folder, compared with an old one.
        cluster_id: likewise; empty: a new folder gets one, an old one keeps its own.

    Raises:
        FolderInUseError: theirs; another broker runs here.
        SettingError: theirs; not writable, or another broker's or cluster's folder.
    """

    def __init__(self, path: Path, broker_id: int, cluster_id: str = "") -> None:
        self.path = path
        try:
            path.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(path / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise SettingError(
                f"the data folder {path} cannot be written: {error.strerror}"
            ) from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._lock)
            raise FolderInUseError(
                f"another broker is running on {path}; stop it, or give this one "
                "another folder"
            ) from None
        self.cluster_id = self._identify(broker_id, cluster_id)

    def _identify(self, broker_id: int, cluster_id: str) -> str:
        meta = self.path / META
        if meta.exists():
            lines = (line.partition("=") for line in meta.read_text().splitlines())
            known = {name: value for name, _, value in lines if name}
            owner = known.get("node.id", str(broker_id))
            if owner != str(broker_id):
                os.close(self._lock)
                raise SettingError(
                    f"{self.path} belongs to broker {owner}, broker.id is {broker_id}"
                )
            cluster = known.get("cluster.id", "salon")
            if cluster_id not in ("", cluster):
                os.close(self._lock)
                raise SettingError(
                    f"{self.path} belongs to cluster {cluster}, "
                    f"salon.cluster.id is {cluster_id}"
                )
            return cluster
        cluster_id = cluster_id or uuid_text(uuid4())
        text = (
            f"version=1\nnode.id={broker_id}\ncluster.id={cluster_id}\n"
            f"directory.id={uuid_text(uuid4())}\n"
        )
        write_atomically(meta, text.encode())
        return cluster_id

    def take_clean_mark(self) -> bool:
        """Whether the last broker stopped cleanly; the mark is gone afterwards."""
        mark = self.path / _CLEAN
        if not mark.exists():
            return False
        mark.unlink()
        return True

    def mark_clean(self) -> None:
        write_atomically(self.path / _CLEAN, b'{"version":0,"brokerEpoch":-1}')

    def unlock(self) -> None:
        os.close(self._lock)
