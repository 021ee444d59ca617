"""A model that a worker cannot load is said at the start, not at the first picture."""

import os
import subprocess
import sys
from pathlib import Path

import pytest


def _salon(*arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith("SALON_")}
    return subprocess.run(
        [sys.executable, "-c", "from salon.cli.main import run; run()", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
        env=kept | settings,
    )


@pytest.fixture
def pickled(tmp_path: Path) -> Path:
    (tmp_path / "model.ckpt").write_bytes(b"cos\nsystem\n.")
    return tmp_path / "model.ckpt"


def test_a_worker_refuses_a_pickle(pickled: Path) -> None:
    token = pickled.with_name("token")
    token.write_text("x\n")
    where = ("--server", "http://127.0.0.1:1", "--token-file", str(token))
    done = _salon("worker", *where, "--model", str(pickled))
    assert done.returncode == 78
    assert "model.ckpt is a pickle" in done.stderr


def test_a_server_refuses_it_too_and_names_the_setting(pickled: Path) -> None:
    data = str(pickled.parent / "data")
    done = _salon(
        "run", "--port", "0", "--data", data, SALON_PICTURE_MODEL=str(pickled)
    )
    assert done.returncode == 78
    assert "SALON_PICTURE_MODEL: model.ckpt is a pickle" in done.stderr
