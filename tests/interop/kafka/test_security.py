"""SASL and TLS with clients as they are: confluent-kafka, aiokafka, kafka-python."""

import ssl
import subprocess
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from confluent_kafka import Consumer, Producer

from tests.broker.process import Process
from tests.interop.kafka.test_confluent import read

with warnings.catch_warnings():  # its schemas are read with a deprecated call
    warnings.simplefilter("ignore", DeprecationWarning)
    from kafka import KafkaConsumer, KafkaProducer

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

MECHANISMS = ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]
PROTOCOLS = ["SASL_PLAINTEXT", "SASL_SSL"]


def openssl(*arguments: str | Path) -> None:
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``server.pem`` (key and certificate) and ``client.pem``, each its own CA."""
    folder = tmp_path_factory.mktemp("certificates")
    for name in ("server", "client"):
        key, cert = folder / f"{name}.key", folder / f"{name}.crt"
        openssl(
            *("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-nodes", "-days", "2", "-subj", f"/CN={name}"),
            *("-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost"),
            *("-keyout", key, "-out", cert),
        )
        (folder / f"{name}.pem").write_text(key.read_text() + cert.read_text())
    return folder


@pytest.fixture(scope="module")
def secured(
    tmp_path_factory: pytest.TempPathFactory, certificates: Path
) -> Iterator[Process]:
    folder = tmp_path_factory.mktemp("secured")
    users = folder / "users"
    users.write_text("# who may come in\nann:pencil\n")
    users.chmod(0o600)
    with Process(
        folder / "data",
        "listeners=SASL_PLAINTEXT://127.0.0.1:0,SASL_SSL://127.0.0.1:0,SSL://127.0.0.1:0",
        f"salon.sasl.users.file={users}",
        f"sasl.enabled.mechanisms={','.join(MECHANISMS)}",
        f"ssl.keystore.location={certificates / 'server.pem'}",
        f"ssl.truststore.location={certificates / 'client.crt'}",
        "ssl.client.auth=requested",
        "salon.tail.cache.bytes=0",  # large fetches read the file, TLS or not
    ) as running:
        yield running
        assert running.terminate() == 0


def at(secured: Process, protocol: str) -> str:
    return f"127.0.0.1:{secured.listeners[protocol]}"


def librdkafka(
    secured: Process, certificates: Path, protocol: str, mechanism: str, **more: Any
) -> dict[str, Any]:
    return {
        "bootstrap.servers": at(secured, protocol),
        "security.protocol": protocol,
        "sasl.mechanism": mechanism,
        "sasl.username": "ann",
        "sasl.password": "pencil",
        "ssl.ca.location": str(certificates / "server.crt"),
        **more,
    }


def test_confluent_kafka_comes_in(secured: Process, certificates: Path):
    for protocol in PROTOCOLS:
        for mechanism in MECHANISMS:
            topic = f"confluent-{protocol}-{mechanism}"
            how = librdkafka(secured, certificates, protocol, mechanism)
            producer = Producer(how)
            for i in range(300):
                producer.produce(topic, b"x" * 1000 + b"%d" % i)
            assert producer.flush(30) == 0
            consumer = Consumer(
                {**how, "group.id": topic, "auto.offset.reset": "earliest"}
            )
            consumer.subscribe([topic])
            found = read(consumer, 300)
            consumer.close()

            assert [m.value()[1000:] for m in found] == [b"%d" % i for i in range(300)]


def test_a_wrong_password_is_told_to_the_client(secured: Process, certificates: Path):
    how = librdkafka(secured, certificates, "SASL_PLAINTEXT", "SCRAM-SHA-256")
    errors: list[str] = []
    producer = Producer(
        {
            **how,
            "sasl.password": "pen",
            "message.timeout.ms": 3000,
            "error_cb": lambda error: errors.append(error.name()),
        }
    )
    producer.produce("refused", b"x")
    producer.flush(5)

    assert "_AUTHENTICATION" in errors


def test_a_client_certificate_is_looked_at(secured: Process, certificates: Path):
    how = {
        "bootstrap.servers": at(secured, "SSL"),
        "security.protocol": "SSL",
        "ssl.ca.location": str(certificates / "server.crt"),
    }
    own = {
        "ssl.certificate.location": str(certificates / "client.crt"),
        "ssl.key.location": str(certificates / "client.key"),
    }
    wrong = {
        "ssl.certificate.location": str(certificates / "server.crt"),
        "ssl.key.location": str(certificates / "server.key"),
        "message.timeout.ms": 2000,
    }
    left = []
    for more in (own, wrong):
        producer = Producer({**how, **more})
        failed: list[object] = []
        producer.produce(
            "tls", b"x", on_delivery=lambda e, _, f=failed: f.append(e) if e else None
        )
        producer.flush(10)
        left.append(len(failed))

    assert left == [0, 1]


@pytest.mark.parametrize("mechanism", MECHANISMS)
@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_aiokafka_comes_in(
    secured: Process, certificates: Path, protocol: str, mechanism: str
):
    context = ssl.create_default_context(cafile=certificates / "server.crt")
    how: dict[str, Any] = {
        "bootstrap_servers": at(secured, protocol),
        "security_protocol": protocol,
        "sasl_mechanism": mechanism,
        "sasl_plain_username": "ann",
        "sasl_plain_password": "pencil",
        "ssl_context": context if protocol.endswith("SSL") else None,
    }
    topic = f"aiokafka-{protocol}-{mechanism}"
    async with AIOKafkaProducer(**how) as producer:
        await producer.send_and_wait(topic, b"hello")
    async with AIOKafkaConsumer(topic, auto_offset_reset="earliest", **how) as consumer:
        message = await consumer.getone()

    assert message.value == b"hello"


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_kafka_python_comes_in(secured: Process, certificates: Path, mechanism: str):
    how: dict[str, Any] = {
        "bootstrap_servers": at(secured, "SASL_SSL"),
        "security_protocol": "SASL_SSL",
        "sasl_mechanism": mechanism,
        "sasl_plain_username": "ann",
        "sasl_plain_password": "pencil",
        "ssl_cafile": str(certificates / "server.crt"),
    }
    topic = f"kafka-python-{mechanism}"
    producer = KafkaProducer(**how)
    producer.send(topic, b"hello").get(timeout=20)
    producer.close()
    consumer = KafkaConsumer(
        topic, auto_offset_reset="earliest", consumer_timeout_ms=15_000, **how
    )
    message = next(iter(consumer))
    consumer.close()

    assert message.value == b"hello"
