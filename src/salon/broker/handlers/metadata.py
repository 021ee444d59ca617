"""Metadata (3): brokers, topics, partitions and who leads them.

Answers are cached as bytes, by version and topics asked for, until a topic changes.
"""

from collections.abc import Coroutine
from typing import Any

from salon.broker.channel import Request
from salon.broker.errors import ApiError, Code
from salon.broker.handlers import internal_topics
from salon.broker.handlers.context import Context
from salon.broker.nodes import Asked
from salon.broker.protocol import metadata, versions
from salon.broker.protocol.metadata import (
    NO_ID,
    TopicMetadata,
)
from salon.broker.topics import Topic

KEY = versions.METADATA

_CACHED_ANSWERS = 256


class Metadata:
    """Answers Metadata requests.

    Args:
        context: the broker's parts.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._cache: dict[tuple[int, bytes, tuple[str, int]], bytearray] = {}
        self._cache_epoch = -1

    def handle(self, request: Request) -> Coroutine[Any, Any, None] | None:
        header = request.header
        if self._cache_epoch != self._context.topics.epoch:
            self._cache.clear()
            self._cache_epoch = self._context.topics.epoch
        key = (header.api_version, bytes(request.frame[header.body :]), request.told)
        cached = self._cache.get(key)
        if cached is not None:
            request.respond(cached)
            return None
        asked = metadata.decode(request.frame, header.body, header.api_version)
        missing = self._missing(asked)
        if missing:
            return self._create_and_answer(request, asked, missing)
        answer = self._encode(asked, request, {})
        if len(self._cache) < _CACHED_ANSWERS:
            self._cache[key] = answer
        request.respond(answer)
        return None

    def _missing(self, asked: metadata.MetadataRequest) -> list[str]:
        """Names that are to be made because somebody asks for them."""
        config = self._context.config
        if not (asked.allow_auto_topic_creation and config.auto_create_topics_enable):
            return []
        names = [name for name, _ in asked.topics or () if name is not None]
        return [name for name in names if self._context.topics.get(name) is None]

    async def _create_and_answer(
        self, request: Request, asked: metadata.MetadataRequest, missing: list[str]
    ) -> None:
        failed = {}
        for name in missing:
            try:
                await internal_topics.ensure(self._context, name)
            except ApiError as error:
                failed[name] = error.code
        request.respond(self._encode(asked, request, failed))

    def _encode(
        self, asked: metadata.MetadataRequest, request: Request, failed: dict[str, Code]
    ) -> bytearray:
        context = self._context
        if asked.topics is None:
            topics = [self._describe(topic) for topic in context.topics.all()]
        else:
            topics = [self._look_up(*each, failed) for each in asked.topics]
        nodes = context.nodes
        brokers = nodes.brokers(Asked(request.listener, request.told))
        version = request.header.api_version
        controller = nodes.controller_id
        return metadata.encode(brokers, context.cluster_id, controller, topics, version)

    def _look_up(
        self, name: str | None, topic_id: Any, failed: dict[str, Code]
    ) -> TopicMetadata:
        if name is None:
            topic = self._context.topics.by_id(topic_id)
            if topic is None:
                return TopicMetadata(Code.UNKNOWN_TOPIC_ID, None, topic_id, False, [])
            return self._describe(topic)
        topic = self._context.topics.get(name)
        if topic is None:
            code = failed.get(name, Code.UNKNOWN_TOPIC_OR_PARTITION)
            return TopicMetadata(code, name, NO_ID, False, [])
        return self._describe(topic)

    def _describe(self, topic: Topic) -> TopicMetadata:
        partition = self._context.nodes.partition
        partitions = [partition(topic, index) for index in range(topic.partitions)]
        return TopicMetadata(
            Code.NONE, topic.name, topic.id, topic.internal, partitions
        )
