import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from salon.broker.config import BrokerConfig
from salon.broker.errors import SettingError
from salon.broker.topics import Topics


@pytest.fixture
def defaults(tmp_path):
    return BrokerConfig.from_settings({"log.dirs": str(tmp_path)}).topic_defaults


def test_changes_of_many_threads_are_all_kept(tmp_path, defaults):
    for round_ in range(20):
        folder = tmp_path / str(round_)
        folder.mkdir()
        topics = Topics(folder, defaults)

        with ThreadPoolExecutor(8) as threads:
            ids = [threads.submit(topics.new_producer_id) for _ in range(20)]
            made = [topics.describe(f"topic-{n}", n + 1, {}) for n in range(20)]
            done = [threads.submit(topics.register, topic) for topic in made]
            for each in done:
                each.result()
        after = Topics(folder, defaults)

        assert len({each.result() for each in ids}) == 20
        assert {t.name: t.id for t in after.all()} == {t.name: t.id for t in made}
        assert after.new_producer_id() >= 20


def test_a_producer_id_that_cannot_be_made_durable_is_not_given(
    tmp_path, defaults, monkeypatch
):
    topics = Topics(tmp_path, defaults)

    def full(*_args):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("salon.broker.topics.write_atomically", full)
        with pytest.raises(OSError, match="No space"):
            topics.new_producer_id()

    assert topics.new_producer_id() == 0
    assert Topics(tmp_path, defaults).new_producer_id() > 0


@pytest.mark.parametrize(
    "content", [b"", b"{}{}", b"[]", b'{"next_producer_id": 1, "topics": {"a": {}}}']
)
def test_a_file_that_is_not_understood_is_named(tmp_path, defaults, content):
    (tmp_path / "cluster-metadata.json").write_bytes(content)

    with pytest.raises(SettingError, match=r"cluster-metadata\.json cannot be underst"):
        Topics(tmp_path, defaults)


def test_the_file_is_json_that_people_can_read(tmp_path, defaults):
    topics = Topics(tmp_path, defaults)
    topics.register(topics.describe("salon.events", 8, {"retention.ms": "-1"}))

    data = json.loads((tmp_path / "cluster-metadata.json").read_bytes())

    assert data["topics"]["salon.events"]["partitions"] == 8
    assert data["topics"]["salon.events"]["configs"] == {"retention.ms": "-1"}
