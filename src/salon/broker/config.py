"""Settings of the broker, under Kafka's own names.

``BrokerConfig.from_settings({"num.io.threads": "4"})`` reads the names of Kafka's
``server.properties``; ``settings`` refuses what is not known here. The defaults are
Kafka's unless the comment says why one broker on one machine wants another. Settings
that begin with ``salon.``, and ``flush.policy``, are ours.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path

from salon.broker.errors import SettingError
from salon.broker.listeners import (
    Listener,
    is_loopback,
    parse_address,
    parse_advertised,
    parse_listeners,
)
from salon.broker.quotas import QuotaLimits, parse_overrides
from salon.broker.settings import number, parse, setting

GROUP = "group"
NONE = "none"
FLUSH_POLICIES = (GROUP, NONE)
CLEANUP_POLICIES = ("delete", "compact", "compact,delete", "delete,compact")
MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
_FOR_EVER_MS = 2**63 - 1
_NO_LIMIT = 2_147_483_647
_PER_LISTENER = ("max.connections", "max.connection.creation.rate")


@dataclass(frozen=True, kw_only=True)
class TopicConfig:
    """Settings of one topic; unset ones follow the broker (Kafka's topic configs)."""

    segment_bytes: int = setting(
        "segment.bytes", 64 << 20, "size at which a segment is closed", low=1024
    )
    segment_ms: int = setting(
        "segment.ms", 604_800_000, "age at which a segment is closed", low=1
    )
    index_interval_bytes: int = setting(
        "index.interval.bytes", 4096, "bytes of log between two index entries", low=0
    )
    max_message_bytes: int = setting(
        "max.message.bytes", 1_048_588, "largest record batch accepted", low=0
    )
    retention_ms: int = setting(
        "retention.ms", 604_800_000, "age at which segments go; -1 = never", low=-1
    )
    retention_bytes: int = setting(
        "retention.bytes", -1, "size above which old segments go; -1 = off", low=-1
    )
    cleanup_policy: str = setting(
        "cleanup.policy",
        "delete",
        "delete by age and size, or compact to the newest of a key",
        choices=CLEANUP_POLICIES,
    )
    min_cleanable_dirty_ratio: str = setting(
        "min.cleanable.dirty.ratio",
        "0.5",
        "share of a log that was never compacted, from which it is (0 to 1)",
    )
    delete_retention_ms: int = setting(
        "delete.retention.ms",
        86_400_000,
        "how long a compacted topic keeps tombstones",
        low=0,
    )
    min_compaction_lag_ms: int = setting(
        "min.compaction.lag.ms", 0, "age that a record has before compaction", low=0
    )
    max_compaction_lag_ms: int = setting(
        "max.compaction.lag.ms",
        _FOR_EVER_MS,
        "age at which a record is compacted, however small the dirty share is",
        low=1,
    )
    flush_policy: str = setting(
        "flush.policy",
        GROUP,
        "group: visible and acknowledged once on the platter",
        choices=FLUSH_POLICIES,
    )
    min_insync_replicas: int = setting(
        "min.insync.replicas", 1, "replicas that acks=all needs", low=1
    )

    def __post_init__(self) -> None:
        try:
            possible = 0 <= float(self.min_cleanable_dirty_ratio) <= 1
        except ValueError:
            possible = False
        if not possible:
            raise SettingError(
                f"min.cleanable.dirty.ratio is {self.min_cleanable_dirty_ratio!r}; "
                "it takes a number from 0 to 1"
            )
        if self.min_compaction_lag_ms > self.max_compaction_lag_ms:
            raise SettingError(
                f"min.compaction.lag.ms is {self.min_compaction_lag_ms}, above "
                f"max.compaction.lag.ms, which is {self.max_compaction_lag_ms}"
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
        return parse(self, settings)


DEFAULTS_OF_TOPICS = {
    "segment.bytes": "log.segment.bytes",
    "segment.ms": "log.roll.ms",
    "index.interval.bytes": "log.index.interval.bytes",
    "max.message.bytes": "message.max.bytes",
    "retention.ms": "log.retention.ms",
    "retention.bytes": "log.retention.bytes",
    "min.cleanable.dirty.ratio": "log.cleaner.min.cleanable.ratio",
    "delete.retention.ms": "log.cleaner.delete.retention.ms",
    "min.compaction.lag.ms": "log.cleaner.min.compaction.lag.ms",
    "max.compaction.lag.ms": "log.cleaner.max.compaction.lag.ms",
    "flush.policy": "log.flush.policy",
    "min.insync.replicas": "min.insync.replicas",
}
"""The broker's setting that holds where a topic has none of its own (Kafka calls it a
synonym)."""


@dataclass(frozen=True, kw_only=True)
class BrokerConfig:
    """What ``salon broker --set name=value`` accepts."""

    log_dirs: str = setting("log.dirs", "data/broker", "the data folder")
    listeners: str = setting(
        "listeners",
        "127.0.0.1:9092",
        "[NAME://]host:port to bind, separated by commas; port 0 = any free one",
    )
    advertised_listeners: str = setting(
        "advertised.listeners",
        "",
        "[NAME://]host:port told to clients; empty = the bound ones",
    )
    listener_security_protocol_map: str = setting(
        "listener.security.protocol.map",
        "",
        "NAME:protocol, of PLAINTEXT, SSL, SASL_PLAINTEXT and SASL_SSL",
    )
    control_plane_listener_name: str = setting(
        # KIP-291's name; Apache removed it in 4.0, where controllers have their own.
        "control.plane.listener.name",
        "",
        "listener with a queue and a handler of its own, for admin calls only",
    )
    broker_id: int = setting("broker.id", 1, "this broker's number", low=0)
    cluster_id: str = setting(
        # Ours: Kafka formats its folders beforehand (kafka-storage --cluster-id).
        "salon.cluster.id",
        "",
        "id that all brokers of a cluster tell; empty = a new folder gets one",
    )
    num_network_threads: int = setting(
        "num.network.threads", 3, "processors per listener (tasks of one loop)", low=1
    )
    num_io_threads: int = setting(
        "num.io.threads", 8, "request handlers, and threads for what blocks", low=1
    )
    queued_max_requests: int = setting(
        "queued.max.requests", 500, "bound of the request queue", low=1
    )
    queued_max_request_bytes: int = setting(
        "queued.max.request.bytes",
        -1,
        "bytes of all requests that are read or handled; -1 = no bound",
        low=-1,
    )
    connections_max_idle_ms: int = setting(
        "connections.max.idle.ms",
        600_000,
        "silence that ends a connection; -1 = never",
        low=-1,
    )
    max_connections: int = setting(
        "max.connections",
        _NO_LIMIT,
        "connections at a time; at the limit no more are accepted",
        low=1,
    )
    max_connections_per_ip: int = setting(
        "max.connections.per.ip",
        _NO_LIMIT,
        "connections from one address; more are closed at once",
        low=0,
    )
    max_connections_per_ip_overrides: str = setting(
        "max.connections.per.ip.overrides", "", "address:limit, separated by commas"
    )
    max_connection_creation_rate: int = setting(
        "max.connection.creation.rate",
        _NO_LIMIT,
        "new connections a second; more wait",
        low=1,
    )
    listener_overrides: tuple[tuple[str, str, str], ...] = setting(
        "listener.name.<name>.<setting>",
        (),
        "max.connections or max.connection.creation.rate of one listener",
    )
    sasl_enabled_mechanisms: str = setting(
        # Kafka's default is GSSAPI, which needs a Kerberos.
        "sasl.enabled.mechanisms",
        "SCRAM-SHA-256,SCRAM-SHA-512",
        "of PLAIN, SCRAM-SHA-256 and SCRAM-SHA-512",
    )
    sasl_users_file: str = setting(
        # Ours: Kafka keeps them in JAAS files (PLAIN) and in its metadata (SCRAM).
        "salon.sasl.users.file",
        "",
        "name:password a line, readable by its owner only",
    )
    connection_failed_authentication_delay_ms: int = setting(
        "connection.failed.authentication.delay.ms",
        100,
        "wait before a refusal is told",
        low=0,
    )
    ssl_keystore_location: str = setting(
        "ssl.keystore.location", "", "PEM file with the private key and certificates"
    )
    ssl_keystore_type: str = setting(
        # Kafka's default is JKS, which is Java's alone.
        "ssl.keystore.type",
        "PEM",
        "form of the key store",
        choices=("PEM",),
    )
    ssl_key_password: str = setting(
        "ssl.key.password", "", "password of the private key", secret=True
    )
    ssl_truststore_location: str = setting(
        "ssl.truststore.location", "", "PEM file of those who sign client certificates"
    )
    ssl_client_auth: str = setting(
        "ssl.client.auth",
        "none",
        "whether clients show a certificate",
        choices=("none", "requested", "required"),
    )
    socket_request_max_bytes: int = setting(
        "socket.request.max.bytes", 104_857_600, "largest request frame", low=1
    )
    socket_listen_backlog_size: int = setting(
        "socket.listen.backlog.size", 50, "connections waiting for accept", low=1
    )
    socket_send_buffer_bytes: int = setting(
        "socket.send.buffer.bytes", 102_400, "SO_SNDBUF; -1 = the system's", low=-1
    )
    socket_receive_buffer_bytes: int = setting(
        "socket.receive.buffer.bytes", 102_400, "SO_RCVBUF; -1 = the system's", low=-1
    )
    metrics_listener: str = setting(
        # Ours: Kafka has JMX and leaves HTTP to an agent.
        "salon.metrics.listener",
        "127.0.0.1:0",
        "host:port of /metrics, /health and /status; empty = none",
    )
    auto_create_topics_enable: bool = setting(
        "auto.create.topics.enable", True, "make a topic when first asked for"
    )
    num_partitions: int = setting(
        "num.partitions", 1, "partitions of a topic that names no number", low=1
    )
    fetch_max_bytes: int = setting(
        "fetch.max.bytes", 57_671_680, "most bytes in one fetch response", low=1024
    )
    log_segment_bytes: int = setting(
        # 64 MiB where Kafka has 1 GiB: retention and recovery of a small machine.
        "log.segment.bytes",
        64 << 20,
        "default of segment.bytes",
        low=1024,
    )
    log_roll_ms: int = setting(
        "log.roll.ms", 604_800_000, "default of segment.ms", low=1
    )
    log_index_interval_bytes: int = setting(
        "log.index.interval.bytes", 4096, "default of index.interval.bytes", low=0
    )
    log_retention_ms: int = setting(
        "log.retention.ms", 604_800_000, "default of retention.ms", low=-1
    )
    log_retention_bytes: int = setting(
        "log.retention.bytes", -1, "default of retention.bytes", low=-1
    )
    log_retention_check_interval_ms: int = setting(
        "log.retention.check.interval.ms", 300_000, "how often retention looks", low=1
    )
    log_flush_offset_checkpoint_interval_ms: int = setting(
        "log.flush.offset.checkpoint.interval.ms",
        60_000,
        "how often recovery points and producer snapshots are written",
        low=1,
    )
    log_flush_policy: str = setting(
        # Kafka acknowledges from the page cache and trusts its replicas; one machine
        # has one power cord. Ours, see docs/areas/broker.md.
        "log.flush.policy",
        GROUP,
        "default of flush.policy: group or none",
        choices=FLUSH_POLICIES,
    )
    log_cleaner_min_cleanable_ratio: str = setting(
        "log.cleaner.min.cleanable.ratio",
        "0.5",
        "default of min.cleanable.dirty.ratio",
    )
    log_cleaner_delete_retention_ms: int = setting(
        "log.cleaner.delete.retention.ms",
        86_400_000,
        "default of delete.retention.ms",
        low=0,
    )
    log_cleaner_min_compaction_lag_ms: int = setting(
        "log.cleaner.min.compaction.lag.ms",
        0,
        "default of min.compaction.lag.ms",
        low=0,
    )
    log_cleaner_max_compaction_lag_ms: int = setting(
        "log.cleaner.max.compaction.lag.ms",
        _FOR_EVER_MS,
        "default of max.compaction.lag.ms",
        low=1,
    )
    message_max_bytes: int = setting(
        "message.max.bytes", 1_048_588, "default of max.message.bytes", low=0
    )
    min_insync_replicas: int = setting(
        "min.insync.replicas", 1, "default of the topic setting", low=1
    )
    log_read_cache_bytes: int = setting(
        # Ours: a chat reads what was just written, and then costs no system call.
        "salon.tail.cache.bytes",
        1 << 20,
        "newest bytes of a partition kept in memory",
        low=0,
    )
    offsets_topic_num_partitions: int = setting(
        # 1 where Kafka has 50: there is one coordinator to spread over.
        "offsets.topic.num.partitions",
        1,
        "partitions of __consumer_offsets",
        low=1,
    )
    offsets_topic_replication_factor: int = setting(
        # 1 where Kafka has 3: there is one broker, unless it is told otherwise.
        "offsets.topic.replication.factor",
        1,
        "brokers that have __consumer_offsets",
        low=1,
    )
    default_replication_factor: int = setting(
        "default.replication.factor",
        1,
        "brokers that have a topic which names no number",
        low=1,
    )
    controller_quorum_voters: str = setting(
        # Kafka's name; its value there names several.
        "controller.quorum.voters",
        "",
        "id@host:port of the controller's control listener; empty = no cluster",
    )
    inter_broker_listener_name: str = setting(
        "inter.broker.listener.name",
        "",
        "listener on which other brokers copy; clients do not use it",
    )
    broker_heartbeat_interval_ms: int = setting(
        "broker.heartbeat.interval.ms", 2_000, "between two signs of life", low=1
    )
    broker_session_timeout_ms: int = setting(
        "broker.session.timeout.ms",
        9_000,
        "silence after which a broker is dead",
        low=1,
    )
    replica_lag_time_max_ms: int = setting(
        "replica.lag.time.max.ms",
        30_000,
        "how long a follower in sync may be behind",
        low=1,
    )
    replica_fetch_wait_max_ms: int = setting(
        "replica.fetch.wait.max.ms", 500, "how long a follower's fetch waits", low=1
    )
    replica_fetch_min_bytes: int = setting(
        "replica.fetch.min.bytes", 1, "bytes that a follower's fetch waits for", low=1
    )
    replica_fetch_max_bytes: int = setting(
        "replica.fetch.max.bytes",
        1_048_576,
        "most bytes of a partition in a follower's fetch",
        low=1024,
    )
    replica_fetch_response_max_bytes: int = setting(
        "replica.fetch.response.max.bytes",
        10_485_760,
        "most bytes in one follower's fetch",
        low=1024,
    )
    replica_fetch_backoff_ms: int = setting(
        "replica.fetch.backoff.ms",
        1_000,
        "pause after a follower's fetch failed",
        low=1,
    )
    replica_high_watermark_checkpoint_interval_ms: int = setting(
        "replica.high.watermark.checkpoint.interval.ms",
        5_000,
        "how often high watermarks are noted",
        low=1,
    )
    unclean_leader_election_enable: bool = setting(
        "unclean.leader.election.enable",
        False,
        "whether a replica that lacks acknowledged records may lead",
    )
    offset_metadata_max_bytes: int = setting(
        "offset.metadata.max.bytes", 4096, "longest metadata of a commit", low=0
    )
    group_initial_rebalance_delay_ms: int = setting(
        # 0 where Kafka waits 3 s for more members: embedded groups are small.
        "group.initial.rebalance.delay.ms",
        0,
        "wait of a new group for more members",
        low=0,
    )
    group_min_session_timeout_ms: int = setting(
        # 1 s where Kafka has 6: on loopback silence is death much sooner.
        "group.min.session.timeout.ms",
        1_000,
        "smallest session timeout",
        low=1,
    )
    group_max_session_timeout_ms: int = setting(
        "group.max.session.timeout.ms", 1_800_000, "largest session timeout", low=1
    )
    group_max_size: int = setting(
        "group.max.size", 2_147_483_647, "most members of one group", low=1
    )
    transaction_state_log_num_partitions: int = setting(
        # 1 where Kafka has 50: there is one coordinator to spread over.
        "transaction.state.log.num.partitions",
        1,
        "partitions of __transaction_state",
        low=1,
    )
    transaction_state_log_replication_factor: int = setting(
        # 1 where Kafka has 3: there is one broker, unless it is told otherwise.
        "transaction.state.log.replication.factor",
        1,
        "brokers that have __transaction_state",
        low=1,
    )
    transaction_state_log_min_isr: int = setting(
        # 1 where Kafka has 2, for the same reason.
        "transaction.state.log.min.isr",
        1,
        "replicas of __transaction_state that a decision needs",
        low=1,
    )
    transaction_max_timeout_ms: int = setting(
        "transaction.max.timeout.ms",
        900_000,
        "longest time that a transaction may be open",
        low=1,
    )
    transactional_id_expiration_ms: int = setting(
        "transactional.id.expiration.ms",
        604_800_000,
        "silence that ends a transactional id",
        low=1,
    )
    producer_id_expiration_ms: int = setting(
        "producer.id.expiration.ms", 86_400_000, "silence that ends a producer", low=1
    )

    @classmethod
    def from_settings(cls, settings: Mapping[str, str | None]) -> "BrokerConfig":
        """A configuration from Kafka's names.

        Raises:
            SettingError: theirs; an unknown name, an impossible value, or two that
                contradict each other.
        """
        own: dict[str, str | None] = {}
        overrides = []
        for name, text in settings.items():
            listener, found, rest = name.removeprefix("listener.name.").partition(".")
            if name.startswith("listener.name.") and found and rest in _PER_LISTENER:
                number(name, text or "", 1)
                overrides.append((listener.upper(), rest, text or ""))
            else:
                own[name] = text
        return parse(cls(), own, listener_overrides=tuple(overrides))

    def __post_init__(self) -> None:
        if self.group_min_session_timeout_ms > self.group_max_session_timeout_ms:
            raise SettingError(
                "group.min.session.timeout.ms is above group.max.session.timeout.ms"
            )
        if 0 < self.queued_max_request_bytes < self.socket_request_max_bytes:
            raise SettingError(
                f"queued.max.request.bytes is {self.queued_max_request_bytes}; a "
                "request of socket.request.max.bytes "
                f"({self.socket_request_max_bytes}) would never fit"
            )
        self._check_listeners()
        self._check_cluster()
        self._check_sasl()
        self._check_metrics()
        self.quota_limits  # noqa: B018 - raises where an override is wrong
        self.topic_defaults  # noqa: B018 - raises where they contradict each other

    def _check_listeners(self) -> None:
        listeners = self.bound_listeners
        names = {each.name for each in listeners}
        for name in (*parse_advertised(self.advertised_listeners), *self._overridden):
            if name not in names:
                raise SettingError(
                    f"there is no listener {name}; "
                    f"listeners has {', '.join(sorted(names))}"
                )
        control = self.control_plane_listener_name.upper()
        if control and control not in names:
            raise SettingError(
                f"control.plane.listener.name is {control}; listeners has no such name"
            )
        if control and len(names) == 1:
            raise SettingError(
                f"control.plane.listener.name is {control}, the only listener; data "
                "needs another"
            )
        for each in listeners:
            if not each.loopback and not each.sasl:
                raise SettingError(
                    f"listeners has {each.host}:{each.port}: whoever reaches it could "
                    "read and write everything; listen on 127.0.0.1, or make it a "
                    "SASL_SSL or SASL_PLAINTEXT listener"
                )
            if each.tls and not self.ssl_keystore_location:
                raise SettingError(
                    f"listener {each.name} needs ssl.keystore.location, a PEM file"
                )
        if self.ssl_client_auth != "none" and not self.ssl_truststore_location:
            raise SettingError(
                f"ssl.client.auth is {self.ssl_client_auth}; it needs "
                "ssl.truststore.location"
            )

    def _check_cluster(self) -> None:
        inter = self.inter_broker_listener
        if not self.controller_quorum_voters:
            for name, value in (
                ("inter.broker.listener.name", inter != ""),
                ("default.replication.factor", self.default_replication_factor > 1),
                (
                    "offsets.topic.replication.factor",
                    self.offsets_topic_replication_factor > 1,
                ),
                (
                    "transaction.state.log.replication.factor",
                    self.transaction_state_log_replication_factor > 1,
                ),
                (
                    "transaction.state.log.min.isr",
                    self.transaction_state_log_min_isr > 1,
                ),
            ):
                if value:
                    raise SettingError(
                        f"{name} is for a cluster; controller.quorum.voters names none"
                    )
            return
        self.controller  # noqa: B018 - raises where it is no voter
        copies = self.transaction_state_log_replication_factor
        if self.transaction_state_log_min_isr > copies:
            raise SettingError(
                f"transaction.state.log.min.isr is {self.transaction_state_log_min_isr}, "
                f"above transaction.state.log.replication.factor, which is {copies}: no "
                "transaction could ever be decided"
            )
        control = self.control_plane_listener_name.upper()
        by_name = {each.name: each for each in self.bound_listeners}
        if not control:
            raise SettingError(
                "a cluster needs control.plane.listener.name: the controller speaks there"
            )
        if inter not in by_name or inter == control or len(by_name) < 3:
            raise SettingError(
                "a cluster needs inter.broker.listener.name, a listener of its own "
                "beside those of clients and of the controller"
            )
        for name in (control, inter):
            if by_name[name].protocol != "PLAINTEXT":
                raise SettingError(
                    f"brokers speak to each other on {name} in PLAINTEXT, on loopback"
                )

    @property
    def inter_broker_listener(self) -> str:
        return self.inter_broker_listener_name.upper()

    @property
    def controller(self) -> tuple[int, str, int] | None:
        """Id, host and port of the controller; None where there is no cluster.

        Raises:
            SettingError: theirs; it is no id@host:port.
        """
        voter = self.controller_quorum_voters
        if not voter:
            return None
        id_, at, address = voter.partition("@")
        if not at or not id_.isdigit() or "," in address:
            raise SettingError(
                f"controller.quorum.voters is {voter!r}; it looks like 1@127.0.0.1:9093 "
                "and names one controller"
            )
        return int(id_), *parse_address("controller.quorum.voters", address)[1:]

    @property
    def _overridden(self) -> tuple[str, ...]:
        return tuple(listener for listener, _, _ in self.listener_overrides)

    def _check_sasl(self) -> None:
        for mechanism in self.mechanisms:
            if mechanism not in MECHANISMS:
                raise SettingError(
                    f"sasl.enabled.mechanisms has {mechanism!r}; it can have "
                    f"{', '.join(MECHANISMS)}"
                )
        for each in self.bound_listeners:
            if each.sasl and not self.sasl_users_file:
                raise SettingError(
                    f"listener {each.name} needs salon.sasl.users.file: who may come in"
                )
            open_to_others = each.sasl and not each.tls and not each.loopback
            if open_to_others and "PLAIN" in self.mechanisms:
                raise SettingError(
                    f"PLAIN on {each.name} would send passwords that others can read; "
                    "use SASL_SSL, or SCRAM alone"
                )

    def _check_metrics(self) -> None:
        if self.metrics_address and not is_loopback(self.metrics_address[0]):
            raise SettingError(
                f"salon.metrics.listener is {self.metrics_listener!r}: everybody who "
                "reaches it could read it; use 127.0.0.1 and a proxy"
            )

    @property
    def metrics_address(self) -> tuple[str, int] | None:
        """Host and port of the HTTP endpoint, if there is to be one."""
        if not self.metrics_listener:
            return None
        return parse_address("salon.metrics.listener", self.metrics_listener)[1:]

    @property
    def mechanisms(self) -> tuple[str, ...]:
        """SASL mechanisms that are offered."""
        names = self.sasl_enabled_mechanisms.split(",")
        return tuple(name.strip() for name in names if name.strip())

    @property
    def bound_listeners(self) -> tuple[Listener, ...]:
        """Every address to bind."""
        return parse_listeners(self.listeners, self.listener_security_protocol_map)

    @property
    def quota_limits(self) -> QuotaLimits:
        """How many connections there may be."""
        listeners: dict[tuple[str, str], int] = {
            (name, setting): int(text)
            for name, setting, text in self.listener_overrides
        }
        return QuotaLimits(
            self.max_connections,
            self.max_connections_per_ip,
            parse_overrides(self.max_connections_per_ip_overrides),
            self.max_connection_creation_rate,
            listeners,
            self.control_plane_listener_name.upper(),
        )

    @property
    def folder(self) -> Path:
        return Path(self.log_dirs)

    @property
    def topic_defaults(self) -> TopicConfig:
        """What a topic without settings of its own gets."""
        return TopicConfig(
            segment_bytes=self.log_segment_bytes,
            segment_ms=self.log_roll_ms,
            index_interval_bytes=self.log_index_interval_bytes,
            max_message_bytes=self.message_max_bytes,
            retention_ms=self.log_retention_ms,
            retention_bytes=self.log_retention_bytes,
            min_cleanable_dirty_ratio=self.log_cleaner_min_cleanable_ratio,
            delete_retention_ms=self.log_cleaner_delete_retention_ms,
            min_compaction_lag_ms=self.log_cleaner_min_compaction_lag_ms,
            max_compaction_lag_ms=self.log_cleaner_max_compaction_lag_ms,
            flush_policy=self.log_flush_policy,
            min_insync_replicas=self.min_insync_replicas,
        )
