"""Settings of the broker, under Kafka's own names.

``BrokerConfig.from_settings({"num.io.threads": "4"})`` reads the names of Kafka's
``server.properties``. A name that is not served here is refused, with the nearest one
that is, because a setting that is read and ignored is a promise broken in silence.
The defaults are Kafka's unless the comment says why one broker on one machine wants
another. Settings that begin with ``flush.policy`` or ``salon.`` are ours.
"""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from salon.broker.errors import SettingError

GROUP = "group"
NONE = "none"
FLUSH_POLICIES = (GROUP, NONE)


def _setting(name: str, default: Any, doc: str, *, low: int | None = None) -> Any:
    """A field that is set from outside as ``name``; ``low`` is its smallest value."""
    return field(default=default, metadata={"name": name, "doc": doc, "low": low})


@dataclass(frozen=True, kw_only=True)
class TopicConfig:
    """Settings of one topic; unset ones follow the broker (Kafka's topic configs)."""

    segment_bytes: int = _setting(
        "segment.bytes", 64 << 20, "size at which a segment is closed", low=1024
    )
    index_interval_bytes: int = _setting(
        "index.interval.bytes", 4096, "bytes of log between two index entries", low=0
    )
    max_message_bytes: int = _setting(
        "max.message.bytes", 1_048_588, "largest record batch accepted", low=0
    )
    retention_ms: int = _setting(
        "retention.ms", 604_800_000, "age at which segments go; -1 = never", low=-1
    )
    retention_bytes: int = _setting(
        "retention.bytes", -1, "size above which old segments go; -1 = off", low=-1
    )
    cleanup_policy: str = _setting("cleanup.policy", "delete", "delete or compact")
    flush_policy: str = _setting(
        "flush.policy", GROUP, "group: visible and acknowledged once on the platter"
    )
    min_insync_replicas: int = _setting(
        "min.insync.replicas", 1, "replicas that acks=all needs", low=1
    )

    @classmethod
    def names(cls) -> dict[str, str]:
        """Field of every setting name."""
        return {f.metadata["name"]: f.name for f in fields(cls)}

    def with_overrides(self, settings: Mapping[str, str | None]) -> "TopicConfig":
        """This configuration with a topic's own settings on top.

        Raises:
            SettingError: theirs; an unknown name or an impossible value.
        """
        parsed: TopicConfig = _parse(type(self), settings, self)
        return parsed


@dataclass(frozen=True, kw_only=True)
class BrokerConfig:
    """What ``salon broker --set name=value`` accepts."""

    log_dirs: str = _setting("log.dirs", "data/broker", "the data folder")
    listeners: str = _setting(
        "listeners", "127.0.0.1:9092", "host:port to bind; port 0 = any free one"
    )
    advertised_listeners: str = _setting(
        "advertised.listeners", "", "host:port told to clients; empty = the bound one"
    )
    broker_id: int = _setting("broker.id", 1, "this broker's number", low=0)
    num_network_threads: int = _setting(
        "num.network.threads", 3, "processors per listener (tasks of one loop)", low=1
    )
    num_io_threads: int = _setting(
        "num.io.threads", 8, "request handlers, and threads for what blocks", low=1
    )
    queued_max_requests: int = _setting(
        "queued.max.requests", 500, "bound of the request queue", low=1
    )
    socket_request_max_bytes: int = _setting(
        "socket.request.max.bytes", 104_857_600, "largest request frame", low=1
    )
    socket_listen_backlog_size: int = _setting(
        "socket.listen.backlog.size", 50, "connections waiting for accept", low=1
    )
    socket_send_buffer_bytes: int = _setting(
        "socket.send.buffer.bytes", 102_400, "SO_SNDBUF; -1 = the system's", low=-1
    )
    socket_receive_buffer_bytes: int = _setting(
        "socket.receive.buffer.bytes", 102_400, "SO_RCVBUF; -1 = the system's", low=-1
    )
    auto_create_topics_enable: bool = _setting(
        "auto.create.topics.enable", True, "make a topic when first asked for"
    )
    num_partitions: int = _setting(
        "num.partitions", 1, "partitions of a topic that names no number", low=1
    )
    fetch_max_bytes: int = _setting(
        "fetch.max.bytes", 57_671_680, "most bytes in one fetch response", low=1024
    )
    log_segment_bytes: int = _setting(
        # 64 MiB where Kafka has 1 GiB: retention and recovery of a small machine.
        "log.segment.bytes",
        64 << 20,
        "default of segment.bytes",
        low=1024,
    )
    log_index_interval_bytes: int = _setting(
        "log.index.interval.bytes", 4096, "default of index.interval.bytes", low=0
    )
    log_retention_ms: int = _setting(
        "log.retention.ms", 604_800_000, "default of retention.ms", low=-1
    )
    log_retention_bytes: int = _setting(
        "log.retention.bytes", -1, "default of retention.bytes", low=-1
    )
    log_retention_check_interval_ms: int = _setting(
        "log.retention.check.interval.ms", 300_000, "how often retention looks", low=1
    )
    log_flush_offset_checkpoint_interval_ms: int = _setting(
        "log.flush.offset.checkpoint.interval.ms",
        60_000,
        "how often recovery points and producer snapshots are written",
        low=1,
    )
    log_flush_policy: str = _setting(
        # Kafka acknowledges from the page cache and trusts its replicas; one machine
        # has one power cord. Ours, see docs/areas/broker.md.
        "log.flush.policy",
        GROUP,
        "default of flush.policy: group or none",
    )
    message_max_bytes: int = _setting(
        "message.max.bytes", 1_048_588, "default of max.message.bytes", low=0
    )
    min_insync_replicas: int = _setting(
        "min.insync.replicas", 1, "default of the topic setting", low=1
    )
    log_read_cache_bytes: int = _setting(
        # Ours: a chat reads what was just written, and then costs no system call.
        "salon.tail.cache.bytes",
        1 << 20,
        "newest bytes of a partition kept in memory",
        low=0,
    )
    offsets_topic_num_partitions: int = _setting(
        # 1 where Kafka has 50: there is one coordinator to spread over.
        "offsets.topic.num.partitions",
        1,
        "partitions of __consumer_offsets",
        low=1,
    )
    offset_metadata_max_bytes: int = _setting(
        "offset.metadata.max.bytes", 4096, "longest metadata of a commit", low=0
    )
    group_initial_rebalance_delay_ms: int = _setting(
        # 0 where Kafka waits 3 s for more members: embedded groups are small.
        "group.initial.rebalance.delay.ms",
        0,
        "wait of a new group for more members",
        low=0,
    )
    group_min_session_timeout_ms: int = _setting(
        # 1 s where Kafka has 6: on loopback silence is death much sooner.
        "group.min.session.timeout.ms",
        1_000,
        "smallest session timeout",
        low=1,
    )
    group_max_session_timeout_ms: int = _setting(
        "group.max.session.timeout.ms", 1_800_000, "largest session timeout", low=1
    )
    group_max_size: int = _setting(
        "group.max.size", 2_147_483_647, "most members of one group", low=1
    )
    producer_id_expiration_ms: int = _setting(
        "producer.id.expiration.ms", 86_400_000, "silence that ends a producer", low=1
    )

    @classmethod
    def from_settings(cls, settings: Mapping[str, str | None]) -> "BrokerConfig":
        """A configuration from Kafka's names.

        Raises:
            SettingError: theirs; an unknown name or an impossible value.
        """
        parsed: BrokerConfig = _parse(cls, settings, cls())
        return parsed

    def __post_init__(self) -> None:
        if self.log_flush_policy not in FLUSH_POLICIES:
            raise SettingError(
                f"log.flush.policy is {self.log_flush_policy!r}; "
                f"it can be {' or '.join(FLUSH_POLICIES)}"
            )
        if self.group_min_session_timeout_ms > self.group_max_session_timeout_ms:
            raise SettingError(
                "group.min.session.timeout.ms is above group.max.session.timeout.ms"
            )
        host, _ = self.listener
        if not _is_loopback(host):
            raise SettingError(
                f"listeners is {self.listeners!r}: whoever reaches this address could "
                "read and write everything, because this broker has no SASL yet; "
                "listen on 127.0.0.1, or use Apache Kafka beyond one machine"
            )

    @property
    def folder(self) -> Path:
        return Path(self.log_dirs)

    @property
    def listener(self) -> tuple[str, int]:
        """Host and port to bind."""
        return parse_address("listeners", self.listeners)

    @property
    def topic_defaults(self) -> TopicConfig:
        """What a topic without settings of its own gets."""
        return TopicConfig(
            segment_bytes=self.log_segment_bytes,
            index_interval_bytes=self.log_index_interval_bytes,
            max_message_bytes=self.message_max_bytes,
            retention_ms=self.log_retention_ms,
            retention_bytes=self.log_retention_bytes,
            flush_policy=self.log_flush_policy,
            min_insync_replicas=self.min_insync_replicas,
        )


def parse_address(name: str, text: str) -> tuple[str, int]:
    """``host:port`` or ``PLAINTEXT://host:port`` as a pair.

    Raises:
        SettingError: theirs; not an address, or a security protocol we lack.
    """
    protocol, found, rest = text.rpartition("://")
    if found and protocol != "PLAINTEXT":
        raise SettingError(f"{name} asks for {protocol}; this broker has PLAINTEXT")
    host, colon, port = rest.rpartition(":")
    if not colon or not port.isdigit() or int(port) > 65535:
        raise SettingError(f"{name} is {text!r}; it looks like 127.0.0.1:9092")
    return host.strip("[]") or "127.0.0.1", int(port)


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _parse(cls: Any, settings: Mapping[str, str | None], base: Any) -> Any:
    """``base`` with ``settings`` on top: every name known, every value possible."""
    known = {f.metadata["name"]: f for f in fields(cls)}
    values = {f.name: getattr(base, f.name) for f in fields(cls)}
    for name, text in settings.items():
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise SettingError(f"unknown setting {name!r}{hint}")
        if text is not None:
            values[known[name].name] = _convert(known[name], name, text)
    config = cls(**values)
    if isinstance(config, TopicConfig):
        _check_choice("flush.policy", config.flush_policy, FLUSH_POLICIES)
        policies = ("delete", "compact", "compact,delete", "delete,compact")
        _check_choice("cleanup.policy", config.cleanup_policy, policies)
    return config


def _check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise SettingError(f"{name} is {value!r}; it can be {', '.join(choices)}")


def _convert(known: Any, name: str, text: str) -> Any:
    if known.type in (bool, "bool"):
        if text.lower() not in ("true", "false"):
            raise SettingError(f"{name} is {text!r}; it can be true or false")
        return text.lower() == "true"
    if known.type in (int, "int"):
        try:
            number = int(text)
        except ValueError:
            raise SettingError(f"{name} is {text!r}; it takes a whole number") from None
        low = known.metadata["low"]
        if low is not None and number < low:
            raise SettingError(f"{name} is {number}; its smallest value is {low}")
        return number
    return text
