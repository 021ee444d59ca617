"""A broker process that unmodified clients talk to."""

from collections.abc import Iterator

import pytest

from tests.broker.process import Process


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    with Process(tmp_path_factory.mktemp("broker") / "data") as running:
        yield running
        assert running.terminate() == 0
