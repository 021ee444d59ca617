import os

import pytest

from salon.broker.log.checkpoints import write_atomically


def test_all_of_it_replaces_what_was_there(tmp_path):
    path = tmp_path / "file"
    data = bytes(range(256)) * 1000

    write_atomically(path, b"before")
    write_atomically(path, data)

    assert path.read_bytes() == data
    assert list(tmp_path.iterdir()) == [path]


def test_what_was_there_stays_while_the_disk_is_full(tmp_path):
    path = tmp_path / "file"
    write_atomically(path, b"before")
    (tmp_path / "file.tmp").symlink_to("/dev/full")

    with pytest.raises(OSError, match="No space left"):
        write_atomically(path, b"after" * 10_000)

    assert path.read_bytes() == b"before"
    assert os.path.lexists(tmp_path / "file.tmp")
