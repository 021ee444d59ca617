"""ApiVersions: a client says what it is (KIP-511), and hears what is served."""

import pytest

from salon.broker.protocol.versions import API_VERSIONS
from salon.broker.server import Broker
from tests.broker.wire import Wire, decode_response


async def test_the_clients_software_is_seen_by_operators(broker: Broker, wire: Wire):
    await wire.ask(
        API_VERSIONS,
        3,
        client_software_name="librdkafka",
        client_software_version="2.16",
    )
    async with await Wire.connect(broker.port) as silent:
        await silent.ask(API_VERSIONS, 0)
        clients = broker.status()["clients"]

    assert clients == {"librdkafka 2.16": 1, "unknown unknown": 1}


@pytest.mark.parametrize("name", ["", "-x", "a b", "a\nb", "x" * 101])
async def test_software_that_is_no_name_is_refused_and_told(wire: Wire, name: str):
    """With INVALID_REQUEST, as Kafka answers; the connection goes on."""
    raw = name.encode()
    body = bytes((len(raw) + 1,)) + raw + b"\x021\0"
    wire.send(API_VERSIONS, 3, body)
    _, data = await wire.receive()
    answer = decode_response(API_VERSIONS, 3, data)

    assert (answer.error_code, answer.api_keys) == (42, ())
    assert (await wire.ask(API_VERSIONS, 0)).error_code == 0


async def test_software_that_is_cut_is_refused(wire: Wire):
    wire.send(API_VERSIONS, 3, b"\x30ab")
    _, data = await wire.receive()

    assert decode_response(API_VERSIONS, 3, data).error_code == 42
