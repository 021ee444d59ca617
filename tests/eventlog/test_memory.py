"""The log in memory keeps the contract."""

import pytest

from salon.eventlog.memory import MemoryLog
from tests.eventlog.contract import LogContract


class TestMemoryLog(LogContract):
    @pytest.fixture
    def log(self):
        return MemoryLog()
