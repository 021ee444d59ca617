"""Seconds of ``benchmarks/kafka_fuzz.py``; minutes of it are run by hand."""

import pytest

from benchmarks.kafka_fuzz import fuzz
from salon.broker.protocol.versions import APIS

pytestmark = pytest.mark.faults


def test_a_broker_under_hostile_requests_serves_others_and_does_not_grow():
    report = fuzz(seconds=6, seed=3, look_every=3)

    report.check()
    assert report.apis == {
        (key, version)
        for key, api in APIS.items()
        for version in range(api.lowest, api.highest + 1)
    }
    assert set(report.kinds) >= {"changed", "cut", "hostile_length", "spoiled_batch"}
    assert report.requests > 500
    assert report.clean > 5
