"""Queues: who gets what, how often, and what never gets lost."""

import asyncio

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from salon.errors import Refusal
from salon.messaging.queues import QueueLimits, Queues
from salon.messaging.refusal import AckUnknown
from salon.messaging.template import MessagingTemplate
from salon.stomp.events import Ack, Nack
from salon.stomp.frames import Version
from tests.messaging.world import World

JOBS = "/queue/jobs"


class Place(World):
    """Queues with limits, and sessions that consume."""

    def __init__(self, **limits):
        super().__init__()
        self.queues = Queues(QueueLimits(**limits))
        self.template = MessagingTemplate(self.registry, self.users, queues=self.queues)

    def consumer(self, who="ann", ack="client", id_="0", prefetch=None, session=None):
        session = session or self.session(who)
        subscription = self.registry.add(session, id_, JOBS, ack=ack)
        self.queues.consume(subscription, prefetch)
        return session

    def put(self, *bodies, to=JOBS):
        for body in bodies:
            self.template.send(to, body.encode())

    def leave(self, session):
        subscriptions = list(session.subscriptions.values())
        self.registry.remove_all(session)
        self.queues.cancel(subscriptions)

    def settle(self, session, *acks):
        self.queues.carry_out(self.queues.plan(session, acks))


@pytest.fixture
def place():
    return Place()


def ack(frame, kind=Ack, **headers):
    return kind(frame.get("ack"), None, None, tuple(headers.items()))


def got(session):
    return session.channel.frames()


def bodies(session):
    return [frame.body.decode() for frame in got(session)]


class TestConsumers:
    async def test_each_message_goes_to_one_consumer_in_turn(self, place):
        ann, bob = place.consumer("ann"), place.consumer("bob")
        place.put(*"abcdef")

        assert bodies(ann) == ["a", "c", "e"]
        assert bodies(bob) == ["b", "d", "f"]

    async def test_messages_wait_for_the_first_consumer_in_order(self, place):
        place.put(*"abc")
        assert place.queues.sizes() == {JOBS: (3, 0, 0)}

        assert bodies(place.consumer()) == ["a", "b", "c"]
        assert place.queues.sizes() == {JOBS: (0, 3, 1)}

    async def test_a_message_names_its_ack_only_where_one_is_wanted(self, place):
        place.put("a")
        [frame] = got(place.consumer(ack="auto"))

        assert frame.get("ack") is None
        assert frame.get("message-id")
        assert place.queues.sizes() == {JOBS: (0, 0, 1)}

    async def test_a_queue_is_forgotten_when_nothing_is_in_it_and_nobody_at_it(
        self, place
    ):
        ann = place.consumer()
        place.put("a")
        [frame] = got(ann)
        place.leave(ann)
        assert place.queues.sizes() == {JOBS: (1, 0, 0)}
        bob = place.consumer("bob")
        place.settle(bob, ack(got(bob)[0]))
        place.leave(bob)

        assert place.queues.sizes() == {}
        assert frame.body == b"a"

    async def test_a_consumer_holds_no_more_than_it_wants(self, place):
        ann = place.consumer(prefetch="2")
        place.put(*"abcd")
        first, _ = got(ann)
        place.settle(ann, ack(first))

        assert bodies(ann) == ["c"]
        assert place.queues.sizes() == {JOBS: (1, 2, 1)}

    @pytest.mark.parametrize("prefetch", ["0", "-1", "x", "", "\u0661"])
    async def test_a_bad_prefetch_is_refused(self, place, prefetch):
        with pytest.raises(Refusal, match="prefetch-count"):
            place.consumer(prefetch=prefetch)

    async def test_a_consumer_that_does_not_read_is_given_no_backlog(self, place):
        ann = place.consumer(ack="auto")
        ann.channel.waiting = 1 << 20
        place.put(*"abc")
        assert bodies(ann) == []
        bob = place.consumer("bob", ack="auto")
        assert bodies(bob) == ["a", "b", "c"]
        place.put("d")
        assert bodies(bob) == ["d"]
        place.leave(bob)
        place.put("e")
        ann.channel.waiting = 0
        while not (last := bodies(ann)):
            await asyncio.sleep(0.005)

        assert last == ["e"]

    async def test_a_channel_that_breaks_loses_nothing(self, place):
        ann = place.consumer("ann")
        ann.channel.send = None
        bob = place.consumer("bob")
        place.put(*"abc")

        assert bodies(bob) == ["a", "b", "c"]


class TestAck:
    async def test_client_individual_settles_one(self, place):
        ann = place.consumer(ack="client-individual")
        place.put(*"abc")
        frames = got(ann)
        place.settle(ann, ack(frames[1]))
        place.leave(ann)

        assert bodies(place.consumer("bob")) == ["a", "c"]

    async def test_client_settles_all_before_it(self, place):
        ann = place.consumer(ack="client")
        place.put(*"abcd")
        frames = got(ann)
        place.settle(ann, ack(frames[2]))
        place.leave(ann)

        assert bodies(place.consumer("bob")) == ["d"]

    async def test_client_settles_its_own_subscription_only(self, place):
        ann = place.consumer(ack="client")
        place.consumer(ack="client", id_="1", session=ann)
        place.put(*"abcd")
        frames = got(ann)
        place.settle(ann, ack(frames[3]))

        assert [f.get("subscription") for f in frames] == ["0", "1", "0", "1"]
        assert place.queues.sizes() == {JOBS: (0, 2, 2)}

    async def test_the_forms_of_1_0_and_1_1_find_it_by_message_id(self, place):
        ann = place.consumer(ack="client-individual")
        place.put(*"ab")
        first, second = got(ann)
        place.settle(ann, Ack(None, first.get("message-id"), "0", ()))
        place.settle(ann, Ack(None, second.get("message-id"), None, ()))

        assert place.queues.sizes() == {JOBS: (0, 0, 1)}

    @pytest.mark.parametrize(
        "unknown",
        [
            Ack("99", None, None, ()),
            Ack(None, "99", None, ()),
            Ack(None, "1", "other", ()),
        ],
    )
    async def test_an_unknown_name_is_an_error(self, place, unknown):
        ann = place.consumer()
        place.put("a")
        with pytest.raises(AckUnknown):
            place.settle(ann, unknown)

    async def test_a_second_ack_is_an_error(self, place):
        ann = place.consumer()
        place.put("a")
        [frame] = got(ann)
        place.settle(ann, ack(frame))
        with pytest.raises(AckUnknown):
            place.settle(ann, ack(frame, Nack))

    async def test_nobody_can_acknowledge_for_another(self, place):
        ann, bob = place.consumer("ann"), place.consumer("bob")
        place.put("a")
        [frame] = got(ann)
        with pytest.raises(AckUnknown):
            place.settle(bob, ack(frame))

    async def test_several_take_effect_together_or_not_at_all(self, place):
        ann = place.consumer(ack="client-individual")
        place.put(*"ab")
        first, second = got(ann)
        for wrong in (
            [ack(first), ack(first)],
            [ack(second), Ack("99", None, None, ())],
        ):
            with pytest.raises(AckUnknown):
                place.settle(ann, *wrong)
            assert place.queues.sizes() == {JOBS: (0, 2, 1)}
        place.settle(ann, ack(second), ack(first))

        assert place.queues.sizes() == {JOBS: (0, 0, 1)}


class TestRedelivery:
    async def test_what_a_lost_consumer_held_goes_to_another_marked_and_in_order(
        self, place
    ):
        ann = place.consumer("ann", prefetch="3")
        place.put(*"abcd")
        assert [f.get("redelivered") for f in got(ann)] == [None] * 3
        bob = place.consumer("bob")
        assert bodies(bob) == ["d"]
        place.leave(ann)
        frames = got(bob)

        assert [f.body for f in frames] == [b"a", b"b", b"c"]
        assert [f.get("redelivered") for f in frames] == ["true"] * 3

    async def test_a_session_that_goes_gets_nothing_back_through_its_other_consumer(
        self, place
    ):
        ann = place.consumer("ann", prefetch="1")
        place.consumer(id_="1", prefetch="1", session=ann)
        place.put(*"ab")
        got(ann)
        place.leave(ann)

        assert bodies(ann) == []
        assert place.queues.sizes() == {JOBS: (2, 0, 0)}
        assert ann.deliveries == {}

    async def test_unsubscribe_gives_back_too(self, place):
        ann, bob = place.consumer("ann"), place.consumer("bob")
        place.put("a")
        [frame] = got(ann)
        place.queues.cancel([place.registry.remove(ann, "0")])

        assert bodies(bob) == ["a"]
        with pytest.raises(AckUnknown):
            place.settle(ann, ack(frame))

    async def test_nack_gives_it_to_the_next_consumer(self, place):
        ann, bob = place.consumer("ann"), place.consumer("bob")
        place.put("a")
        [frame] = got(ann)
        place.settle(ann, ack(frame, Nack))
        [again] = got(bob)

        assert (again.body, again.get("redelivered")) == (b"a", "true")
        assert again.get("message-id") == frame.get("message-id")
        assert again.get("ack") != frame.get("ack")

    async def test_nack_in_mode_client_means_all_before_it(self, place):
        ann = place.consumer(ack="client", prefetch="2")
        place.put(*"ab")
        _, second = got(ann)
        place.settle(ann, ack(second, Nack))

        assert bodies(ann) == ["a", "b"]

    async def test_after_its_attempts_it_is_a_dead_letter(self, place):
        ann = place.consumer()
        place.put("a")
        for _ in range(5):
            [frame] = got(ann)
            place.settle(ann, ack(frame, Nack))
        assert got(ann) == []
        bob = place.session("bob")
        place.queues.consume(place.registry.add(bob, "d", "/queue/DLQ", ack="client"))
        [dead] = got(bob)

        assert dead.body == b"a"
        assert dead.get("dead-letter-from") == JOBS
        assert dead.get("nacks") == "5"
        assert dead.get("message-id") == frame.get("message-id")
        for _ in range(9):  # a dead letter does not die again
            place.settle(bob, ack(dead, Nack))
            [dead] = got(bob)

    async def test_requeue_false_makes_it_one_at_once(self, place):
        ann = place.consumer()
        place.put("a")
        place.settle(ann, ack(got(ann)[0], Nack, requeue="false"))

        assert place.queues.sizes() == {JOBS: (0, 0, 1), "/queue/DLQ": (1, 0, 0)}

    async def test_lost_connections_make_no_dead_letters(self, place):
        place.put("a")
        for _ in range(20):
            ann = place.consumer()
            assert len(got(ann)) == 1
            place.leave(ann)

        assert place.queues.sizes() == {JOBS: (1, 0, 0)}

    async def test_the_dead_letter_queue_forgets_its_oldest_when_full(self):
        place = Place(messages=3)
        ann = place.consumer()
        for body in "abcde":
            place.put(body)
            place.settle(ann, ack(got(ann)[0], Nack, requeue="false"))
        bob = place.session("bob")
        place.queues.consume(place.registry.add(bob, "d", "/queue/DLQ"))

        assert bodies(bob) == ["c", "d", "e"]


class TestBounds:
    async def test_a_full_queue_refuses_in_words(self):
        place = Place(messages=2)
        place.put("a", "b")
        with pytest.raises(Refusal) as caught:
            place.put("c")

        assert caught.value.code == "queue_full"
        assert "holds 2 messages" in caught.value.message
        assert caught.value.retry_after is not None

    async def test_what_is_held_counts(self):
        place = Place(messages=2)
        ann = place.consumer()
        place.put("a", "b")
        with pytest.raises(Refusal, match="full"):
            place.put("c")
        place.settle(ann, ack(got(ann)[1]))
        place.put("c")

        assert bodies(ann) == ["c"]

    async def test_bytes_count_with_the_headers(self):
        place = Place(bytes=200)
        place.put("x" * 150)
        with pytest.raises(Refusal, match="200 bytes"):
            place.put("x" * 50)

    async def test_the_number_of_queues_is_limited(self):
        place = Place(queues=2)
        place.put("a", to="/queue/1")
        place.put("a", to="/queue/2")
        for more in (lambda: place.put("a", to="/queue/3"), place.consumer):
            with pytest.raises(Refusal, match="2 queues"):
                more()
        place.put("b", to="/queue/1")

    async def test_many_consumers_hold_no_more_than_their_prefetch(self):
        place = Place(prefetch=3)
        sessions = [place.consumer(f"u{i}") for i in range(3)]
        place.put(*"abcdefghijkl")

        assert [len(got(s)) for s in sessions] == [3, 3, 3]


class TestPrivateQueues:
    """A topic for a subscriber that acknowledges."""

    def subscriber(self, place, who="ann", ack="client"):
        session = place.session(who)
        subscription = place.registry.add(session, "0", "/topic/a", ack=ack)
        place.queues.keep_for(subscription)
        return session

    async def test_everybody_gets_it_and_acknowledges_alone(self, place):
        ann, bob = self.subscriber(place, "ann"), self.subscriber(place, "bob")
        plain = place.session("eve")
        place.registry.add(plain, "0", "/topic/a")

        assert place.template.send("/topic/a", b"x") == 3
        [a], [b], [c] = got(ann), got(bob), got(plain)
        assert a.get("ack") != b.get("ack")
        assert c.get("ack") is None
        place.settle(ann, ack(a))
        with pytest.raises(AckUnknown):
            place.settle(ann, ack(b))
        place.settle(bob, ack(b))

    async def test_nack_brings_it_again_to_the_same_and_then_no_more(self, place):
        ann = self.subscriber(place)
        place.template.send("/topic/a", b"x")
        for _ in range(5):
            [frame] = got(ann)
            place.settle(ann, ack(frame, Nack))

        assert frame.get("redelivered") == "true"
        assert got(ann) == []
        assert place.queues.sizes() == {}

    async def test_who_never_acknowledges_is_closed_at_a_limit(self):
        place = Place(private=3, prefetch=2)
        ann = self.subscriber(place)
        for i in range(4):
            place.template.send("/topic/a", b"%d" % i)

        assert bodies(ann) == ["0", "1"]
        assert ann.channel.closed[0] == 4408
        assert "ACK" in ann.channel.closed[1]

    async def test_their_bytes_are_bounded_too(self):
        place = Place(private_bytes=100)
        ann = self.subscriber(place)
        for _ in range(2):
            place.template.send("/topic/a", b"x" * 60)

        assert ann.channel.closed[0] == 4408

    async def test_a_session_may_have_only_so_many(self):
        place = Place(private_queues=2)
        ann = place.session("ann")
        for i in range(2):
            place.queues.keep_for(
                place.registry.add(ann, f"{i}", f"/topic/{i}", ack="client")
            )
        with pytest.raises(Refusal, match="2 subscriptions that acknowledge"):
            place.queues.keep_for(
                place.registry.add(ann, "2", "/topic/2", ack="client")
            )

    async def test_nothing_is_left_when_it_goes(self, place):
        ann = self.subscriber(place)
        place.template.send("/topic/a", b"x")
        place.leave(ann)

        assert ann.deliveries == {}
        assert place.template.send("/topic/a", b"x") == 0


class QueueMachine(RuleBasedStateMachine):
    """Consumers that come, acknowledge, refuse and vanish.

    Nothing is lost, nothing is held twice, nothing comes again after its ACK; what
    nobody wanted lies among the dead letters.
    """

    MODES = st.sampled_from(["client", "client-individual"])

    @initialize()
    def start(self):
        self.loop = asyncio.new_event_loop()
        self.place = Place(attempts=3, prefetch=3)
        self.sessions = {}
        self.held = {}
        self.put_ = set()
        self.acked = set()
        self.count = 0

    def teardown(self):
        if hasattr(self, "loop"):
            self.loop.close()

    def hear(self):
        for name, session in self.sessions.items():
            for frame in got(session):
                body = frame.body.decode()
                everywhere = [b for held in self.held.values() for b, _ in held]
                assert body not in self.acked
                assert body not in everywhere
                self.held[name].append((body, frame))

    @rule()
    def put(self):
        self.count += 1
        self.place.put(f"{self.count}")
        self.put_.add(f"{self.count}")
        self.hear()

    @precondition(lambda self: len(self.sessions) < 4)
    @rule(mode=MODES)
    def come(self, mode):
        self.count += 1
        name = f"c{self.count}"
        self.held[name] = []
        self.sessions[name] = self.place.session(name, id_=name)
        self.place.consumer(session=self.sessions[name], ack=mode)
        self.hear()

    def pick(self, data):
        name = data.draw(st.sampled_from(sorted(self.sessions)))
        held = self.held[name]
        if not held:
            return name, None
        return name, data.draw(st.integers(0, len(held) - 1))

    def meant(self, name, at):
        """Which of the held messages an ACK of one means, and forget them."""
        held = self.held[name]
        cumulative = self.sessions[name].subscriptions["0"].ack == "client"
        meant = held[: at + 1] if cumulative else [held[at]]
        self.held[name] = [each for each in held if each not in meant]
        return [body for body, _ in meant]

    @precondition(lambda self: self.sessions)
    @rule(data=st.data(), kind=st.sampled_from([Ack, Nack]))
    def settle(self, data, kind):
        name, at = self.pick(data)
        if at is None:
            return
        frame = self.held[name][at][1]
        meant = self.meant(name, at)
        self.place.settle(self.sessions[name], ack(frame, kind))
        if kind is Ack:
            self.acked.update(meant)
        self.hear()

    @precondition(lambda self: self.sessions)
    @rule(data=st.data())
    def vanish(self, data):
        name = data.draw(st.sampled_from(sorted(self.sessions)))
        self.place.leave(self.sessions.pop(name))
        del self.held[name]
        self.hear()

    @invariant()
    def every_message_is_somewhere_once(self):
        if not hasattr(self, "place"):
            return
        queues = self.place.queues._queues
        waiting = [s.body.decode() for q in queues.values() for s in q._waiting]
        held = [b for each in self.held.values() for b, _ in each]
        somewhere = [*waiting, *held, *self.acked]
        assert sorted(somewhere) == sorted(self.put_)
        for queue in queues.values():
            assert queue.count >= queue.waiting
        open_ = sum(len(s.deliveries) for s in self.sessions.values())
        assert open_ == len(held)


TestQueueMachine = QueueMachine.TestCase
TestQueueMachine.settings = settings(
    max_examples=60, stateful_step_count=40, deadline=None
)


@pytest.mark.parametrize("version", Version)
async def test_a_message_can_be_read_in_every_version(version):
    place = Place()
    session = place.session("ann", version=version)
    place.queues.consume(place.registry.add(session, "0", JOBS, ack="client"))
    place.template.send(JOBS, b"\0x", headers=(("k", "a:b"),))
    [frame] = got(session)

    assert frame.body == b"\0x"
    assert frame.get("k") == "a:b"
    assert frame.get("subscription") == "0"
