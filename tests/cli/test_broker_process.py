"""The broker as a process: ready in one line, gone when asked or orphaned."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.broker.process import Process


def test_sigterm_ends_it_cleanly(tmp_path: Path):
    with Process(tmp_path / "data") as broker:
        assert broker.terminate() == 0
    assert (tmp_path / "data" / ".kafka_cleanshutdown").exists()


def test_it_does_not_outlive_the_process_that_holds_its_standard_input(tmp_path: Path):
    with Process(tmp_path / "data") as broker:
        assert broker.hang_up() == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--listen", "0.0.0.0:0"], "SASL"),
        (["--listen", "127.0.0.1:0", "--set", "num.io.thread=3"], "num.io.threads"),
        (["--listen", "127.0.0.1:0", "--set", "nonsense"], "num.io.threads=8"),
    ],
)
def test_a_wrong_setting_is_one_sentence_and_exit_78(
    tmp_path: Path, arguments: list[str], words: str
):
    command = [sys.executable, "-m", "salon.cli.broker_process"]
    command += ["--data", str(tmp_path / "data"), *arguments]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=30)

    assert ended.returncode == 78
    assert ended.stderr.count("\n") == 1
    assert words in ended.stderr


def test_a_second_broker_on_the_same_folder_is_one_sentence_and_exit_78(tmp_path: Path):
    with Process(tmp_path / "data"):
        command = [sys.executable, "-m", "salon.cli.broker_process"]
        command += ["--data", str(tmp_path / "data"), "--listen", "127.0.0.1:0"]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=30)

    assert ended.returncode == 78
    assert "another broker is running" in ended.stderr
