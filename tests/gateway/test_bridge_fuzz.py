"""20,000 of the broken conversations of ``benchmarks/stomp_fuzz.py``."""

import pytest

from benchmarks.stomp_fuzz import Fuzz


@pytest.mark.timeout(120)
async def test_broken_conversations_cause_nothing_but_protocol_errors():
    outcomes = await Fuzz(seed=20).run(20_000)

    assert sum(outcomes.values()) == 20_000
    assert outcomes[None] > 500
    for code in ("malformed_frame", "unexpected_frame", "ack_unknown"):
        assert outcomes[code] > 500
