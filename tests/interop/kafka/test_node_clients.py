"""kafkajs and @platformatic/kafka, unmodified: produce, a group, commits, resuming."""

import json
import subprocess
from pathlib import Path

import pytest

from tests import engines
from tests.broker.process import Process

CODECS = {"gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}
HERE = Path(__file__).parent / "node"


def talk(
    client: str, broker: Process, topic: str, codec: str, write: int, read: int
) -> list[str]:
    if not (HERE / "node_modules" / "kafkajs").is_dir():
        pytest.skip("the JavaScript clients are not installed (make engines)")
    done = subprocess.run(
        [
            *(engines.node(), f"talk-{client}.mjs", broker.address, topic),
            *(f"group-{topic}", codec, str(write), str(read)),
        ],
        cwd=HERE,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: list[str] = json.loads(done.stdout.splitlines()[-1])
    return found


def compression(broker: Process, topic: str) -> int:
    """The codec of a topic's first batch on disk, as its attributes say."""
    log = broker.folder / f"{topic}-0" / "00000000000000000000.log"
    return log.read_bytes()[22] & 7


TALKS = [
    (client, codec)
    for client in ("kafkajs", "platformatic")
    for codec in ("none", "gzip", "snappy", "lz4", "zstd")
    if (client, codec) != ("platformatic", "zstd")  # that is Node's own, from 22 on
]


@pytest.mark.parametrize(("client", "codec"), TALKS)
def test_it_reads_what_it_wrote_and_goes_on_where_it_was(
    broker: Process, client: str, codec: str
):
    topic = f"{client}-{codec}"
    first = talk(client, broker, topic, codec, 20, 8)
    rest = talk(client, broker, topic, codec, 0, 12)

    assert first + rest == [str(i) for i in range(20)]
    assert compression(broker, topic) == {"none": 0, **CODECS}[codec]
