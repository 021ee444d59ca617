"""A judge is judged: good histories pass, every kind of damage is found."""

import copy
import itertools
import random
from collections.abc import Callable

import pytest

from tests.faults.checker import Line, account, check

DEVICES = {"ann": ("ann-1", "ann-2"), "bob": ("bob-1", "bob-2"), "cy": ("cy-1",)}
MEMBERS = {"group": ("ann", "bob", "cy"), "pair": ("ann", "bob")}
MS = 1_000_000


class Story:
    """Writes a good history: what honest devices of an honest server would see."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.lines: list[Line] = []
        self.now = 0
        self.logs: dict[str, list[Line]] = {conv: [] for conv in MEMBERS}
        self.count = 0
        for conv, users in MEMBERS.items():
            for device in self.devices(conv):
                user = device.partition("-")[0]
                window = {"after": 0, "before": None}
                if (conv, user) == ("group", "cy"):
                    window["after"] = 5  # cy joins later
                self.write("entitled", device=device, user=user, conv=conv, **window)
            self.append(conv, "conversation.created", users[0], None, None)

    def devices(self, conv: str) -> list[str]:
        return [device for user in MEMBERS[conv] for device in DEVICES[user]]

    def write(self, type_: str, /, **fields: object) -> None:
        self.now += MS
        self.lines.append({"type": type_, **fields, "t": self.now})

    def append(
        self, conv: str, kind: str, sender: str, key: str | None, digest: str | None
    ) -> Line:
        log = self.logs[conv]
        event = {
            "conv": conv,
            "seq": len(log) + 1,
            "id": f"{conv}-{len(log) + 1}",
            "kind": kind,
            "sender": sender,
            "client_id": key,
            "digest": digest,
        }
        log.append(event)
        for device in self.devices(conv):
            if device.startswith("cy") and event["seq"] <= 5:
                continue
            live = self.chance.random() < 0.7
            how = {"connection": 1} if live else {}
            self.write("live" if live else "page", device=device, **how, **event)
            self.write("show", device=device, **event)
        return event

    def invoke(self, conv: str, device: str) -> tuple[str, str, str, str]:
        self.count += 1
        key, digest = f"k{self.count}", f"text {self.count}"
        self.write(
            "invoke",
            op="send",
            device=device,
            user=device.partition("-")[0],
            conv=conv,
            client_id=key,
            digest=digest,
        )
        return conv, device, key, digest

    def apply(self, sent: tuple[str, str, str, str]) -> Line:
        conv, device, key, digest = sent
        return self.append(conv, "message", device.partition("-")[0], key, digest)

    def end(self, sent: tuple[str, str, str, str], how: str, **fields: object) -> None:
        self.write(how, op="send", device=sent[1], client_id=sent[2], **fields)

    def say(self, conv: str, device: str) -> str:
        sent = self.invoke(conv, device)
        event = self.apply(sent)
        self.end(sent, "ok", seq=event["seq"], id=event["id"])
        return sent[2]

    def pipeline(self, conv: str, device: str) -> None:
        """Three sends before the first receipt: their order is the device's."""
        sent = [self.invoke(conv, device) for _ in range(3)]
        events = [self.apply(each) for each in sent]
        for each, event in zip(sent, events, strict=True):
            self.end(each, "ok", seq=event["seq"], id=event["id"])


def good(seed: int = 1) -> list[Line]:
    story = Story(seed)
    for _ in range(12):
        conv = story.chance.choice(list(MEMBERS))
        device = story.chance.choice(story.devices(conv))
        story.chance.choice([story.say, story.pipeline])(conv, device)
    for conv in MEMBERS:  # at least one of each everywhere
        story.pipeline(conv, "ann-1")
        story.say(conv, "bob-1")
    refused = story.invoke("group", "bob-2")
    story.end(refused, "fail", code="rate_limited")
    lost = story.invoke("pair", "ann-2")
    story.end(lost, "info")
    landed = story.invoke("group", "ann-2")
    story.apply(landed)
    story.end(landed, "info")
    for seq in (1, 2, 2, 4):
        for device in DEVICES["ann"]:
            story.write("cursor", device=device, user="ann", conv="group", read_seq=seq)
    story.write("healed")
    for conv in MEMBERS:
        key = story.say(conv, "bob-1")
        story.write("fresh", client_id=key)
    for conv, log in story.logs.items():
        for device in story.devices(conv):
            for event in log:
                if not device.startswith("cy") or event["seq"] > 5:
                    story.write("final", device=device, **event)
    return story.lines


@pytest.mark.parametrize("seed", range(20))
def test_a_good_history_has_no_finding(seed: int) -> None:
    lines = good(seed)
    numbers = account(lines)

    assert check(lines) == []
    assert numbers["sent"] == (
        numbers["acked"] + numbers["refused"] + numbers["unknown"]
    )
    assert numbers["shown"] == numbers["shown live"] + numbers["shown by catch-up"]
    assert numbers["due on screens"] <= numbers["shown"]  # an unknown one landed


def test_an_empty_history_has_no_finding() -> None:
    assert check([]) == []


# Damage. Each takes a good history and chance, and damages it in place.


def some(lines: list[Line], chance: random.Random, **fields: object) -> Line:
    """One line with these fields."""
    fitting = [
        line for line in lines if all(line.get(k) == v for k, v in fields.items())
    ]
    return chance.choice(fitting)


def acked(lines: list[Line], chance: random.Random) -> Line:
    """The ``ok`` of some send after the ones before cy joined."""
    return chance.choice(
        [line for line in lines if line["type"] == "ok" and line["seq"] > 5]
    )


def conv_of(lines: list[Line], ok: Line) -> str:
    (invoke,) = (
        line
        for line in lines
        if line["type"] == "invoke" and line["client_id"] == ok["client_id"]
    )
    return str(invoke["conv"])


def drop(lines: list[Line], chance: random.Random, kind: str) -> None:
    ok = acked(lines, chance)
    lines.remove(some(lines, chance, type=kind, id=ok["id"]))


def drop_from_a_screen(lines: list[Line], chance: random.Random) -> None:
    drop(lines, chance, "show")


def drop_from_a_final_log(lines: list[Line], chance: random.Random) -> None:
    drop(lines, chance, "final")


def drop_everywhere(lines: list[Line], chance: random.Random) -> None:
    """The acknowledged record that a power cut took: nobody has it, no hole."""
    ok = acked(lines, chance)
    conv = conv_of(lines, ok)
    lines[:] = [
        line for line in lines if line.get("id") != ok["id"] or line["type"] == "ok"
    ]
    for line in lines:
        if line.get("conv") == conv and line.get("seq", 0) > ok["seq"]:
            line["seq"] -= 1


def cut_the_end(lines: list[Line], chance: random.Random) -> None:
    """A device stops listening before the last messages: no hole, but not all."""
    device, conv = chance.choice(
        [(line["device"], line["conv"]) for line in lines if line["type"] == "entitled"]
    )
    shown = [
        line
        for line in lines
        if line["type"] == "show" and (line["device"], line["conv"]) == (device, conv)
    ]
    for line in shown[-3:]:
        lines.remove(line)


def refused_but_there(lines: list[Line], chance: random.Random) -> None:
    ok = acked(lines, chance)
    ok["type"], ok["code"] = "fail", "rate_limited"


def unknown_and_twice(lines: list[Line], chance: random.Random) -> None:
    """A retry of an unknown send was numbered again."""
    unknown = [line["client_id"] for line in lines if line["type"] == "info"]
    first = next(
        line
        for line in lines
        if line["type"] == "show" and line["client_id"] in unknown
    )
    lines.append({**first, "type": "page", "seq": 1000, "id": "again"})


def show_twice(lines: list[Line], chance: random.Random) -> None:
    line = some(lines, chance, type="show")
    lines.insert(lines.index(line), copy.copy(line))


def number_twice(lines: list[Line], chance: random.Random) -> None:
    """One message under two numbers on every final log: the dedupe was forgotten."""
    ok = acked(lines, chance)
    conv = conv_of(lines, ok)
    last: dict[str, Line] = {}
    for line in lines:
        if line["type"] == "final" and line["conv"] == conv:
            last[line["device"]] = line
    (first, *_) = (x for x in lines if x["type"] == "final" and x["id"] == ok["id"])
    for device, line in last.items():
        twin = {**first, "device": device, "seq": line["seq"] + 1, "id": "twin"}
        lines.insert(lines.index(line) + 1, twin)


def phantom(lines: list[Line], chance: random.Random) -> None:
    line = some(lines, chance, type="live", kind="message")
    line["client_id"] = "never sent"


def forged_sender(lines: list[Line], chance: random.Random) -> None:
    line = some(lines, chance, type="final", kind="message")
    line["sender"] = "cy" if line["sender"] != "cy" else "ann"


def altered_text(lines: list[Line], chance: random.Random) -> None:
    some(lines, chance, type="final", kind="message")["digest"] = "another text"


def wrong_conversation(lines: list[Line], chance: random.Random) -> None:
    """A message of the pair is delivered into the group."""
    line = some(lines, chance, type="live", conv="pair", kind="message")
    line["conv"] = "group"


def swap_on_one_device(lines: list[Line], chance: random.Random) -> None:
    first = chance.choice(
        [
            line
            for line in lines
            if line["type"] == "final" and line["conv"] == "pair" and line["seq"] > 1
        ]
    )
    second = some(
        lines, chance, type="final", device=first["device"], conv="pair", seq=1
    )
    first["id"], second["id"] = second["id"], first["id"]


def receipt_names_another_place(lines: list[Line], chance: random.Random) -> None:
    acked(lines, chance)["seq"] += 1


def receipt_names_another_id(lines: list[Line], chance: random.Random) -> None:
    acked(lines, chance)["id"] = "other"


def live_goes_back(lines: list[Line], chance: random.Random) -> None:
    streams: dict[tuple[str, str], list[Line]] = {}
    for line in lines:
        if line["type"] == "live":
            streams.setdefault((line["device"], line["conv"]), []).append(line)
    stream = chance.choice([each for each in streams.values() if len(each) > 1])
    at = chance.randrange(len(stream) - 1)
    i, j = lines.index(stream[at]), lines.index(stream[at + 1])
    lines[i], lines[j] = lines[j], lines[i]


def screen_out_of_order(lines: list[Line], chance: random.Random) -> None:
    shown = [
        line
        for line in lines
        if line["type"] == "show"
        and line["device"] == "ann-1"
        and line["conv"] == "group"
    ]
    at = chance.randrange(len(shown) - 1)
    i, j = lines.index(shown[at]), lines.index(shown[at + 1])
    lines[i], lines[j] = lines[j], lines[i]


def exchange(lines: list[Line], first: Line, second: Line) -> None:
    """Two sends take each other's place, for everybody alike."""
    places = {
        first["client_id"]: (second["seq"], second["id"]),
        second["client_id"]: (first["seq"], first["id"]),
    }
    for line in lines:
        if "seq" in line and line.get("client_id") in places:
            line["seq"], line["id"] = places[line["client_id"]]


def later_overtakes(lines: list[Line], chance: random.Random) -> None:
    """A send that began after another's receipt stands before it, for everybody."""
    oks = [line for line in lines if line["type"] == "ok"]
    pairs = [
        (a, b)
        for a in oks
        for b in oks
        if a["device"] != b["device"]
        and a["t"] < b["t"]
        and conv_of(lines, a) == conv_of(lines, b)
        and not concurrent(lines, a, b)
    ]
    exchange(lines, *chance.choice(pairs))


def concurrent(lines: list[Line], first: Line, second: Line) -> bool:
    begins = {x["client_id"]: x["t"] for x in lines if x["type"] == "invoke"}
    return bool(begins[second["client_id"]] < first["t"])


def own_order_is_lost(lines: list[Line], chance: random.Random) -> None:
    """Two pipelined sends of a device are numbered the other way round."""
    oks = [line for line in lines if line["type"] == "ok"]
    pairs = [
        (a, b)
        for a, b in itertools.pairwise(oks)
        if a["device"] == b["device"]
        and conv_of(lines, a) == conv_of(lines, b)
        and concurrent(lines, a, b)
    ]
    exchange(lines, *chance.choice(pairs))


def cursor_goes_back(lines: list[Line], chance: random.Random) -> None:
    some(lines, chance, type="cursor", read_seq=2)["read_seq"] = 3
    some(lines, chance, type="cursor", read_seq=4)["read_seq"] = 1


def cursors_differ(lines: list[Line], chance: random.Random) -> None:
    some(lines, chance, type="cursor", read_seq=4)["read_seq"] = 6


def outsider_hears(lines: list[Line], chance: random.Random) -> None:
    line = some(lines, chance, type="live", conv="pair")
    lines.append({**line, "device": "cy-1"})


def sees_before_joining(lines: list[Line], chance: random.Random) -> None:
    line = some(lines, chance, type="final", conv="group", seq=3)
    lines.append({**line, "type": "page", "device": "cy-1"})


def never_ends(lines: list[Line], chance: random.Random) -> None:
    kind = chance.choice(["ok", "info", "fail"])
    lines.remove(some(lines, chance, type=kind))


def ends_late(lines: list[Line], chance: random.Random) -> None:
    some(lines, chance, type="info")["t"] += int(61e9)


def fresh_never_arrives(lines: list[Line], chance: random.Random) -> None:
    fresh = some(lines, chance, type="fresh")["client_id"]
    lines.remove(some(lines, chance, type="show", client_id=fresh))


def fresh_arrives_late(lines: list[Line], chance: random.Random) -> None:
    fresh = some(lines, chance, type="fresh")["client_id"]
    some(lines, chance, type="show", client_id=fresh)["t"] += int(11e9)


def nothing_fresh(lines: list[Line], chance: random.Random) -> None:
    lines.remove(some(lines, chance, type="fresh"))


def ends_twice(lines: list[Line], chance: random.Random) -> None:
    lines.append(copy.copy(acked(lines, chance)))


DAMAGE: dict[Callable[[list[Line], random.Random], None], int] = {
    drop_from_a_screen: 1,
    drop_from_a_final_log: 1,
    drop_everywhere: 1,
    cut_the_end: 1,
    refused_but_there: 2,
    unknown_and_twice: 2,
    show_twice: 3,
    number_twice: 3,
    phantom: 4,
    forged_sender: 4,
    altered_text: 4,
    wrong_conversation: 4,
    swap_on_one_device: 5,
    receipt_names_another_place: 5,
    receipt_names_another_id: 5,
    live_goes_back: 6,
    screen_out_of_order: 6,
    later_overtakes: 7,
    own_order_is_lost: 8,
    cursor_goes_back: 9,
    cursors_differ: 9,
    outsider_hears: 10,
    sees_before_joining: 10,
    never_ends: 14,
    ends_late: 14,
    fresh_never_arrives: 14,
    fresh_arrives_late: 14,
    nothing_fresh: 14,
    ends_twice: 14,
}
"""Kind of damage, and the invariant that must notice it."""


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("damage", DAMAGE, ids=lambda each: each.__name__)
def test_every_damage_is_found_by_its_invariant(
    damage: Callable[[list[Line], random.Random], None], seed: int
) -> None:
    lines = copy.deepcopy(good(seed))
    damage(lines, random.Random(seed))
    found = {finding.invariant for finding in check(lines)}

    assert DAMAGE[damage] in found


def test_every_invariant_is_damaged_by_something() -> None:
    assert set(DAMAGE.values()) == {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 14}
