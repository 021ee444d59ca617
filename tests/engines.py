"""The engines that tests run beside Salon: found, started, ended.

``scripts/engines.sh`` (``make engines``) installs them. A test that needs one calls
``require("kafka")`` first: it is skipped with the reason where the engine is missing,
and fails under ``SALON_REQUIRE_ENGINES=1``, as in CI.
"""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Self

import pytest

ROOT = Path(__file__).parent.parent
KAFKA_LIBS = ROOT / ".deps" / "kafka" / "libs"
KAFKA_FILES = Path(__file__).parent / "kafka"
CHROMIUM = ("chromium", "chromium-browser", "google-chrome")


def missing(name: str) -> str | None:
    """Why an engine cannot be used; None when it can."""
    return _PROBES[name]()


def require(name: str) -> None:
    """Skip the test, or fail it where engines are required, if ``name`` is missing."""
    why = missing(name)
    if why is None:
        return
    if os.environ.get("SALON_REQUIRE_ENGINES") == "1":
        pytest.fail(f"{name} is required: {why}", pytrace=False)
    pytest.skip(f"{name}: {why}")


def kcat() -> str:
    """The path of kcat; call ``require("kcat")`` before."""
    return shutil.which("kcat") or shutil.which("kafkacat") or "kcat"


def chromium() -> str:
    """The path of Chromium; call ``require("chromium")`` before."""
    return next(filter(None, map(shutil.which, CHROMIUM)), "chromium")


def _kafka() -> str | None:
    if shutil.which("java") is None:
        return "java is not installed (make engines)"
    if not any(KAFKA_LIBS.glob("kafka_2.13-*.jar")):
        return "its jars are not in .deps/kafka (make engines)"
    return None


def _program(*names: str) -> str | None:
    if any(map(shutil.which, names)):
        return None
    return f"{names[0]} is not installed (make engines)"


def node() -> str:
    """The path of Node; call ``require("node")`` before."""
    wheel = ROOT / ".venv" / "bin" / "node"
    return shutil.which("node") or (str(wheel) if wheel.exists() else "node")


def _node() -> str | None:
    if shutil.which(node()) is None:
        return "Node is not installed (make web brings it)"
    if not (ROOT / "web" / "node_modules").exists():
        return "web/node_modules is not there (make web)"
    return None


def _webapp() -> str | None:
    if not (ROOT / "src" / "salon" / "webapp" / "index.html").exists():
        return "the web page is not built (make web)"
    return None


_PROBES = {
    "node": _node,
    "webapp": _webapp,
    "kafka": _kafka,
    "kcat": lambda: _program("kcat", "kafkacat"),
    "chromium": lambda: _program(*CHROMIUM),
}


def free_port() -> int:
    """A loopback port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class KafkaServer:
    """One Apache Kafka (KRaft, broker and controller in one) on loopback.

    ``start`` waits until it answers a Metadata request. ``kill`` is ``kill -9``;
    a later ``start`` uses the same ports and data. ``close`` ends it and removes its
    folder.
    """

    def __init__(self, heap: str = "512m", *, auto_create: bool = False) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="salon-kafka-"))
        self.port = free_port()
        self.heap = heap
        self.process: subprocess.Popen[bytes] | None = None
        self.log = self.folder / "kafka.log"
        self._properties = self.folder / "server.properties"
        filled = (KAFKA_FILES / "server.properties").read_text()
        for name, value in {
            "port": self.port,
            "controller_port": free_port(),
            "data": self.folder / "data",
            "auto_create": str(auto_create).lower(),
        }.items():
            filled = filled.replace("{" + name + "}", str(value))
        self._properties.write_text(filled)

    @property
    def bootstrap(self) -> str:
        return f"127.0.0.1:{self.port}"

    def start(self, timeout: float = 60.0) -> "KafkaServer":
        if not (self.folder / "data").exists():
            self._format()
        heap = [f"-Xmx{self.heap}", f"-Xms{self.heap}"]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*_java(*heap), "kafka.Kafka", str(self._properties)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            self._wait(timeout)
        except BaseException:
            self.kill()
            raise
        return self

    def _format(self) -> None:
        done = subprocess.run(
            [
                *_java("-Xmx128m"),
                *("kafka.tools.StorageTool", "format", "--standalone"),
                *("-t", "MkU3OEVBNTcwNTJENDM2Qk", "-c", str(self._properties)),
            ],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def _wait(self, timeout: float) -> None:
        from confluent_kafka import KafkaException
        from confluent_kafka.admin import AdminClient

        assert self.process is not None
        admin = AdminClient(
            {"bootstrap.servers": self.bootstrap, "log_level": 0},
            logger=_silent(),
        )
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                break
            with contextlib.suppress(KafkaException):
                if admin.list_topics(timeout=1.0).brokers:
                    return
        tail = self.log.read_text(errors="replace")[-4000:]
        raise AssertionError(f"Apache Kafka did not start in {timeout} s:\n{tail}")

    def kill(self) -> None:
        """``kill -9``."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """SIGTERM; an orderly end."""
        self._end(signal.SIGTERM)

    def _end(self, how: signal.Signals) -> None:
        process, self.process = self.process, None
        if process is None:
            return
        process.send_signal(how)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(20)

    def close(self) -> None:
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.close()
            raise

    def __exit__(self, *_: object) -> None:
        self.close()


def _java(*options: str) -> list[str]:
    return [
        "java",
        *options,
        "-XX:+UseG1GC",
        "-Djava.awt.headless=true",
        f"-Dlog4j2.configurationFile={KAFKA_FILES / 'log4j2.xml'}",
        *("-cp", f"{KAFKA_LIBS}/*"),  # java expands the star itself
    ]


def _silent() -> "object":
    import logging

    logger = logging.getLogger("tests.kafka.silent")
    logger.addHandler(logging.NullHandler())
    logger.propagate = False
    return logger
