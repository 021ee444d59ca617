"""The guest chat as one thing to plug in: controllers, grants, listeners.

::

    classic = Classic(template, users)
    classic.listen(session_events)
    Dispatcher([*others, *classic.controllers], …, Grants([*others, *classic.grants]))
    app routers: classic.endpoints.router(classic, lib_dir)
"""

from salon.classic.controllers import (
    GRANTS,
    PUBLIC,
    ChatController,
    ChatInRoomController,
    ChatToUserController,
    Departures,
)
from salon.classic.messages import ChatMessage, MessageType
from salon.classic.people import People
from salon.errors import Refusal
from salon.messaging.dispatch import encode_payload
from salon.messaging.events import SessionEvents
from salon.messaging.template import MessagingTemplate
from salon.messaging.users import UserRegistry


class Classic:
    """S0's application on this server."""

    grants = GRANTS

    def __init__(self, template: MessagingTemplate, users: UserRegistry) -> None:
        self._template = template
        self._people = People(users)
        self._departures = Departures(template)
        self.controllers: tuple[object, ...] = (
            ChatController(),
            ChatInRoomController(),
            ChatToUserController(self._people, template),
        )

    def listen(self, events: SessionEvents) -> None:
        """Hear of sessions that come and go."""
        events.connected.append(self._people.connected)
        events.disconnected.append(self._people.disconnected)
        events.disconnected.append(self._departures.disconnected)

    def announce(
        self, kind: MessageType, content: str | None, sender: str | None
    ) -> int:
        """Push into the public room from outside of it; the number of MESSAGEs.

        Raises:
            Refusal: theirs; ``name_taken``: the sender would pass for somebody here.
        """
        if sender is not None and self._people.is_here(sender):
            raise Refusal(
                "name_taken",
                f"{sender!r} is here and speaks for themself; name another sender.",
                field="sender",
                status=409,
            )
        body, headers = encode_payload(ChatMessage(kind, content, sender))
        return self._template.send(PUBLIC, body, headers=headers)
