"""The log over the Kafka protocol keeps the contract: embedded, and Apache Kafka."""

import asyncio
import itertools

import pytest

from salon.broker.config import BrokerConfig
from salon.broker.server import Broker
from salon.errors import StartupError
from salon.eventlog.kafka import KafkaLog
from salon.eventlog.ports import Topic
from tests import engines
from tests.eventlog.contract import Keeper, LogContract

_count = itertools.count()


class KafkaContract(LogContract):
    """Each test has topics and a group of its own, so that one broker serves all."""

    @pytest.fixture
    def topic(self):
        return Topic(f"commands-{next(_count)}", partitions=4)

    async def follow(self, log, topic, who, member="one"):
        return asyncio.create_task(
            log.own(topic.name, f"owners of {topic.name}", member, who)
        )

    async def test_a_member_that_comes_back_has_its_partitions_at_once(
        self, log, topic, bootstrap
    ):
        """KIP-345: a server that was killed does not wait for its own old session."""
        await log.ensure([topic])
        for round_ in range(3):
            other = KafkaLog(bootstrap, f"life-{round_}")
            keeper = Keeper()
            task = await self.follow(other, topic, keeper, member="server-1")
            async with asyncio.timeout(8):  # the session timeout alone is 10 s
                await keeper.until(lambda k: len(k.owned) == topic.partitions)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await other.close()

    async def test_a_log_that_ends_before_the_stored_offset_is_refused(
        self, log, topic
    ):
        """A database beside another log would lose commands in silence."""
        await log.ensure([topic])
        keeper = Keeper({0: 1000})

        with pytest.raises(StartupError, match="not the log"):
            async with asyncio.timeout(30):
                await log.own(topic.name, f"group {topic.name}", "one", keeper)


class TestEmbeddedBroker(KafkaContract):
    @pytest.fixture
    async def bootstrap(self, tmp_path):
        config = BrokerConfig.from_settings(
            {"log.dirs": str(tmp_path / "log"), "listeners": "127.0.0.1:0"}
        )
        async with Broker.open(config) as broker:
            yield f"127.0.0.1:{broker.port}"

    @pytest.fixture
    async def log(self, bootstrap):
        log = KafkaLog(bootstrap, "tests")
        yield log
        await log.close()


@pytest.mark.kafka
class TestApacheKafka(KafkaContract):
    @pytest.fixture(scope="class")
    @classmethod
    def kafka(cls):
        engines.require("kafka")
        with engines.KafkaServer() as server:
            yield server

    @pytest.fixture
    def bootstrap(self, kafka):
        return kafka.bootstrap

    @pytest.fixture
    async def log(self, bootstrap):
        log = KafkaLog(bootstrap, "tests")
        yield log
        await log.close()
