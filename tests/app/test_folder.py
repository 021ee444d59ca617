"""Ports and folders that are not to be had are said in one sentence."""

import socket
import stat
import subprocess
import sys

import pytest

from salon.app import folder
from salon.errors import StartupError


def test_the_folder_is_private(tmp_path):
    lock = folder.claim(tmp_path / "data")

    assert stat.S_IMODE((tmp_path / "data").stat().st_mode) == 0o700
    lock.close()


def test_a_second_server_on_the_folder_is_refused_and_told_who_has_it(tmp_path):
    holder = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys; from pathlib import Path; from salon.app import folder\n"
            f"lock = folder.claim(Path({str(tmp_path)!r}))\n"
            "print('held', flush=True); sys.stdin.read()",
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(StartupError, match=f"process {holder.pid}"):
            folder.claim(tmp_path)
    finally:
        holder.communicate()


def test_a_folder_below_a_file_is_refused_in_words(tmp_path):
    (tmp_path / "file").write_text("")

    with pytest.raises(StartupError, match="cannot be written"):
        folder.claim(tmp_path / "file" / "data")


def test_a_taken_port_is_refused_in_words():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]

        with pytest.raises(StartupError, match=f"Port {port} .*taken"):
            folder.listen("127.0.0.1", port)


def test_a_foreign_address_is_refused_in_words():
    with pytest.raises(StartupError, match="cannot be listened on"):
        folder.listen("192.0.2.1", 0)
