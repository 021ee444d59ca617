"""The same program on Apache Kafka: one setting, nothing else changes."""

import time

import pytest

from tests import engines
from tests.program import Program, another_person, first_person

pytestmark = [pytest.mark.e2e, pytest.mark.kafka]


@pytest.fixture(scope="module")
def kafka():
    engines.require("kafka")
    with engines.KafkaServer() as server:
        yield server


def test_two_people_talk_and_draw_over_apache_kafka_and_a_kill_loses_nothing(
    kafka, tmp_path
):
    program = Program(tmp_path / "data", env={"SALON_KAFKA": kafka.bootstrap})
    try:
        program.start()
        ann = first_person(program)
        bob = another_person(program, ann)
        here = ann.direct(bob)
        for n in range(10):
            (ann if n % 2 else bob).say(here, f"m{n}", key=f"k{n}")
        drawn = ann.http.post(
            "/api/v1/pictures", json={"conversation": here, "prompt": "red heart"}
        )
        program.kill()
        program.start()
        again = bob.say(here, "m8", key="k8")
        bob.say(here, "after the kill")
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            seen = bob.events(here)
            if any(e["type"] == "picture.updated" for e in seen):
                break
            time.sleep(0.2)
        ann.close()
        bob.close()
    finally:
        program.end()

    assert "broker" not in program.said["children"]
    assert drawn.status_code == 202
    assert again["duplicate"] is True
    assert [e["seq"] for e in seen] == list(range(1, len(seen) + 1))
    texts = [e["body"]["text"] for e in seen if e["type"] == "message"]
    assert texts == [*(f"m{n}" for n in range(10)), "after the kill"]
    assert [e["body"]["state"] for e in seen if e["type"] == "picture.updated"] == [
        "done"
    ]
