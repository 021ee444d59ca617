"""``salon broker status``: the request pipeline of a running broker, drawn live.

Top to bottom as a request goes: processors of the listeners, the request queue, the
handlers, the purgatories. A queue is a bar; a full one is red, because then everything before it
stands still.
"""

import json
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from salon.broker.server import STATUS_ADDRESS

_EVERY_S = 0.5
_BAR = 24
_MOST_TOPICS = 8
"""Rows of the topics' table: the busiest of this moment."""


def show(data: Path, *, once: bool) -> int:
    """Draw until Ctrl-C, or once.

    Returns:
        The exit code: 1 when no broker answers.
    """
    console = Console()
    try:
        address = (data / STATUS_ADDRESS).read_text().strip()
        before = ask(address)
    except (OSError, urllib.error.URLError):
        print(f"salon broker: no broker runs on {data}", file=sys.stderr)
        return 1
    if once:
        console.print(draw(before, before, 1.0))
        return 0
    try:
        with Live(draw(before, before, 1.0), console=console, screen=True) as live:
            while True:
                time.sleep(_EVERY_S)
                now = ask(address)
                live.update(draw(now, before, _EVERY_S))
                before = now
    except KeyboardInterrupt:
        return 0
    except urllib.error.URLError:
        print("salon broker: it has ended", file=sys.stderr)
        return 0


def ask(address: str) -> dict[str, Any]:
    """The broker's ``/status``."""
    with urllib.request.urlopen(f"http://{address}/status", timeout=5) as answer:
        found: dict[str, Any] = json.load(answer)
        return found


def draw(now: dict[str, Any], before: dict[str, Any], seconds: float) -> Group:
    """One picture; rates are the difference to ``before``."""
    parts: list[RenderableType] = []
    if now.get("listeners"):
        parts.append(_listeners(now, before, seconds))
    for name, plane in now["planes"].items():
        parts.append(Panel(_plane(plane), title=f"{name} plane", title_align="left"))
    parts.append(_purgatories(now))
    if "cluster" in now:
        parts.append(_cluster(now["cluster"]))
    parts.append(_requests(now, before, seconds))
    if now.get("topics"):
        parts.append(_topics(now, before, seconds))
    for partition, reason in now["offline"].items():
        parts.append(Text(f"{partition}: {reason}", style="bold red"))
    return Group(*parts)


def _listeners(
    now: dict[str, Any], before: dict[str, Any], seconds: float
) -> RenderableType:
    table = Table.grid(padding=(0, 2))
    for name, each in now["listeners"].items():
        earlier = before["listeners"].get(name, {"accepted": 0})["accepted"]
        table.add_row(
            f"{name} {each['address']}",
            f"{(each['accepted'] - earlier) / seconds:,.0f} connections a second",
            f"acceptor blocked {each['blocked']:.0%}",
        )
    memory = now["memory"]
    if memory["available"] < 2**62:
        held = memory["used"], memory["used"] + memory["available"]
        table.add_row("memory of requests", "", bar(*map(int, held)))
    if now["clients"]:
        told = (f"{name}: {count}" for name, count in now["clients"].items())
        return Panel(
            Group(table, Text("   ".join(told), "dim")),
            title="acceptors",
            title_align="left",
        )
    return Panel(table, title="acceptors", title_align="left")


def bar(size: int, capacity: int) -> Text:
    """A queue: how much of it is taken."""
    filled = min(_BAR, -(-size * _BAR // capacity))
    style = "red" if size >= capacity else "yellow" if 2 * size > capacity else "green"
    text = Text("▕")
    text.append("█" * filled, style)
    text.append("·" * (_BAR - filled), "dim")
    return text.append(f"▏{size} of {capacity}")


def _plane(plane: dict[str, Any]) -> Table:
    table = Table.grid(padding=(0, 2))
    for each in plane["processors"]:
        state = (
            Text("stopped", "bold red") if each["stopped"] else Text("reads", "green")
        )
        numbers = f"  {each['connections']} connections, {each['responses']} responses"
        table.add_row(
            f"processor {each['number']}",
            each["listener"],
            state.append(numbers, "none"),
        )
    table.add_row("↓ request queue", "", bar(**plane["queue"]))
    handlers = plane["handlers"]
    table.add_row("↓ handlers", "", bar(handlers["busy"], handlers["size"]))
    table.add_row("loop idle", "", Text(f"{plane['idle']:.0%}"))
    return table


def _purgatories(now: dict[str, Any]) -> RenderableType:
    waiting = "   ".join(
        f"{name}: {each['delayed']} waiting"
        for name, each in now["purgatories"].items()
    )
    return Panel(Text(waiting), title="purgatories", title_align="left")


def _cluster(cluster: dict[str, Any]) -> Table:
    """The replicas on this broker; yellow: not all are in sync, red: none leads."""
    brokers = ", ".join(map(str, cluster["brokers"])) or "unknown yet"
    title = (
        f"broker {cluster['broker']} of {brokers}; controller {cluster['controller']}"
    )
    state = cluster["state"]
    if state is not None:
        title += f", epoch {state['epoch']}, {state['offline_partitions']} offline"
    table = Table(
        *("replica", "is", "epoch", "in sync", "replicas", "end", "high watermark"),
        title=title,
        title_justify="left",
    )
    for name, each in cluster["partitions"].items():
        follows = f"follower of {each['leader']}" if each["leader"] >= 0 else "offline"
        short = len(each["isr"]) < len(each["replicas"])
        table.add_row(
            name,
            "leader" if each["leads"] else follows,
            str(each["epoch"]),
            ",".join(map(str, each["isr"])),
            ",".join(map(str, each["replicas"])),
            f"{each['end']:,}",
            f"{each['high_watermark']:,}",
            style="bold red" if each["leader"] < 0 else "yellow" if short else None,
        )
    return table


def _requests(now: dict[str, Any], before: dict[str, Any], seconds: float) -> Table:
    table = Table(
        *("request", "a second", "in all", "errors", "p50 ms", "p99 ms"),
        title=f"{now['connections']} connections, {now['partitions']} partitions",
        title_justify="left",
    )
    for name, each in sorted(now["requests"].items(), key=lambda kv: -kv[1]["count"]):
        earlier = before["requests"].get(name, {"count": 0})["count"]
        table.add_row(
            name,
            f"{(each['count'] - earlier) / seconds:,.0f}",
            f"{each['count']:,}",
            f"{each['errors']:,}",
            f"{each['p50_ms']:.2f}",
            f"{each['p99_ms']:.2f}",
        )
    return table


def _topics(now: dict[str, Any], before: dict[str, Any], seconds: float) -> Table:
    """The topics with the most bytes since ``before``, in and out."""
    table = Table(
        *("topic", "records in/s", "KB in/s", "KB out/s", "failed"),
        title=f"busiest of {len(now['topics'])} topics",
        title_justify="left",
    )
    rows = []
    for topic, counts in now["topics"].items():
        earlier = before["topics"].get(topic, {})
        rate = {k: (v - earlier.get(k, 0)) / seconds for k, v in counts.items()}
        rows.append((rate["BytesInPerSec"] + rate["BytesOutPerSec"], topic, rate))
    for _, topic, rate in sorted(rows, reverse=True, key=lambda row: row[:2])[
        :_MOST_TOPICS
    ]:
        counts = now["topics"][topic]
        failed = (
            counts["FailedProduceRequestsPerSec"] + counts["FailedFetchRequestsPerSec"]
        )
        table.add_row(
            topic,
            f"{rate['MessagesInPerSec']:,.0f}",
            f"{rate['BytesInPerSec'] / 1000:,.1f}",
            f"{rate['BytesOutPerSec'] / 1000:,.1f}",
            f"{failed:,}",
        )
    return table
