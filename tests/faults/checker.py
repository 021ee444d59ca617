"""The outside judge: do the clients' own histories fit what Salon promises?

Theory of operation. Clients write down what they did and what they saw, one JSON
object a line, with the monotonic nanoseconds of the one machine that all of them run
on. Nothing comes from the server's own counters. The checker reads the lines once
into an index and asks each invariant about it; every question is linear in the lines
(real-time order needs a sort).

A conversation is an append-only list with numbered places. If ids and numbers match
one to one everywhere (5), lists have no holes (6) and respect real time (7), then
there is one list that everybody saw a prefix of; no search over interleavings is
needed, as it would be for registers (Jepsen's Elle, "list-append").

Lines, by ``type``:

=========  ======================================================================
invoke     a device starts to send: op, device, user, conv, client_id, digest, t
ok         it was accepted: op, device, client_id, seq, id, t
fail       it was refused, for good: op, device, client_id, code, t
info       nobody knows (deadline passed): op, device, client_id, t
live       an event came over a connection: device, connection, conv, *event*, t
page       an event came in a history page or a sync: device, conv, *event*, t
show       a device puts an event on the screen: device, conv, *event*, t
final      after everything, fetched from the start by a new device: same fields
entitled   a device may see conv: device, user, conv, after (seq), before (or null)
cursor     a device learns its user's read mark: device, user, conv, read_seq, t
healed     the last fault is over: t
fresh      the invoke of this client_id was made to be seen soon: client_id, t
=========  ======================================================================

*event* is seq, id, kind, sender, client_id and digest (of the text of a message).

Run it over a file: ``python -m tests.faults.checker history.jsonl``.
"""

import json
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Line = dict[str, Any]

FRESH_S = 10.0
"""A send after the last fault is on every screen within this time."""

OP_S = 60.0
"""Every send ends (accepted, refused or given up) within this time."""


@dataclass(frozen=True)
class Finding:
    """A broken promise."""

    invariant: int
    text: str

    def __str__(self) -> str:
        return f"({self.invariant}) {self.text}"


@dataclass
class Send:
    """One message as its sender knows it."""

    invoke: Line
    end: Line | None = None
    fresh: bool = False

    @property
    def key(self) -> tuple[str, str]:
        return self.invoke["user"], self.invoke["client_id"]

    @property
    def acked(self) -> bool:
        return self.end is not None and self.end["type"] == "ok"

    def __str__(self) -> str:
        how = self.end["type"] if self.end else "open"
        return f"{self.invoke['client_id']} of {self.invoke['device']} ({how})"


@dataclass
class History:
    """The lines, indexed once."""

    sends: dict[tuple[str, str], Send] = field(default_factory=dict)
    live: dict[tuple[str, int, str], list[Line]] = field(default_factory=dict)
    shown: dict[tuple[str, str], list[Line]] = field(default_factory=dict)
    final: dict[tuple[str, str], list[Line]] = field(default_factory=dict)
    seen: list[Line] = field(default_factory=list)
    entitled: dict[tuple[str, str], Line] = field(default_factory=dict)
    cursors: dict[tuple[str, str, str], list[Line]] = field(default_factory=dict)
    healed: int | None = None
    strays: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, lines: Iterable[Line]) -> "History":
        history = cls()
        by_device: dict[tuple[str, str], Send] = {}
        ends: list[Line] = []
        fresh: set[str] = set()
        for line in lines:
            match line["type"]:
                case "invoke":
                    send = Send(line)
                    if send.key in history.sends:
                        history.strays.append(f"{send} was invoked twice")
                    history.sends[send.key] = send
                    by_device[line["device"], line["client_id"]] = send
                case "ok" | "fail" | "info":
                    ends.append(line)
                case "live":
                    stream = line["device"], line["connection"], line["conv"]
                    history.live.setdefault(stream, []).append(line)
                    history.seen.append(line)
                case "page":
                    history.seen.append(line)
                case "show":
                    log = line["device"], line["conv"]
                    history.shown.setdefault(log, []).append(line)
                    history.seen.append(line)
                case "final":
                    log = line["device"], line["conv"]
                    history.final.setdefault(log, []).append(line)
                    history.seen.append(line)
                case "entitled":
                    history.entitled[line["device"], line["conv"]] = line
                case "cursor":
                    mark = line["user"], line["device"], line["conv"]
                    history.cursors.setdefault(mark, []).append(line)
                case "healed":
                    history.healed = line["t"]
                case "fresh":
                    fresh.add(line["client_id"])
                case other:
                    raise ValueError(f"no such line: {other}")
        for line in ends:
            send = by_device.get((line["device"], line["client_id"]))
            if send is None or send.end is not None:
                history.strays.append(f"an end without a beginning: {line}")
            else:
                send.end = line
        for send in history.sends.values():
            send.fresh = send.invoke["client_id"] in fresh
        return history

    def logs(self) -> Iterator[tuple[str, tuple[str, str], list[Line]]]:
        """What each device showed, and what it fetched in the end."""
        for log in self.entitled:
            yield "screen", log, self.shown.get(log, [])
            yield "final", log, self.final.get(log, [])


def check(
    lines: Iterable[Line], *, fresh_s: float = FRESH_S, op_s: float = OP_S
) -> list[Finding]:
    """Every broken promise in a history.

    Args:
        lines: the history, in the order of writing.
        fresh_s: seconds for a fresh send to be on all screens (10 is the promise; a
            run on a crowded machine may have to allow more).
        op_s: seconds for a send to end.
    """
    history = History.of(lines)
    findings = [
        Finding(number, text)
        for number, invariant in INVARIANTS.items()
        for text in invariant(history)
    ]
    findings += [Finding(14, text) for text in _alive(history, fresh_s, op_s)]
    return findings


def _is_message(line: Line) -> bool:
    return bool(line["kind"] == "message")


def _inside(line: Line, window: Line) -> bool:
    before = window["before"]
    return line["seq"] > window["after"] and (before is None or line["seq"] < before)


def _no_lost_ack(history: History) -> Iterator[str]:
    """1: what was acknowledged is in every entitled device's logs, as acknowledged."""
    acked = defaultdict(list)
    for send in history.sends.values():
        if send.acked:
            acked[send.invoke["conv"]].append(send)
    for name, (device, conv), log in history.logs():
        have = {(line["seq"], line["id"]) for line in log}
        window = history.entitled[device, conv]
        for send in acked[conv]:
            assert send.end is not None
            if not _inside(send.end, window):
                continue
            if (send.end["seq"], send.end["id"]) not in have:
                yield f"{send} is missing on the {name} of {device}"


def _definite(history: History) -> Iterator[str]:
    """2: what was refused is nowhere, what is unknown at most once."""
    found: dict[tuple[str, str], set[tuple[str, int]]] = defaultdict(set)
    for line in filter(_is_message, history.seen):
        found[line["sender"], line["client_id"]].add((line["conv"], line["seq"]))
    for key, send in history.sends.items():
        if send.end is None or send.acked:
            continue
        if send.end["type"] == "fail" and found[key]:
            yield f"{send} was refused and is at {sorted(found[key])}"
        if len(found[key]) > 1:
            yield f"{send} is at {sorted(found[key])}"


def _no_duplicate(history: History) -> Iterator[str]:
    """3: no log has an id, a number or an idempotency key twice."""
    for name, (device, conv), log in history.logs():
        ids = Counter(line["id"] for line in log)
        seqs = Counter(line["seq"] for line in log)
        keys = Counter(
            (line["sender"], line["client_id"]) for line in log if line["client_id"]
        )
        for twice in (ids, seqs, keys):
            for what, count in twice.items():
                if count > 1:
                    yield f"{what} is {count} times on the {name} of {device} in {conv}"


def _no_phantom(history: History) -> Iterator[str]:
    """4: what was received was sent: by that user, there, with that text."""
    told = set()
    for line in filter(_is_message, history.seen):
        key = line["sender"], line["client_id"]
        send = history.sends.get(key)
        why = None
        if send is None:
            why = "nobody sent it"
        elif send.invoke["conv"] != line["conv"]:
            why = f"it was sent to {send.invoke['conv']}"
        elif send.invoke["digest"] != line["digest"]:
            why = "its text is another"
        if why and (key, why) not in told:
            told.add((key, why))
            yield f"{key} at {line['conv']}/{line['seq']}: {why}"


def _no_divergence(history: History) -> Iterator[str]:
    """5: numbers and ids match one to one, on all devices, pages and receipts."""
    by_place: dict[tuple[str, int], str] = {}
    by_id: dict[str, tuple[str, int]] = {}
    told = set()
    acked = (
        {**send.end, "conv": send.invoke["conv"]}
        for send in history.sends.values()
        if send.end is not None and send.acked
    )
    for lines in (acked, history.seen):
        for line in lines:
            place = line["conv"], line["seq"]
            same_id = by_place.setdefault(place, line["id"]) == line["id"]
            same_place = by_id.setdefault(line["id"], place) == place
            if not (same_id and same_place) and (place, line["id"]) not in told:
                told.add((place, line["id"]))
                yield (
                    f"{line['id']} at {place} for {line['device']}, elsewhere "
                    f"{by_place[place]} is there and it is at {by_id[line['id']]}"
                )


def _total_order(history: History) -> Iterator[str]:
    """6: live numbers rise on each connection; screens and final logs have no hole."""
    for (device, connection, conv), lines in history.live.items():
        last = 0
        for line in lines:
            if line["seq"] <= last:
                yield (
                    f"live on {device}, connection {connection}, {conv}: "
                    f"{line['seq']} after {last}"
                )
            last = line["seq"]
    for name, (device, conv), log in history.logs():
        last = history.entitled[device, conv]["after"]
        for line in log:
            if line["seq"] != last + 1:
                yield f"{name} of {device}, {conv}: {line['seq']} after {last}"
            last = line["seq"]


def _real_time(history: History) -> Iterator[str]:
    """7: what was acknowledged before another send began has the smaller number."""
    moments: dict[str, list[tuple[int, int, Send]]] = defaultdict(list)
    for send in history.sends.values():
        if send.end is not None and send.acked:
            conv = moments[send.invoke["conv"]]
            conv.append((send.invoke["t"], 1, send))
            conv.append((send.end["t"], 0, send))
    for conv in moments.values():
        highest: Send | None = None
        for _, begins, send in sorted(conv, key=lambda each: each[:2]):
            assert send.end is not None
            seq = send.end["seq"]
            above = highest is not None and highest.end is not None
            if not begins:
                if not above or seq > highest.end["seq"]:  # type: ignore[union-attr,index]
                    highest = send
            elif above and seq < highest.end["seq"]:  # type: ignore[union-attr,index]
                yield f"{send} began after {highest} ended and stands before it"


def _sender_order(history: History) -> Iterator[str]:
    """8: the accepted sends of one device are numbered as it made them."""
    last: dict[tuple[str, str], Send] = {}
    for send in history.sends.values():  # in the order of invocation
        if send.end is None or not send.acked:
            continue
        stream = send.invoke["device"], send.invoke["conv"]
        before = last.get(stream)
        if before is not None and before.end and before.end["seq"] > send.end["seq"]:
            yield f"{send} was made after {before} and stands before it"
        last[stream] = send


def _cursors_rise(history: History) -> Iterator[str]:
    """9: a read mark never goes back, and ends equal on all devices of a user."""
    ends: dict[tuple[str, str], dict[str, int]] = defaultdict(dict)
    for (user, device, conv), lines in history.cursors.items():
        highest = 0
        for line in lines:
            if line["read_seq"] < highest:
                yield f"{device}, {conv}: {line['read_seq']} after {highest}"
            highest = max(highest, line["read_seq"])
        ends[user, conv][device] = lines[-1]["read_seq"]
    for (user, conv), marks in ends.items():
        if len(set(marks.values())) > 1:
            yield f"the read marks of {user} in {conv} differ: {marks}"


def _membership(history: History) -> Iterator[str]:
    """10: nobody sees what came before they joined or after they left."""
    told = set()
    for line in history.seen:
        log = line["device"], line["conv"]
        window = history.entitled.get(log)
        if (window is None or not _inside(line, window)) and log not in told:
            told.add(log)
            yield f"{line['device']} saw {line['conv']}/{line['seq']}"


def _alive(history: History, fresh_s: float, op_s: float) -> Iterator[str]:
    """14: every send ends; after the last fault, fresh sends arrive everywhere."""
    yield from history.strays
    screens: dict[str, list[str]] = defaultdict(list)
    for (device, conv), window in history.entitled.items():
        if window["before"] is None:
            screens[conv].append(device)
    arrived: dict[tuple[str, str], int] = {}
    for (device, _), lines in history.shown.items():
        for line in filter(_is_message, lines):
            arrived.setdefault((device, line["client_id"]), line["t"])
    fresh = set()
    for send in history.sends.values():
        began = send.invoke["t"]
        if send.end is None:
            yield f"{send} never ended"
        elif send.end["t"] - began > op_s * 1e9:
            yield f"{send} took {(send.end['t'] - began) / 1e9:.1f} s"
        if not send.fresh:
            continue
        conv = send.invoke["conv"]
        fresh.add(conv)
        for device in screens[conv]:
            when = arrived.get((device, send.invoke["client_id"]))
            if when is None:
                yield f"the fresh {send} never reached {device}"
            elif when - began > fresh_s * 1e9:
                yield f"the fresh {send} took {(when - began) / 1e9:.1f} s to {device}"
    if history.healed is not None:
        for conv in screens.keys() - fresh:
            yield f"nothing fresh was sent to {conv} after the last fault"


INVARIANTS: dict[int, Callable[[History], Iterator[str]]] = {
    1: _no_lost_ack,
    2: _definite,
    3: _no_duplicate,
    4: _no_phantom,
    5: _no_divergence,
    6: _total_order,
    7: _real_time,
    8: _sender_order,
    9: _cursors_rise,
    10: _membership,
}
"""By the numbers of the list of promises. 11 (recall), 12 (transactions) and 13 (jobs)
follow with the features they judge; 14 has parameters and stands in ``check``."""


def account(lines: Iterable[Line]) -> dict[str, int]:
    """Nothing lost, in numbers: ``sent = acked + refused + unknown``, and so on."""
    history = History.of(lines)
    ends = Counter(send.end["type"] if send.end else "open" for send in _all(history))
    due = sum(
        1
        for send in _all(history)
        if send.end is not None and send.acked
        for (_, conv), window in history.entitled.items()
        if conv == send.invoke["conv"] and _inside(send.end, window)
    )
    live = {
        (device, line["id"])
        for (device, _, _), lines_ in history.live.items()
        for line in lines_
    }
    shown = [
        (line["device"], line["id"])
        for lines_ in history.shown.values()
        for line in filter(_is_message, lines_)
    ]
    came_live = sum(1 for each in shown if each in live)
    return {
        "sent": len(history.sends),
        "acked": ends["ok"],
        "refused": ends["fail"],
        "unknown": ends["info"],
        "open": ends["open"],
        "due on screens": due,
        "shown": len(shown),
        "shown live": came_live,
        "shown by catch-up": len(shown) - came_live,
    }


def _all(history: History) -> Iterable[Send]:
    return history.sends.values()


def read(path: Path) -> list[Line]:
    """The lines of a history file."""
    with path.open(encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def main() -> int:
    lines = read(Path(sys.argv[1]))
    findings = check(lines)
    for finding in findings:
        print(finding)
    print(account(lines), f"{len(findings)} findings")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
