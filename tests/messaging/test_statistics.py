"""Counts by destination."""

from salon.messaging import statistics
from salon.messaging.statistics import Statistics, Traffic
from tests.messaging.world import World


def test_a_template_counts_messages_deliveries_and_bytes():
    world = World()
    for name in ("ann", "bob"):
        world.registry.add(world.session(name), "0", "/topic/a")
        world.registry.add(world.users.sessions_of(name)[0], "1", "/user/queue/q")
    world.template.send("/topic/a", b"12345")
    world.template.send("/topic/a", b"1")
    world.template.send("/topic/nobody", b"1")
    world.template.send_to_users(["ann", "bob"], "/queue/q", b"12")
    found = world.template.statistics

    assert found.of("/topic/a") == Traffic(2, 4, 6)
    assert found.of("/topic/nobody") == Traffic(1, 0, 1)
    assert found.of("/queue/q") == Traffic(1, 2, 2)
    assert found.of("/topic/never") == Traffic()
    assert [name for name, _ in found.busiest(2)] == ["/topic/a", "/queue/q"]


def test_names_are_bounded_and_the_silent_go_first(monkeypatch):
    monkeypatch.setattr(statistics, "DESTINATIONS_MAX", 2)
    found = Statistics()
    for name in ("a", "b", "a", "c"):
        found.count(name, 1, 1)

    assert [found.of(name).messages for name in "abc"] == [2, 0, 1]
