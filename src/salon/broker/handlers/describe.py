"""DescribeConfigs (32) and DescribeCluster (60)."""

from dataclasses import fields, replace
from typing import Any

from salon.broker.channel import Request
from salon.broker.config import DEFAULTS_OF_TOPICS, TopicConfig
from salon.broker.errors import Code
from salon.broker.handlers import answers
from salon.broker.handlers.context import Context
from salon.broker.nodes import Asked
from salon.broker.protocol.cold import make

_TOPIC = 2
_BROKER = 4
_FROM_TOPIC = 1
_FROM_BROKER = 4
_DEFAULT = 5
_TYPES = {"bool": 1, "str": 2, "int": 5}  # BOOLEAN, STRING, LONG
_NO_OPERATIONS = -(2**31)


def describe_configs(context: Context, request: Request) -> None:
    """Settings of topics and of this broker."""
    asked = answers.decode(request)
    schema = answers.schema(request)

    def one(resource: Any) -> Any:
        kind, name = resource.resource_type, resource.resource_name
        code, message = Code.NONE, None
        config: Any = None
        own: Any = ()
        if kind == _TOPIC:
            topic = context.topics.get(name)
            if topic is None:
                code, message = Code.UNKNOWN_TOPIC_OR_PARTITION, f"no topic {name!r}"
            else:
                config, own = topic.config, topic.settings
        elif kind == _BROKER and name in ("", str(context.config.broker_id)):
            config = context.config
        else:
            code, message = Code.INVALID_REQUEST, f"no resource {kind}, {name!r}"
        keys = resource.configuration_keys
        entries = []
        if config is not None:
            entries = _entries(schema, config, own, keys)
            if asked.include_synonyms:
                entries = [_with_synonyms(schema, context, e, own) for e in entries]
        return make(
            schema.DescribeConfigsResult,
            error_code=code,
            error_message=message,
            resource_type=kind,
            resource_name=name,
            configs=entries,
        )

    answers.respond(request, results=[one(resource) for resource in asked.resources])


def _entries(schema: Any, config: Any, own: Any, keys: Any) -> list[Any]:
    entries = []
    on_topic = isinstance(config, TopicConfig)
    for field in fields(config):
        name = field.metadata["name"]
        if keys and name not in keys:
            continue
        value = getattr(config, field.name)
        is_default = value == field.default
        if name in own:
            source = _FROM_TOPIC
        else:
            source = _DEFAULT if is_default else _FROM_BROKER
        kind = field.type if isinstance(field.type, str) else field.type.__name__
        entries.append(
            make(
                schema.DescribeConfigsResourceResult,
                name=name,
                value=None if field.metadata["secret"] else _text(value),
                read_only=not on_topic,
                is_default=is_default,
                config_source=source,
                is_sensitive=field.metadata["secret"],
                synonyms=(),
                config_type=_TYPES.get(kind, 0),
                documentation=field.metadata["doc"],
            )
        )
    return entries


def _with_synonyms(schema: Any, context: Context, entry: Any, own: Any) -> Any:
    """The entry with every place that it is looked for in, the one that holds first."""
    found = []
    if entry.name in own:
        found.append((entry.name, own[entry.name], _FROM_TOPIC))
    on_topic = entry.name in TopicConfig.names()
    name = DEFAULTS_OF_TOPICS.get(entry.name) if on_topic else entry.name
    for field in fields(context.config):
        if field.metadata["name"] == name:
            value = getattr(context.config, field.name)
            hidden = field.metadata["secret"]
            if value != field.default:
                shown = None if hidden else _text(value)
                found.append((name, shown, _FROM_BROKER))
            shown = None if hidden else _text(field.default)
            found.append((name, shown, _DEFAULT))
    synonyms = tuple(
        make(schema.DescribeConfigsSynonym, name=name, value=value, source=source)
        for name, value, source in found
    )
    return replace(entry, synonyms=synonyms)


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def describe_cluster(context: Context, request: Request) -> None:
    """Who is in the cluster, and which of them is the controller."""
    schema = answers.schema(request)
    brokers = [
        make(
            schema.DescribeClusterBroker,
            broker_id=each.node_id,
            host=each.host,
            port=each.port,
            rack=None,
            is_fenced=False,
        )
        for each in context.nodes.brokers(Asked(request.listener, request.told))
    ]
    answers.respond(
        request,
        error_code=Code.NONE,
        error_message=None,
        cluster_id=context.cluster_id,
        controller_id=context.nodes.controller_id,
        brokers=brokers,
        cluster_authorized_operations=_NO_OPERATIONS,
    )
