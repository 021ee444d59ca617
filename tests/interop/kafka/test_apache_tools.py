"""Apache Kafka's own Java tools: its client talks to us, its dump reads our files."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from salon.broker.config import TopicConfig
from salon.broker.log import batch as batches
from salon.broker.log import cleaner, codecs
from salon.broker.log.partition_log import PartitionLog
from salon.cli.broker_cluster import Supervisor
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
    for codec in ("none", "gzip", "snappy", "lz4", "zstd"):
        java(
            f"{tools}.ConsoleProducer", *server, "--topic", "java",
            "--compression-codec", codec, give=f"{codec} one\n{codec} two\n",
        )  # fmt: skip
    first, rest = (
        java(
            f"{tools}.consumer.ConsoleConsumer",
            *server,
            "--topic",
            "java",
            "--from-beginning",
            "--max-messages",
            count,
            "--group",
            "java-readers",
            "--timeout-ms",
            "30000",
        )
        for count in ("4", "6")
    )

    assert "PartitionCount: 2" in described
    read = first.splitlines() + rest.splitlines()
    assert len(read) == len(set(read)) == 10
    assert {line.split()[0] for line in read} == {
        *("none", "gzip", "snappy", "lz4", "zstd")
    }


def test_java_tools_see_several_brokers_as_they_are(tmp_path: Path):
    """Made through one broker, described and written through others."""
    require("kafka")
    tools = "org.apache.kafka.tools"
    brokers = Supervisor(tmp_path, 3, "127.0.0.1", 0, ())
    try:
        brokers.start()
        first, second, third = (
            ["--bootstrap-server", at] for at in brokers.bootstrap.split(",")
        )
        java(
            f"{tools}.TopicCommand", *third, "--create", "--topic", "java",
            "--partitions", "3", "--replication-factor", "3",
        )  # fmt: skip
        described = java(
            f"{tools}.TopicCommand", *second, "--describe", "--topic", "java"
        )
        behind = java(
            f"{tools}.TopicCommand", *first, "--describe",
            "--under-replicated-partitions",
        )  # fmt: skip
        java(
            f"{tools}.ConsoleProducer", *second, "--topic", "java",
            "--command-property", "acks=all", give="one\ntwo\nthree\n",
        )  # fmt: skip
        read = java(
            f"{tools}.consumer.ConsoleConsumer", *first, "--topic", "java",
            "--from-beginning", "--max-messages", "3", "--timeout-ms", "30000",
        )  # fmt: skip
    finally:
        brokers.close()

    assert "ReplicationFactor: 3" in described
    leaders = re.findall(r"Leader: (\d)", described)
    in_sync = re.findall(r"Isr: ([\d,]+)", described)
    assert sorted(leaders) == ["1", "2", "3"]
    assert [sorted(each.split(",")) for each in in_sync] == [["1", "2", "3"]] * 3
    assert behind.strip() == ""
    assert sorted(read.split()) == ["one", "three", "two"]


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


def test_the_java_client_commits_transactions_and_apaches_dump_reads_their_traces(
    tmp_path: Path,
):
    require("kafka")
    from confluent_kafka import Producer

    with Process(tmp_path / "data") as broker:
        server = ["--bootstrap-server", broker.address]
        tools = "org.apache.kafka.tools"
        java(f"{tools}.TopicCommand", *server, "--create", "--topic", "txn")
        java(
            f"{tools}.ProducerPerformance", "--topic", "txn", "--num-records", "500",
            "--record-size", "20", "--throughput", "2000",
            "--producer-props", f"bootstrap.servers={broker.address}",
            "--transactional-id", "java", "--transaction-duration-ms", "50",
        )  # fmt: skip
        aborter = Producer(
            {"bootstrap.servers": broker.address, "transactional.id": "aborter"}
        )
        aborter.init_transactions(20)
        aborter.begin_transaction()
        aborter.produce("txn", value=b"aborted")
        aborter.flush(10)
        aborter.abort_transaction(20)
        read = java(
            f"{tools}.consumer.ConsoleConsumer", *server, "--topic", "txn",
            "--from-beginning", "--isolation-level", "read_committed",
            "--timeout-ms", "4000",
        )  # fmt: skip
        assert broker.terminate() == 0
    folder = tmp_path / "data"
    files = [
        *(folder / "txn-0").glob("*.log"),
        *(folder / "txn-0").glob("*.txnindex"),
    ]
    dump = java(
        f"{tools}.DumpLogSegments",
        "--print-data-log",
        "--files",
        ",".join(map(str, sorted(files))),
    )
    state = java(
        f"{tools}.DumpLogSegments", "--transaction-log-decoder", "--files",
        str(next((folder / "__transaction_state-0").glob("*.log"))),
    )  # fmt: skip

    values = re.findall(r"^[A-Z]{20}$", read, re.MULTILINE)
    assert len(values) == 500
    assert "aborted" not in read
    assert "isTransactional: true" in dump
    assert "endTxnMarker: COMMIT" in dump
    assert "version: 0 producerId:" in dump
    assert "CompleteCommit" in state
    assert "CompleteAbort" in state


def test_apaches_admin_tools_look_into_producers_transactions_and_disks(
    broker: Process,
):
    require("kafka")
    from confluent_kafka import Producer

    server = ["--bootstrap-server", broker.address]
    tools = "org.apache.kafka.tools"
    producer = Producer(
        {"bootstrap.servers": broker.address, "transactional.id": "looked-at"}
    )
    producer.init_transactions(20)
    producer.begin_transaction()
    producer.produce("looked-into", value=b"x" * 1000)
    producer.flush(10)
    disks = java(f"{tools}.LogDirsCommand", *server, "--describe")
    listed = java(f"{tools}.TransactionsCommand", *server, "list")
    described = java(
        f"{tools}.TransactionsCommand", *server,
        "describe", "--transactional-id", "looked-at",
    )  # fmt: skip
    producers = java(
        f"{tools}.TransactionsCommand", *server,
        "describe-producers", "--topic", "looked-into", "--partition", "0",
    )  # fmt: skip
    producer.abort_transaction(20)

    assert re.search(r'"partition":"looked-into-0","size":1\d\d\d', disks)
    assert re.search(r"looked-at\s+\d+\s+\d+\s+Ongoing", listed)
    assert re.search(r"looked-at.*Ongoing.*looked-into-0", described)
    assert re.search(r"^\d+\s+\d+\s+-1\s+0\s+\d+\s+0", producers, re.MULTILINE)


def test_what_compaction_wrote_is_read_by_apaches_dump(tmp_path: Path):
    """In every codec: Java reads fewer forms of snappy and lz4 than others do."""
    require("kafka")
    folder = tmp_path / "compacted-0"
    log = PartitionLog(folder, TopicConfig(cleanup_policy="compact"))
    for i, codec in enumerate((0, 1, 2, 3, 4)):
        keys = (b"%d" % i, b"every codec has it")
        plain = batches.build([(key, b"value of %d" % i * 9) for key in keys], 1000)
        data = bytearray(plain[:61])
        data[22] = codec
        packed = codecs.compress(codec, bytes(plain[61:]))
        batch = batches.replace_records(memoryview(data), packed, 2)
        log.append(batch, batches.check(batch, 1 << 20))
    log.roll()
    flush = log.begin_flush()
    flush.run()
    log.end_flush(flush)
    closed = cleaner.cleanable(log, 2000)
    cleaner.put_in_place(log, cleaner.clean(log, closed, 2000))
    log.close()
    dumped = java(
        "org.apache.kafka.tools.DumpLogSegments", "--print-data-log",
        "--files", str(folder / "00000000000000000000.log"),
    )  # fmt: skip

    assert re.findall(r"compresscodec: (\w+)", dumped) == [
        *("none", "gzip", "snappy", "lz4", "zstd")
    ]
    assert re.findall(r" key: (.*?) payload: value of (\d)", dumped) == [
        *(("0", "0"), ("1", "1"), ("2", "2"), ("3", "3")),
        *(("4", "4"), ("every codec has it", "4")),
    ]
    assert "isvalid: false" not in dumped.lower()
