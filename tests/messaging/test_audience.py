"""Broadcasts: everybody gets everything, once, in the order in which it was sent."""

from salon.messaging.audience import Audience
from salon.messaging.broadcast import FULL, Broadcast


class Channel:
    """Follows or not; keeps what it got."""

    def __init__(self, *, follows=True):
        self.id = "c"
        self.follows = follows
        self.sent = []
        self.broadcasts = []

    def send(self, data, *, droppable=False, coalesce=None):
        self.sent.append(data)

    def follow(self, broadcast):
        if self.follows:
            self.broadcasts.append(broadcast)
            return True
        self.send(broadcast.messages[0])
        return False

    @property
    def got(self):
        return [m for b in self.broadcasts for m in b.messages] + self.sent


class Session:
    def __init__(self, channel):
        self.channel = channel


class Subscription:
    def __init__(self, channel, consumer=None):
        self.session = Session(channel)
        self.consumer = consumer


def audience(*channels):
    made = Audience()
    for channel in channels:
        made.add(Subscription(channel))
    return made


def test_followers_share_a_list_and_others_get_each_message():
    follower, other = Channel(), Channel(follows=False)
    made = audience(follower, other)
    assert [made.send(b"1"), made.send(b"2")] == [2, 2]
    assert follower.got == other.got == [b"1", b"2"]
    assert len(follower.broadcasts) == 1
    assert follower.sent == []


def test_a_list_that_is_being_written_does_not_grow():
    follower = Channel()
    made = audience(follower)
    made.send(b"1")
    follower.broadcasts[0].open = False
    made.send(b"2")
    assert [b.messages for b in follower.broadcasts] == [[b"1"], [b"2"]]


def test_a_newcomer_gets_nothing_that_was_sent_before():
    first, second = Channel(), Channel()
    made = audience(first)
    made.send(b"1")
    made.add(Subscription(second))
    made.send(b"2")
    assert (first.got, second.got) == ([b"1", b"2"], [b"2"])


def test_a_large_broadcast_is_closed_so_that_budgets_are_looked_at():
    follower = Channel()
    made = audience(follower)
    made.send(b"x")
    made.send(b"y" * FULL)
    made.send(b"z")
    assert len(follower.broadcasts) == 2


def test_who_acknowledges_is_served_apart():
    keeper = Subscription(Channel(), consumer=object())
    made = Audience()
    made.add(keeper)
    assert made.send(b"1") == 0
    assert made.keepers() == [keeper]


def test_one_that_fails_is_not_counted_and_ends_nothing():
    class Broken(Channel):
        def follow(self, broadcast):
            raise RuntimeError

    good = Channel()
    made = audience(Broken(), good)
    assert made.send(b"1") == 1
    assert good.got == [b"1"]


def test_a_stray_that_fails_is_not_counted():
    def broken(_message):
        raise RuntimeError

    broadcast = Broadcast(b"1")
    broadcast.strays.append(broken)
    assert broadcast.add(b"2") == 1
