"""Channels, principals and a whole messaging without a network, for tests."""

from salon.clock import ManualClock
from salon.errors import Refusal
from salon.gateway.bridge import BridgeServices, BridgeSettings, StompBridge
from salon.messaging.channel import Handshake
from salon.messaging.dispatch import Dispatcher
from salon.messaging.events import SessionEvents
from salon.messaging.grants import Grants
from salon.messaging.principal import Principal
from salon.messaging.sessions import Session
from salon.messaging.subscriptions import SubscriptionRegistry
from salon.messaging.template import MessagingTemplate
from salon.messaging.users import UserRegistry
from salon.stomp.codec import Decoder, Limits
from salon.stomp.frames import SERVER_COMMANDS, Version


def principal(name="ann", *roles, login=None):
    return Principal(name, name.title(), frozenset(roles or {"user"}), login or name)


class FakeChannel:
    """A channel that remembers; ``frames()`` gives and forgets what was sent."""

    def __init__(self, id_="c1", version=Version.V12):
        self.id = id_
        self.handshake = Handshake("/ws", remote="203.0.113.7")
        self.sent = []
        self.lanes = []
        self.closed = None
        self.paused = False
        self.version = version
        self.waiting = 0

    def send(self, data, *, droppable=False, coalesce=None):
        assert isinstance(data, bytes)
        if self.closed is None:
            self.sent.append(data)
            self.lanes.append((droppable, coalesce))

    def follow(self, broadcast):
        self.send(broadcast.messages[0])
        return False

    def close(self, code, reason):
        if self.closed is None:
            self.closed = (code, reason)

    def pause_reading(self):
        assert not self.paused
        self.paused = True

    def resume_reading(self):
        assert self.paused
        self.paused = False

    def frames(self):
        decoder = Decoder(Limits(body=1 << 20), commands=SERVER_COMMANDS)
        decoder.version = self.version
        frames = decoder.feed(b"".join(self.sent))
        self.sent.clear()
        self.lanes.clear()
        return frames


class FakeTimer:
    """Calls later when told that time went by."""

    def __init__(self):
        self.now = 0.0
        self.waiting = []

    def call_later(self, delay, callback):
        handle = FakeHandle(self, self.now + delay, callback)
        self.waiting.append(handle)
        return handle

    def advance(self, seconds):
        end = self.now + seconds
        while due := [h for h in self.waiting if h.at <= end + 1e-9]:
            first = min(due, key=lambda handle: handle.at)
            self.waiting.remove(first)
            self.now = max(self.now, first.at)
            first.callback()
        self.now = end


class FakeHandle:
    def __init__(self, timer, at, callback):
        self.timer, self.at, self.callback = timer, at, callback

    def cancel(self):
        if self in self.timer.waiting:
            self.timer.waiting.remove(self)


class ByLogin:
    """An authenticator: the login is the name; passcode ``wrong`` is refused."""

    async def authenticate(self, handshake, login, passcode):
        if login is None or passcode == "wrong":
            raise Refusal("unauthorised", "Log in first.", status=401)
        return principal(login)


class World:
    """Registries, template and dispatcher around some controllers."""

    def __init__(self, controllers=(), grants=(), **options):
        self.users = UserRegistry()
        self.registry = SubscriptionRegistry()
        self.template = MessagingTemplate(self.registry, self.users)
        self.events = SessionEvents()
        self.timer = FakeTimer()
        self.clock = ManualClock()
        self.serve(controllers, grants, **options)

    def serve(self, controllers, grants, **options):
        self.dispatcher = Dispatcher(
            controllers, self.registry, self.template, Grants(grants), **options
        )

    def session(self, who="ann", id_=None, version=Version.V12, roles=()):
        id_ = id_ or f"s{len(self.users)}"
        channel = FakeChannel(f"c-{id_}", version)
        session = Session(id_, principal(who, *roles), channel, version, 0)
        self.users.add(session)
        return session

    def bridge(self, authenticator=None, **settings):
        services = BridgeServices(
            authenticator or ByLogin(),
            self.dispatcher,
            self.users,
            self.template,
            self.timer,
            self.clock,
            self.events,
            BridgeSettings(**settings),
            "Salon/test",
        )
        bridge, channel = StompBridge(services), FakeChannel()
        bridge.on_open(channel)
        return bridge, channel
