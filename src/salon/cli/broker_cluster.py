"""``salon broker --cluster N``: several brokers on this machine, each a process.

For study and tests. Broker 1 hosts the controller. A broker that dies is started again
on its own folder and ports; Ctrl-C ends them all. The ports are noted in the folder, so
that the next start has the same ones.
"""

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Any

from salon.broker.errors import SettingError
from salon.broker.log.folder import META
from salon.broker.server import STATUS_ADDRESS
from salon.cli.broker_status import ask

_ADDRESSES = "cluster-addresses.json"
_AGAIN_S = 1.0
_LOOK_S = 0.2
_END_S = 20.0
_INTRODUCED_S = 20.0


class BrokerProcess:
    """One broker of the cluster."""

    def __init__(self, id_: int, folder: Path, settings: Sequence[str]) -> None:
        self.id = id_
        self.folder = folder
        self._settings = settings
        self._process: subprocess.Popen[str] | None = None

    def start(self, listeners: str, controller: str, cluster_id: str) -> dict[str, Any]:
        """Start it; what it says when clients may connect.

        A new folder is of the cluster ``cluster_id``, if that is known already.

        Raises:
            SettingError: theirs; it does not start, and has said why.
        """
        self._let_go()
        own = [
            f"broker.id={self.id}",
            "listener.security.protocol.map=CONTROL:PLAINTEXT,BROKERS:PLAINTEXT",
            "control.plane.listener.name=CONTROL",
            "inter.broker.listener.name=BROKERS",
            f"controller.quorum.voters={controller}",
            *self._settings,
        ]
        if cluster_id and not (self.folder / META).exists():
            own.append(f"salon.cluster.id={cluster_id}")
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-m", "salon.cli.broker_process"),
                *("--data", str(self.folder), "--listen", listeners),
                *(word for text in own for word in ("--set", text)),
                *("--ready-json", "--parent-watch"),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SettingError(
                f"broker {self.id} did not start (status {self._process.wait()})"
            )
        ready: dict[str, Any] = json.loads(line)
        return ready

    @property
    def ended(self) -> int | None:
        """Its status, if it has ended."""
        return None if self._process is None else self._process.poll()

    @property
    def pid(self) -> int:
        return -1 if self._process is None else self._process.pid

    def knows(self, count: int) -> bool:
        """Whether it has heard of ``count`` brokers, or has no page that would say so."""
        address = self.folder / STATUS_ADDRESS
        if not address.exists():
            return True
        try:
            return len(ask(address.read_text().strip())["cluster"]["brokers"]) >= count
        except OSError:
            return False

    def end(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()

    def wait(self) -> None:
        if self._process is not None:
            try:
                self._process.wait(_END_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
            self._let_go()

    def _let_go(self) -> None:
        """Close the pipes to a process that has ended."""
        if self._process is not None:
            self._process.wait()
            for pipe in (self._process.stdin, self._process.stdout):
                if pipe is not None:
                    pipe.close()


class Supervisor:
    """Starts the brokers, and starts again those that die.

    Args:
        folder: of the cluster; a folder of each broker lies in it.
        count: of brokers.
        host: to listen on.
        port: of the first broker, the others follow; 0 takes any free ones.
        settings: ``name=value`` for all.
    """

    def __init__(
        self, folder: Path, count: int, host: str, port: int, settings: Sequence[str]
    ) -> None:
        self._path = folder / _ADDRESSES
        self._host = host
        factor = min(count, 3)
        least = "2" if factor == 3 else "1"
        defaults = [
            f"default.replication.factor={factor}",
            f"offsets.topic.replication.factor={factor}",
            f"min.insync.replicas={least}",
            # Kafka's own, where there are three
            "transaction.state.log.num.partitions=50",
            f"transaction.state.log.replication.factor={factor}",
            f"transaction.state.log.min.isr={least}",
        ]
        self._ports = self._known() or {
            str(n): {"PLAINTEXT": port and port + n - 1, "CONTROL": 0, "BROKERS": 0}
            for n in range(1, count + 1)
        }
        if len(self._ports) != count:
            raise SettingError(
                f"{folder} has a cluster of {len(self._ports)} brokers, not {count}"
            )
        self.brokers = [
            BrokerProcess(n, folder / f"broker-{n}", [*defaults, *settings])
            for n in range(1, count + 1)
        ]
        self._stop = threading.Event()
        self._cluster_id = ""  # the first broker's, which is started first

    def _known(self) -> dict[str, dict[str, int]] | None:
        if not self._path.exists():
            return None
        known: dict[str, dict[str, int]] = json.loads(self._path.read_text())
        return known

    def start(self) -> None:
        """Start all, the controller first.

        Raises:
            SettingError: theirs; one of them does not start.
        """
        for broker in self.brokers:
            self._start(broker)
        self._path.write_text(json.dumps(self._ports, indent=1))
        self._introduce()

    def _introduce(self) -> None:
        """Wait until all have heard of all.

        A client that asks earlier hears of one, and may wait for the others for minutes.
        """
        until = time.monotonic() + _INTRODUCED_S
        for broker in self.brokers:
            while not broker.knows(len(self.brokers)) and time.monotonic() < until:
                time.sleep(_LOOK_S / 10)

    def _start(self, broker: BrokerProcess) -> None:
        ports = self._ports[str(broker.id)]
        listeners = ",".join(f"{n}://{self._host}:{p}" for n, p in ports.items())
        control = self._ports["1"]["CONTROL"]
        voter = f"1@{self._host}:{control}"
        ready = broker.start(listeners, voter, self._cluster_id)
        self._cluster_id = self._cluster_id or ready["cluster_id"]
        self._ports[str(broker.id)] = ready["listeners"]

    @property
    def bootstrap(self) -> str:
        """Addresses for clients."""
        return ",".join(
            f"{self._host}:{ports['PLAINTEXT']}" for ports in self._ports.values()
        )

    def watch(self) -> None:
        """Start again what dies, until ``stop``."""
        while not self._stop.wait(_LOOK_S):
            for broker in self.brokers:
                if broker.ended is None:
                    continue
                print(
                    f"salon broker: broker {broker.id} ended ({broker.ended}); "
                    "it is started again",
                    file=sys.stderr,
                )
                try:
                    self._start(broker)
                except SettingError as error:
                    print(f"salon broker: {error}", file=sys.stderr)
                    self._stop.wait(_AGAIN_S)

    def stop(self, *_signal: int | FrameType | None) -> None:
        self._stop.set()

    def close(self) -> None:
        """End all; the controller last, so that it hears the others leave."""
        for broker in reversed(self.brokers):
            broker.end()
            broker.wait()


def run(
    folder: Path, count: int, listen: str, settings: Sequence[str], *, ready_json: bool
) -> int:
    """Serve until SIGTERM or SIGINT; the exit status."""
    host, _, port = listen.rpartition(":")
    folder.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    supervisor = Supervisor(folder, count, host or "127.0.0.1", int(port), settings)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, supervisor.stop)
    try:
        supervisor.start()
        took = time.monotonic() - began
        if ready_json:
            ready = {
                "ready": True,
                "bootstrap": supervisor.bootstrap,
                "pids": {b.id: b.pid for b in supervisor.brokers},
            }
            print(json.dumps(ready), flush=True)
        else:
            print(
                f"salon broker: {count} brokers in {took:.1f} s: {supervisor.bootstrap}",
                file=sys.stderr,
            )
        supervisor.watch()
    finally:
        supervisor.close()
    return 0
