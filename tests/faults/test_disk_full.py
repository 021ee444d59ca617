"""A full disk: refused in words, read on, and all by itself again when there is room."""

import os
import subprocess

import httpx
import pytest

from tests.program import Program, another_person, first_person

pytestmark = [pytest.mark.faults, pytest.mark.e2e]


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 96 MB in memory."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small disk needs root")
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=96m", "tmpfs", disk], check=True
    )
    yield disk
    subprocess.run(["umount", "-l", disk], check=True)


def test_a_full_disk_is_said_and_nothing_acknowledged_is_lost(small_disk):
    program = Program(small_disk / "data").start()
    try:
        ann = first_person(program)
        bob = another_person(program, ann)
        here = ann.direct(bob)
        ann.say(here, "there is room", key="k1")
        filler = small_disk / "filler"
        with filler.open("wb") as file:
            room = os.statvfs(small_disk)
            file.write(b"x" * (room.f_bavail * room.f_frsize - (1 << 20)))
        import time

        time.sleep(0.5)
        refused = ann.http.post(
            f"/api/v1/conversations/{here}/messages",
            json={"text": "no room"},
            headers={"Idempotency-Key": "k2"},
        )
        ready = httpx.get(f"{program.url}/readyz")
        readable = [e["body"].get("text") for e in bob.events(here)]
        filler.unlink()
        time.sleep(0.5)
        again = ann.say(here, "no room", key="k2")
        seen = [e["body"].get("text") for e in bob.events(here)]
        ann.close()
        bob.close()
    finally:
        program.end()

    assert refused.status_code == 507
    assert refused.json()["code"] == "disk_full"
    assert "disk is full" in refused.json()["message"]
    assert (ready.status_code, "disk" in ready.json()["problems"]) == (503, True)
    assert readable == [None, "there is room"]
    assert again["seq"] == 3
    assert seen == [None, "there is room", "no room"]
