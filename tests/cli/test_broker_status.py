"""``salon broker status`` and ``salon broker --help``."""

import io
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

from rich.console import Console

from salon.broker.config import BrokerConfig, TopicConfig
from salon.cli.broker_status import bar, draw
from tests.broker.process import Process


def salon(*arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "salon.cli.broker", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def test_a_running_broker_is_drawn(tmp_path: Path):
    with Process(tmp_path / "data"):
        drawn = salon("status", "--data", str(tmp_path / "data"), "--once")

    assert drawn.returncode == 0
    for words in (
        "processor 0",
        "request queue",
        "0 of 500",
        "handlers",
        "purgatories",
    ):
        assert words in drawn.stdout


def test_where_no_broker_runs_it_says_so(tmp_path: Path):
    drawn = salon("status", "--data", str(tmp_path), "--once")

    assert drawn.returncode == 1
    assert "no broker runs" in drawn.stderr


def test_the_help_tells_every_setting():
    told = salon("--help").stdout

    for cls in (BrokerConfig, TopicConfig):
        for field in fields(cls):
            assert field.metadata["name"] in told
            assert field.metadata["doc"] in told


def test_a_full_queue_is_red():
    assert "red" in {str(span.style) for span in bar(20, 20).spans}
    assert "green" in {str(span.style) for span in bar(1, 20).spans}
    assert bar(0, 500).plain.endswith("0 of 500")


def test_rates_are_differences_and_damage_is_shown():
    def status(count: int) -> dict[str, object]:
        one = {"count": count, "errors": 0, "p50_ms": 0.1, "p99_ms": 2.0}
        return {
            "planes": {},
            "purgatories": {},
            "requests": {"Produce": one},
            "connections": 1,
            "partitions": 1,
            "offline": {"t-0": "the disk is gone"},
        }

    out = io.StringIO()
    Console(width=100, file=out).print(draw(status(150), status(100), 0.5))
    text = out.getvalue()

    assert "100" in text
    assert "150" in text
    assert "t-0: the disk is gone" in text


def test_a_partition_that_lacks_copies_is_seen():
    replica = {
        "leads": True,
        "leader": 2,
        "epoch": 7,
        "isr": [2],
        "replicas": [2, 3, 1],
        "end": 1200,
        "high_watermark": 1100,
    }
    away = {**replica, "leads": False, "leader": -1}
    status = {
        "planes": {},
        "purgatories": {},
        "requests": {},
        "connections": 1,
        "partitions": 2,
        "offline": {},
        "cluster": {
            "broker": 2,
            "brokers": [1, 2],
            "controller": 1,
            "state": None,
            "partitions": {"t-0": replica, "u-0": away},
        },
    }
    out = io.StringIO()
    console = Console(width=120, file=out, force_terminal=True, color_system="standard")
    console.print(draw(status, status, 0.5))
    lines = out.getvalue().splitlines()

    assert any("broker 2 of 1, 2; controller 1" in line for line in lines)
    (short,) = (line for line in lines if "t-0" in line)
    assert all(word in short for word in ("leader", "2,3,1", "1,200", "1,100"))
    assert "\x1b[33m" in short  # yellow
    (offline,) = (line for line in lines if "u-0" in line)
    assert "offline" in offline
    assert "\x1b[1;31m" in offline  # red
