"""Power cuts under load, without pulling a plug.

The data folder lies on an ext4 file system in a file. ``EXT4_IOC_SHUTDOWN`` with
NOLOGFLUSH makes it forget at once what was not flushed, as a power cut does; the broker
is killed, the file system mounted again, the broker started. What was acknowledged with
acks=all, and what a consumer has seen, must be there. It tests our flushing, not the
disk's own cache. Needs root and a loop device; under SALON_REQUIRE_ENGINES=1 it fails
where it cannot run.
"""

import fcntl
import os
import random
import shutil
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import Producer

from tests.broker.process import Process
from tests.broker.test_kill import Load, read_all

pytestmark = pytest.mark.faults

EXT4_IOC_SHUTDOWN = 0x8004587D
NOLOGFLUSH = 2
CUTS = 10


class Disk:
    """A file system that can lose its power."""

    def __init__(self, folder: Path) -> None:
        self.image = folder / "disk"
        self.mounted_at = folder / "mnt"
        self.mounted_at.mkdir()
        with self.image.open("wb") as file:
            file.truncate(128 << 20)
        subprocess.run(["mkfs.ext4", "-q", str(self.image)], check=True)
        self.mount()

    def mount(self) -> None:
        command = ["mount", "-o", "loop", str(self.image), str(self.mounted_at)]
        subprocess.run(command, check=True, capture_output=True)

    def cut(self) -> None:
        """From here nothing is written any more."""
        fd = os.open(self.mounted_at, os.O_RDONLY)
        try:
            fcntl.ioctl(fd, EXT4_IOC_SHUTDOWN, struct.pack("I", NOLOGFLUSH))
        finally:
            os.close(fd)

    def unmount(self) -> None:
        subprocess.run(["umount", str(self.mounted_at)], check=True)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    why = None
    if os.geteuid() != 0 or shutil.which("mkfs.ext4") is None:
        why = "root and mkfs.ext4 are needed to cut the power of a file system"
    else:
        try:
            made = Disk(tmp_path)
        except subprocess.CalledProcessError as error:
            why = f"no loop device: {error.stderr!r}"
    if why is not None:
        if os.environ.get("SALON_REQUIRE_ENGINES") == "1":
            pytest.fail(why, pytrace=False)
        pytest.skip(why)
    yield made
    made.unmount()


@pytest.mark.timeout(300)
def test_nothing_acknowledged_or_seen_is_lost_when_the_power_fails(disk: Disk):
    chance = random.Random(29)
    seen: list[int] = []
    with Process(disk.mounted_at / "data", "log.segment.bytes=65536") as broker:
        Producer({"bootstrap.servers": broker.address}).list_topics("t", timeout=10)
        load = Load(broker.address, "t")
        load.start()
        for _ in range(CUTS):
            load.wait_for(chance.randrange(50, 200))
            seen = read_all(broker.address, "t")
            load.wait_for(chance.randrange(1, 50))
            disk.cut()
            acknowledged = len(load.acknowledged)
            broker.kill()
            disk.unmount()
            disk.mount()
            broker.start()
            again = read_all(broker.address, "t")
            assert again[: len(seen)] == seen
            assert len(again) >= acknowledged
        load.wait_for(50)
        load.stop()
        found = read_all(broker.address, "t")
        assert broker.terminate() == 0

    assert load.failed == []
    assert found == list(range(load.sent))
