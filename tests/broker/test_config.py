"""Settings: Kafka's names, and words for what is wrong with one."""

import pytest

from salon.broker.config import BrokerConfig, TopicConfig
from salon.broker.errors import SettingError
from tests.broker.cluster import Nodes


def test_settings_go_by_kafkas_names():
    config = BrokerConfig.from_settings(
        {"num.io.threads": "4", "auto.create.topics.enable": "false"}
    )

    assert config.num_io_threads == 4
    assert config.auto_create_topics_enable is False
    assert config.queued_max_requests == 500


def test_an_unknown_setting_is_refused_by_name_with_the_nearest_known():
    with pytest.raises(SettingError, match=r"num\.io\.thread'.*num\.io\.threads"):
        BrokerConfig.from_settings({"num.io.thread": "4"})


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("num.io.threads", "many", "whole number"),
        ("num.io.threads", "0", "smallest value is 1"),
        ("auto.create.topics.enable", "perhaps", "true or false"),
        ("log.flush.policy", "sometimes", "group or none"),
        ("listeners", "somewhere", "127.0.0.1:9092"),
        ("listeners", "SSL://127.0.0.1:9092", "ssl.keystore.location"),
        ("listeners", "SASL_PLAINTEXT://127.0.0.1:1", "salon.sasl.users.file"),
        ("listeners", "INTERNAL://127.0.0.1:1", "listener.security.protocol.map"),
        ("listeners", "127.0.0.1:1,127.0.0.1:2", "PLAINTEXT twice"),
        ("listener.security.protocol.map", "A:B", "CONTROL:PLAINTEXT"),
        ("advertised.listeners", "SSL://127.0.0.1:1", "no listener SSL"),
        ("control.plane.listener.name", "CONTROL", "no such name"),
        ("control.plane.listener.name", "PLAINTEXT", "the only listener"),
        ("listener.name.CONTROL.max.connections", "3", "no listener CONTROL"),
        ("listener.name.PLAINTEXT.max.connections", "0", "smallest value is 1"),
        ("listener.name.PLAINTEXT.num.io.threads", "3", "unknown setting"),
        ("max.connections", "0", "smallest value is 1"),
        ("max.connections.per.ip.overrides", "somebody", "127.0.0.1:200"),
        ("queued.max.request.bytes", "1000", "socket.request.max.bytes"),
        ("sasl.enabled.mechanisms", "GSSAPI", "SCRAM-SHA-256"),
        ("ssl.keystore.type", "JKS", "PEM"),
        ("ssl.client.auth", "required", "ssl.truststore.location"),
        ("group.min.session.timeout.ms", "2000000", "group.max.session.timeout.ms"),
        ("transaction.state.log.replication.factor", "3", "is for a cluster"),
        ("transaction.state.log.min.isr", "2", "is for a cluster"),
    ],
)
def test_an_impossible_value_is_refused_with_what_is_possible(
    name: str, value: str, words: str
):
    with pytest.raises(SettingError, match=words):
        BrokerConfig.from_settings({name: value})


@pytest.mark.parametrize("address", ["0.0.0.0:9092", "192.0.2.1:0", "example.org:1"])
def test_an_address_that_others_reach_is_refused_without_sasl(address: str):
    with pytest.raises(SettingError, match="SASL"):
        BrokerConfig.from_settings({"listeners": address})


@pytest.mark.parametrize(
    "address", ["127.0.0.1:0", "localhost:9092", "[::1]:1", "PLAINTEXT://127.0.0.1:0"]
)
def test_loopback_is_accepted_in_every_spelling(address: str):
    assert BrokerConfig.from_settings({"listeners": address}).listeners == address


def test_plain_passwords_do_not_cross_a_network():
    settings = {
        "listeners": "SASL_PLAINTEXT://192.0.2.1:9092",
        "salon.sasl.users.file": "users",
    }
    scram = BrokerConfig.from_settings(settings)
    assert scram.bound_listeners[0].sasl

    with pytest.raises(SettingError, match="PLAIN on SASL_PLAINTEXT"):
        BrokerConfig.from_settings({**settings, "sasl.enabled.mechanisms": "PLAIN"})


def test_listeners_have_names_and_protocols():
    config = BrokerConfig.from_settings(
        {
            "listeners": "DATA://127.0.0.1:1,CONTROL://127.0.0.1:2",
            "listener.security.protocol.map": "DATA:PLAINTEXT,CONTROL:PLAINTEXT",
            "control.plane.listener.name": "CONTROL",
            "listener.name.data.max.connections": "7",
        }
    )

    assert [each.name for each in config.bound_listeners] == ["DATA", "CONTROL"]
    assert config.quota_limits.listeners == {("DATA", "max.connections"): 7}
    assert config.quota_limits.protected == "CONTROL"


def test_a_topic_overrides_the_broker_and_only_what_it_names():
    broker = BrokerConfig.from_settings({"log.segment.bytes": "2048"})
    topic = broker.topic_defaults.with_overrides({"flush.policy": "none"})

    assert topic.segment_bytes == 2048
    assert topic.flush_policy == "none"
    with pytest.raises(SettingError, match=r"cleanup\.policy"):
        topic.with_overrides({"cleanup.policy": "burn"})


def test_every_setting_says_what_it_is():
    for cls in (BrokerConfig, TopicConfig):
        for field in cls.__dataclass_fields__.values():
            assert field.metadata["doc"], field.name


def test_a_decision_cannot_need_more_brokers_than_have_it(tmp_path):
    name = "transaction.state.log.min.isr"
    nodes = Nodes(tmp_path, 1, {name: "2"})
    with pytest.raises(SettingError, match=r"transaction\.state\.log\.replication"):
        nodes.config(1)
