"""Apache Kafka's own Java tools: its client talks to us, its dump reads our files."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.broker.process import Process
from tests.engines import KAFKA_LIBS, require

pytestmark = pytest.mark.kafka


def java(*arguments: str, give: str = "") -> str:
    """Run a class of Apache's with its jars."""
    require("kafka")
    command = ["java", "-Xmx256m", "-cp", f"{KAFKA_LIBS}{os.sep}*", *arguments]
    done = subprocess.run(
        command, input=give, capture_output=True, text=True, timeout=90, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_java_client_produces_consumes_and_administers(broker: Process):
    require("kafka")
    server = ["--bootstrap-server", broker.address]
    tools = "org.apache.kafka.tools"
    java(
        f"{tools}.TopicCommand", *server, "--create", "--topic", "java",
        "--partitions", "2", "--config", "retention.ms=100000",
    )  # fmt: skip
    described = java(f"{tools}.TopicCommand", *server, "--describe", "--topic", "java")
    java(
        f"{tools}.ConsoleProducer", *server, "--topic", "java",
        "--compression-codec", "zstd", give="one\ntwo\n",
    )  # fmt: skip
    read = java(
        f"{tools}.consumer.ConsoleConsumer", *server, "--topic", "java",
        "--from-beginning", "--max-messages", "2", "--group", "java-readers",
        "--timeout-ms", "30000",
    )  # fmt: skip

    assert "PartitionCount: 2" in described
    assert sorted(read.split()) == ["one", "two"]


def test_a_folder_of_ours_is_read_by_apaches_dump(tmp_path: Path):
    """Segments, indexes and producer snapshots: whoever outgrows us can move."""
    require("kafka")
    from confluent_kafka import Producer

    small = ("log.segment.bytes=4000", "log.index.interval.bytes=500")
    with Process(tmp_path / "data", *small) as broker:
        producer = Producer(
            {
                "bootstrap.servers": broker.address,
                "enable.idempotence": True,
                "batch.num.messages": 10,
            }
        )
        for i in range(600):
            producer.produce("dumped", b"value %d" % i, key=b"k")
        producer.flush(30)
        assert broker.terminate() == 0
    folder = tmp_path / "data" / "dumped-0"
    dump = "org.apache.kafka.tools.DumpLogSegments"
    logs = sorted(map(str, folder.glob("*.log")))
    indexes = sorted(map(str, [*folder.glob("*.index"), *folder.glob("*.timeindex")]))
    snapshots = sorted(map(str, folder.glob("*.snapshot")))
    records = java(dump, "--files", ",".join(logs), "--print-data-log")
    sane = java(dump, "--files", ",".join(indexes), "--index-sanity-check")
    compared = java(dump, "--files", ",".join(indexes))
    producers = java(dump, "--files", ",".join(snapshots))

    assert len(logs) > 1
    assert re.findall(r"payload: value (\d+)", records) == [str(i) for i in range(600)]
    assert "isvalid: false" not in records.lower()
    assert sane.count("passed sanity check") == len(indexes)
    assert "mismatch" not in compared.lower(), compared
    assert "producerId: 0" in producers
