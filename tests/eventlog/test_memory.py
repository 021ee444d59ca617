"""The log in memory keeps the contract."""

import pytest
from tests.eventlog.contract import LogContract

from salon.eventlog.memory import MemoryLog


class TestMemoryLog(LogContract):
    @pytest.fixture
    def log(self):
        return MemoryLog()
