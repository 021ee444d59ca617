"""STOMP beside its peers: Salon, Spring's simple broker, RabbitMQ, ActiveMQ.

One generator (``peers/load.c``) holds the subscribers of one topic and publishes to it:
with one message in flight, with 20, and by the clock at 20,000 deliveries a second. All
brokers are up during the whole run and take turns, so what else the machine does
disturbs all of them; CPU is each broker's own (user and kernel, all its processes), the
figure that stands on a busy machine. Everything speaks WebSocket (ActiveMQ, whose
Debian package has none, plain TCP), promises heart-beats every 10 s, and answers SENDs
with RECEIPTs where it can (Spring cannot).

    python -m benchmarks stomp_peers [--quick] [--subs 200] [--only salon,spring]

A broker that is not there says why. Spring needs ``mvn``, the others Debian's
``rabbitmq-server`` and ``activemq`` (their services may be off: each is started here,
with ports and folders of its own, and ended again).
"""

import argparse
import json
import os
import resource
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PEERS = Path(__file__).parent / "peers"
JAR = Path(__file__).parent / "out" / "spring" / "simple-broker.jar"
RABBITMQ = "/usr/lib/rabbitmq/bin/rabbitmq-server"
ACTIVEMQ = Path("/usr/share/activemq/bin/activemq.jar")

RATE = 20_000
"""Deliveries a second of the open loop."""

CASES = {"1 in flight": (1, 0), "20 in flight": (20, 0), "20,000/s": (0, RATE)}
"""Name: messages in flight, or deliveries a second."""

SALON, SPRING = "Salon", "Spring"


class Missing(Exception):
    """A broker cannot be started here, and why."""


# -- the brokers -----------------------------------------------------------------------


@dataclass
class Broker:
    """One broker: how it is started, and how the generator speaks to it.

    ``start`` leaves its processes in ``processes``, the broker's own last.
    """

    name: str
    folder: Path
    transport: str = "ws"
    path: str = "/ws"
    login: str = "guest%d"
    passcode: str = ""
    receipts: bool = True

    def __post_init__(self) -> None:
        self.processes: list[subprocess.Popen[bytes]] = []
        self.port = 0
        self.version = ""

    def start(self) -> None:
        raise NotImplementedError

    def spawn(self, command: list[str], **options: Any) -> None:
        """Start a process in a folder of its own; what it says goes to a file."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "out.txt").open("ab") as out:
            self.processes.append(
                subprocess.Popen(
                    command,
                    cwd=self.folder,
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=out,
                    start_new_session=True,
                    **options,
                )
            )

    def wait_for_port(self, seconds: float = 90) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if self.processes[-1].poll() is not None:
                break
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.1)
        said = (self.folder / "out.txt").read_text(errors="replace").strip()
        raise Missing(f"did not start: {said[-300:]!r}")

    def stop(self) -> None:
        """End it; what it started goes with it (each is a session of its own)."""
        for process in reversed(self.processes):
            for kind in (signal.SIGTERM, signal.SIGKILL):
                if process.poll() is not None:
                    break
                os.killpg(process.pid, kind)
                try:
                    process.wait(15)
                except subprocess.TimeoutExpired:
                    continue

    def pids(self) -> list[int]:
        """The broker's process and all below it."""
        found = [self.processes[-1].pid]
        for pid in found:
            for task in Path(f"/proc/{pid}/task").iterdir():
                children = (task / "children").read_text()
                found += [int(child) for child in children.split()]
        return found

    def cpu(self) -> float:
        """Seconds, user and kernel, also of threads that have ended."""
        ticks = 0
        for pid in self.pids():
            after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2]
            ticks += sum(int(field) for field in after_name.split()[11:13])
        return ticks / os.sysconf("SC_CLK_TCK")

    def memory(self) -> int:
        """Resident bytes."""
        return sum(
            int(line.split()[1]) * 1024
            for pid in self.pids()
            for line in Path(f"/proc/{pid}/status").read_text().splitlines()
            if line.startswith("VmRSS")
        )


class Salon(Broker):
    """An application without controllers: one topic that guests may use."""

    def start(self) -> None:
        from importlib.metadata import version

        self.version = f"{version('salon')} on Python {sys.version.split()[0]}"
        self.port = _free_port()
        root = str(Path(__file__).parent.parent)
        self.spawn(
            [sys.executable, "-m", "benchmarks.stomp_peers", "serve", str(self.port)],
            env={**os.environ, "PYTHONPATH": root},
        )
        self.wait_for_port()


class Spring(Broker):
    """``peers/src``: the simple broker as the manual has it, both order options on."""

    def start(self) -> None:
        if shutil.which("java") is None:
            raise Missing("java is not installed")
        if not JAR.exists():
            _build_spring()
        self.version = "Boot 3.5.16"
        self.port = _free_port()
        self.spawn(
            [
                *("java", "-jar", str(JAR), f"--server.port={self.port}"),
                "--server.address=127.0.0.1",
            ]
        )
        self.wait_for_port()


class RabbitMQ(Broker):
    """Debian's, with web_stomp; a node and an epmd of its own."""

    def start(self) -> None:
        if not Path(RABBITMQ).exists():
            raise Missing("Debian's rabbitmq-server is not installed")
        self.version = _debian_version("rabbitmq-server")
        self.port = _free_port()
        epmd, node, distribution, tcp = (_free_port() for _ in range(4))
        self.folder.mkdir(parents=True, exist_ok=True)
        settings = (PEERS / "rabbitmq.conf").read_text()
        settings = settings.format(tcp=tcp, node=node, web=self.port)
        (self.folder / "rabbitmq.conf").write_text(settings)
        (self.folder / "enabled").write_text("[rabbitmq_web_stomp].\n")
        environment = {
            "PATH": os.environ["PATH"],
            "LANG": "C.UTF-8",
            "HOME": str(self.folder),
            "ERL_EPMD_PORT": str(epmd),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODENAME": "salon-peer@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(node),
            "RABBITMQ_DIST_PORT": str(distribution),
            "RABBITMQ_BASE": str(self.folder),
            "RABBITMQ_MNESIA_BASE": str(self.folder / "mnesia"),
            "RABBITMQ_LOG_BASE": str(self.folder),
            "RABBITMQ_LOGS": "-",
            "RABBITMQ_CONFIG_FILE": str(self.folder / "rabbitmq.conf"),
            "RABBITMQ_CONF_ENV_FILE": str(self.folder / "none"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.folder / "enabled"),
            "RABBITMQ_PID_FILE": str(self.folder / "pid"),
            "RABBITMQ_GENERATED_CONFIG_DIR": str(self.folder / "config"),
        }
        # Its own, and ours to end: the one that Erlang starts would stay behind.
        self.spawn(["epmd", "-address", "127.0.0.1", "-port", str(epmd)])
        time.sleep(0.3)
        self.spawn([RABBITMQ], env=environment)
        self.wait_for_port()


class ActiveMQ(Broker):
    """Debian's, STOMP over plain TCP (its package has no WebSocket transport)."""

    def start(self) -> None:
        if not ACTIVEMQ.exists():
            raise Missing("Debian's activemq is not installed")
        if shutil.which("java") is None:
            raise Missing("java is not installed")
        self.version = _debian_version("activemq")
        self.port = _free_port()
        self.folder.mkdir(parents=True, exist_ok=True)
        settings = (PEERS / "activemq.xml").read_text().format(stomp=self.port)
        (self.folder / "activemq.xml").write_text(settings)
        home = ACTIVEMQ.parent.parent
        self.spawn(
            [
                *("java", "-Xmx512m", f"-Dactivemq.home={home}"),
                *(f"-Dactivemq.{x}={self.folder}" for x in ("base", "conf", "data")),
                *("-jar", str(ACTIVEMQ), "start"),
                f"xbean:file:{self.folder}/activemq.xml",
            ]
        )
        self.wait_for_port()


def _brokers(folder: Path) -> list[Broker]:
    return [
        Salon(SALON, folder / "salon"),
        Spring(SPRING, folder / "spring", receipts=False),
        RabbitMQ("RabbitMQ", folder / "rabbitmq", login="guest", passcode="guest"),
        ActiveMQ("ActiveMQ (TCP)", folder / "activemq", transport="tcp"),
    ]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _debian_version(package: str) -> str:
    found = subprocess.run(
        ["dpkg-query", "-W", "-f=${Version}", package],
        check=False,
        capture_output=True,
        text=True,
    )
    return found.stdout.partition("-")[0].partition("+")[0]


def _build_spring() -> None:
    if shutil.which("mvn") is None:
        raise Missing("mvn is not installed")
    made = subprocess.run(
        ["mvn", "-q", "-B", "-f", str(PEERS / "pom.xml"), "package"],
        check=False,
        capture_output=True,
        text=True,
    )
    if made.returncode:
        raise Missing(f"mvn failed: {made.stdout.strip()[:200]!r}")


async def _serve(port: int) -> None:
    """Salon's side: what ``Standalone`` is made for, with its defaults."""
    from salon.gateway.server import listen
    from salon.gateway.standalone import Standalone
    from salon.messaging.grants import may_send, may_subscribe

    class Plain(Standalone):
        grants = (
            may_send("/topic/load", "guest"),
            may_subscribe("/topic/load", "guest"),
        )

    async with Plain(listen("127.0.0.1", port)) as server:
        await server.stopped()


# -- the load --------------------------------------------------------------------------


class Load:
    """The generator beside one broker, connected and subscribed."""

    def __init__(self, program: str, broker: Broker, subscribers: int) -> None:
        self.broker, self.subscribers = broker, subscribers
        self._process = subprocess.Popen(
            [
                *(program, str(broker.port), broker.transport, broker.path),
                *(str(subscribers), broker.login, broker.passcode),
                "receipts" if broker.receipts else "none",
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        if self._answer() != b"connected\n":
            raise Missing("the generator could not connect (see above)")

    def _answer(self) -> bytes:
        assert self._process.stdout is not None
        return self._process.stdout.readline()

    def run(self, window: int, rate: int, seconds: float) -> dict[str, float]:
        """One cell of the table; ``rate`` in deliveries a second."""
        assert self._process.stdin is not None
        before = self.broker.cpu()
        line = f"run {window} {rate / self.subscribers} {seconds} 30\n"
        self._process.stdin.write(line.encode())
        self._process.stdin.flush()
        answer = self._answer()
        if not answer:
            raise Missing("the generator lost a connection (see above)")
        found: dict[str, float] = json.loads(answer)
        millions = max(found["delivered"], 1) / 1e6
        found["cpu"] = (self.broker.cpu() - before) / millions
        found["client_cpu"] /= millions
        return found

    def close(self) -> None:
        self._process.terminate()
        self._process.wait()


@dataclass
class Plan:
    """How much is measured: subscribers, rounds, seconds of a cell and of warming up."""

    subscribers: list[int]
    rounds: int
    seconds: float
    warm_up: float
    only: list[str]


class Session:
    """All brokers with one number of subscribers, taking turns."""

    def __init__(
        self, program: str, folder: Path, plan: Plan, subscribers: int
    ) -> None:
        self._plan, self._subscribers = plan, subscribers
        self._brokers = [
            broker
            for broker in _brokers(folder)
            if not plan.only or broker.name.split()[0].lower() in plan.only
        ]
        self._program = program
        self._loads: list[Load] = []
        self._why: dict[str, str] = {}
        self.cells: dict[tuple[str, str], list[dict[str, float]]] = {}
        self.memory: dict[str, tuple[int, int, int]] = {}

    def measure(self) -> None:
        try:
            self._connect()
            for load in self._loads:
                load.run(20, 0, self._plan.warm_up)
            for _ in range(self._plan.rounds):
                for case in CASES:
                    for load in list(self._loads):
                        self._cell(load, case)
            for load in self._loads:
                name = load.broker.name
                self.memory[name] = (*self.memory[name][:2], load.broker.memory())
        finally:
            for load in self._loads:
                load.close()
            for broker in self._brokers:
                broker.stop()

    def _connect(self) -> None:
        for broker in self._brokers:
            try:
                broker.start()
                Load(self._program, broker, 20).close()  # what it loads at the first
                time.sleep(5)
                idle = broker.memory()
                load = Load(self._program, broker, self._subscribers)
            except Missing as why:
                self._why[broker.name] = str(why)
                continue
            time.sleep(2)  # where there is no RECEIPT, SUBSCRIBE takes effect unseen
            self._loads.append(load)
            self.memory[broker.name] = (idle, broker.memory(), 0)

    def _cell(self, load: Load, case: str) -> None:
        name = load.broker.name
        try:
            found = load.run(*CASES[case], self._plan.seconds)
        except Missing as why:
            self._why[name] = str(why)
            self._loads.remove(load)
            load.close()
        else:
            self.cells.setdefault((case, name), []).append(found)

    # -- what is printed

    def table(self) -> None:
        print(f"\n1 → {self._subscribers} × 100 B\n")
        print(
            "| | broker | deliveries/s | p50 ms | p99 ms (min–max) "
            "| CPU-s per 10⁶ (min–max) | out of order | lost | generator CPU-s |"
        )
        print("|---|---|---|---|---|---|---|---|---|")
        for case in CASES:
            for broker in self._brokers:
                self._row(case, broker.name)
        for name, why in self._why.items():
            print(f"\n{name}: {why}")

    def _row(self, case: str, name: str) -> None:
        runs = self.cells.get((case, name))
        if not runs:
            why = self._why.get(name, "")
            print(f"| {case} | {name} | – | – | – | – | – | – | {why[:80]} |")
            return
        middle = {key: statistics.median(run[key] for run in runs) for key in runs[0]}
        costs = _spread([run["cpu"] for run in runs])
        slowest = _spread([run["p99"] for run in runs], digits=1)
        total = sum(run["delivered"] for run in runs)
        late = 100 * sum(run["late"] for run in runs) / max(total, 1)
        lost = sum(run["lost"] for run in runs)
        print(
            f"| {case} | {name} | {middle['per_second']:,.0f} "
            f"| {middle['p50']:.2f} | {slowest} | {costs} "
            f"| {late:.2f} % | {lost:.0f} | {middle['client_cpu']:.2f} |"
        )

    def ratios(self) -> None:
        """Salon beside Spring, round by round."""
        for case in CASES:
            ours, theirs = (self.cells.get((case, n), []) for n in (SALON, SPRING))
            pairs = list(zip(ours, theirs, strict=False))
            if not pairs:
                continue
            cheaper = [spring["cpu"] / salon["cpu"] for salon, spring in pairs]
            slower = [salon["p99"] / spring["p99"] for salon, spring in pairs]
            print(
                f"| {self._subscribers} | {case} | {_spread(cheaper)} "
                f"| {_spread(slower)} |"
            )

    def memory_rows(self) -> None:
        for broker in self._brokers:
            if broker.name not in self.memory:
                continue
            idle, connected, after = self.memory[broker.name]
            each = (connected - idle) / self._subscribers / 1024
            mib = " | ".join(f"{x / 2**20:.0f}" for x in (idle, connected, after))
            print(f"| {self._subscribers} | {broker.name} | {mib} | {each:.1f} |")

    def versions(self) -> str:
        return ", ".join(f"{b.name} {b.version}" for b in self._brokers if b.version)


def _spread(values: list[float], *, digits: int = 2) -> str:
    """Median, least and most."""
    three = (statistics.median(values), min(values), max(values))
    middle, least, most = (f"{value:.{digits}f}" for value in three)
    return f"{middle} ({least}–{most})"


# -- the whole -------------------------------------------------------------------------


def _plan() -> Plan:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--subs", type=int, action="append")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--only", default="")
    chosen = parser.parse_known_args()[0]
    return Plan(
        subscribers=chosen.subs or [200, 1000],
        rounds=chosen.rounds or (1 if chosen.quick else 3),
        seconds=3.0 if chosen.quick else 5.0,
        warm_up=5.0 if chosen.quick else 10.0,
        only=[name for name in chosen.only.lower().split(",") if name],
    )


def main() -> None:
    from benchmarks.machine import described

    plan = _plan()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    print(described("picows", "uvloop"))
    print(f"load average {os.getloadavg()[0]:.1f}; medians of {plan.rounds} × ", end="")
    print(f"{plan.seconds:g} s")
    with tempfile.TemporaryDirectory(prefix="salon-peers-") as folder:
        program = str(Path(folder) / "load")
        subprocess.run(["gcc", "-O2", "-o", program, str(PEERS / "load.c")], check=True)
        sessions = []
        for number in plan.subscribers:
            session = Session(program, Path(folder) / str(number), plan, number)
            session.measure()
            session.table()
            sys.stdout.flush()
            sessions.append(session)
    print("\n| subscribers | | Spring's CPU ÷ Salon's | Salon's p99 ÷ Spring's |")
    print("|---|---|---|---|")
    for session in sessions:
        session.ratios()
    print("\n| subscribers | broker | RSS idle MiB | connected | after | KiB each |")
    print("|---|---|---|---|---|---|")
    for session in sessions:
        session.memory_rows()
    print(f"\n{sessions[0].versions()}; load average {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["serve"]:
        import uvloop

        uvloop.run(_serve(int(sys.argv[2])))
    else:
        main()
