"""What happens to sessions, for whoever wants to know.

Listeners are called in the order they were added, on the event loop, at once; they
must not wait. One that fails is logged and harms nobody else.
"""

from collections.abc import Callable
from typing import Any

import structlog

from salon.messaging.sessions import Session, Subscription

log = structlog.get_logger("salon.messaging")


class SessionEvents:
    """Lists of listeners: append to them.

    Attributes:
        connected: before the client gets CONNECTED; the session is registered.
        subscribed: the subscription is stored, the RECEIPT not yet sent.
        unsubscribed: it is already forgotten.
        disconnected: once for each session that connected, however it ended; the
            session is already forgotten, so what is sent now goes to the others.
    """

    def __init__(self) -> None:
        self.connected: list[Callable[[Session], None]] = []
        self.subscribed: list[Callable[[Session, Subscription], None]] = []
        self.unsubscribed: list[Callable[[Session, Subscription], None]] = []
        self.disconnected: list[Callable[[Session], None]] = []


def tell(listeners: list[Callable[..., None]], *what: Any) -> None:
    """Call each listener."""
    for listener in listeners:
        try:
            listener(*what)
        except Exception:
            log.exception("messaging.listener", listener=repr(listener))
