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
    for name, plane in now["planes"].items():
        parts.append(Panel(_plane(plane), title=f"{name} plane", title_align="left"))
    parts.append(_purgatories(now))
    parts.append(_requests(now, before, seconds))
    for partition, reason in now["offline"].items():
        parts.append(Text(f"{partition}: {reason}", style="bold red"))
    return Group(*parts)


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
    return table


def _purgatories(now: dict[str, Any]) -> RenderableType:
    waiting = "   ".join(
        f"{name}: {each['delayed']} waiting"
        for name, each in now["purgatories"].items()
    )
    return Panel(Text(waiting), title="purgatories", title_align="left")


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
