import subprocess

import pytest

from tests import engines


def test_a_missing_engine_skips_its_tests_or_fails_them_where_it_is_required(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(engines._PROBES, "kcat", lambda: "not here")
    monkeypatch.delenv("SALON_REQUIRE_ENGINES", raising=False)
    with pytest.raises(pytest.skip.Exception, match="not here"):
        engines.require("kcat")
    monkeypatch.setenv("SALON_REQUIRE_ENGINES", "1")
    with pytest.raises(pytest.fail.Exception, match="kcat is required"):
        engines.require("kcat")


@pytest.mark.kafka
def test_a_killed_kafka_comes_back_at_the_same_place_with_its_records() -> None:
    engines.require("kafka")
    engines.require("kcat")
    produce = ["-P", "-t", "t", "-X", "acks=all", "-X", "allow.auto.create.topics=true"]
    with engines.KafkaServer(auto_create=True) as kafka:
        where = kafka.bootstrap
        subprocess.run(
            [engines.kcat(), "-b", where, *produce], input=b"one\n", check=True
        )
        kafka.kill()
        kafka.start()
        consumed = subprocess.run(
            [engines.kcat(), "-b", where, "-C", "-t", "t", "-e", "-q"],
            capture_output=True,
            timeout=60,
            check=True,
        )

    assert consumed.stdout == b"one\n"
    assert not kafka.folder.exists()
