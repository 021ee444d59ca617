"""kcat 1.7.1 (librdkafka 2.0.2): the old client that many brokers lose."""

import subprocess

import pytest

from tests.broker.process import Process
from tests.engines import kcat, require

pytestmark = pytest.mark.kcat


def run(*arguments: str, give: str = "") -> str:
    require("kcat")
    done = subprocess.run(
        [kcat(), *arguments],
        input=give,
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    return done.stdout


def test_it_lists_the_broker_and_its_topics(broker: Process):
    run("-b", broker.address, "-P", "-t", "listed", give="x\n")
    listed = run("-b", broker.address, "-L")

    assert f"broker 1 at {broker.address} (controller)" in listed
    assert 'topic "listed" with 1 partitions' in listed


@pytest.mark.parametrize("codec", ["none", "gzip", "snappy", "lz4", "zstd"])
def test_it_reads_what_it_wrote_in_every_codec(broker: Process, codec: str):
    lines = "".join(f"line {i} {'x' * 50}\n" for i in range(100))
    topic = f"kcat-{codec}"
    run(
        "-b",
        broker.address,
        "-P",
        "-t",
        topic,
        "-z",
        codec,
        "-X",
        "acks=all",
        give=lines,
    )
    read = run("-b", broker.address, "-C", "-t", topic, "-o", "beginning", "-e", "-q")

    assert read == lines


def test_a_group_goes_on_where_it_left(broker: Process):
    address, topic = broker.address, "kcat-group"
    group = ["-b", address, "-G", "kcat-readers", "-X", "auto.offset.reset=earliest"]
    run("-b", address, "-P", "-t", topic, give="a\nb\nc\n")
    first = run(*group, "-c", "2", "-q", topic)
    run("-b", address, "-P", "-t", topic, give="d\n")
    second = run(*group, "-c", "2", "-q", topic)

    assert (first, second) == ("a\nb\n", "c\nd\n")


def test_an_idempotent_producer_is_served(broker: Process):
    topic = "kcat-idempotent"
    run(
        "-b", broker.address, "-P", "-t", topic, "-X", "enable.idempotence=true",
        give="once\n",
    )  # fmt: skip

    read = run("-b", broker.address, "-C", "-t", topic, "-o", "beginning", "-e", "-q")
    assert read == "once\n"
