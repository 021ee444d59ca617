"""kafkajs and @platformatic/kafka, unmodified: produce, a group, commits, resuming."""

import json
import subprocess
from pathlib import Path

import pytest

from tests import engines
from tests.broker.process import Process

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


@pytest.mark.parametrize("codec", ["none", "gzip"])
@pytest.mark.parametrize("client", ["kafkajs", "platformatic"])
def test_it_reads_what_it_wrote_and_goes_on_where_it_was(
    broker: Process, client: str, codec: str
):
    topic = f"{client}-{codec}"
    first = talk(client, broker, topic, codec, 20, 8)
    rest = talk(client, broker, topic, codec, 0, 12)

    assert first + rest == [str(i) for i in range(20)]


@pytest.mark.parametrize("codec", ["snappy", "lz4"])  # zstd comes with Node 22
def test_platformatic_has_other_codecs(broker: Process, codec: str):
    found = talk("platformatic", broker, f"platformatic-{codec}", codec, 20, 20)

    assert found == [str(i) for i in range(20)]
