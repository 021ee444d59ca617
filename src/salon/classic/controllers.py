"""S0's controllers: a public room, named rooms, and private chat by name.

The destinations are those of the original, with two differences that its own design
asks for. The sender is the authenticated principal, whatever the body says. A private
message goes to the *user destination* ``/user/queue/private`` of the two people; the
original published to ``/topic/chatToUser/{name}``, which anybody could subscribe to.
"""

from urllib.parse import unquote

import msgspec

from salon.classic.messages import ChatMessage, MessageType
from salon.classic.people import People
from salon.errors import Refusal
from salon.messaging.dispatch import encode_payload
from salon.messaging.grants import may_send, may_subscribe
from salon.messaging.mapping import message_mapping, send_to, send_to_user
from salon.messaging.principal import Principal
from salon.messaging.sessions import Session
from salon.messaging.template import MessagingTemplate

PUBLIC = "/topic/public"
PRIVATE = "/queue/private"

ROOMS_MAX = 20
"""Rooms that one connection may have joined: each gets a LEAVE at its end."""

_JOINED = "classic.joined"

_WHO = ("guest", "user")

GRANTS = (
    may_send("/app/chat.sendMessage", *_WHO),
    may_send("/app/chat.addUser", *_WHO),
    may_send("/app/chat/{roomId}", *_WHO),
    may_send("/app/chat.addUserToRoom/{roomId}", *_WHO),
    may_send("/app/chatToUser/{userId}", *_WHO),
    may_send("/app/chat.helloUser/{userId}", *_WHO),
    may_subscribe(PUBLIC, *_WHO),
    may_subscribe("/topic/chat/{roomId}", *_WHO),
    may_subscribe("/user" + PRIVATE, *_WHO),
    may_subscribe("/user/queue/errors", *_WHO),
)


class ChatController:
    """The public room."""

    @message_mapping("/chat.sendMessage")
    @send_to(PUBLIC)
    def send_message(self, payload: ChatMessage, principal: Principal) -> ChatMessage:
        return said_by(principal, payload)

    @message_mapping("/chat.addUser")
    @send_to(PUBLIC)
    def add_user(self, payload: ChatMessage, session: Session) -> ChatMessage:
        return join(session, PUBLIC, payload)


class ChatInRoomController:
    """Rooms that exist because somebody names them."""

    @message_mapping("/chat/{roomId}")
    @send_to("/topic/chat/{roomId}")
    def send_message(
        self,
        roomId: str,  # noqa: N803 - the original's name
        payload: ChatMessage,
        principal: Principal,
    ) -> ChatMessage:
        return said_by(principal, payload)

    @message_mapping("/chat.addUserToRoom/{roomId}")
    @send_to("/topic/chat/{roomId}")
    def add_user(
        self,
        roomId: str,  # noqa: N803
        payload: ChatMessage,
        session: Session,
    ) -> ChatMessage:
        return join(session, f"/topic/chat/{roomId}", payload)


class ChatToUserController:
    """Messages for one person, told apart by name."""

    def __init__(self, people: People, template: MessagingTemplate) -> None:
        self._people = people
        self._template = template

    @message_mapping("/chatToUser/{userId}")
    def send_message(
        self,
        userId: str,  # noqa: N803
        payload: ChatMessage,
        principal: Principal,
    ) -> None:
        """To both: the speaker's own pages show it as well.

        Raises:
            Refusal: theirs; ``user_unknown``, ``name_ambiguous``.
        """
        name = unquote(userId)
        found = self._people.listening(name, PRIVATE)
        if not found:
            raise Refusal(
                "user_unknown",
                f"Nobody called {name!r} is waiting for private messages.",
                field="userId",
                status=404,
            )
        if len(found) > 1:
            raise Refusal(
                "name_ambiguous",
                f"More than one person here is called {name!r}.",
                field="userId",
                status=409,
            )
        body, headers = encode_payload(said_by(principal, payload))
        self._template.send_to_users(
            dict.fromkeys((*found, principal.id)), PRIVATE, body, headers=headers
        )

    @message_mapping("/chat.helloUser/{userId}")
    @send_to_user(PRIVATE, broadcast=False)
    def hello_user(
        self,
        userId: str,  # noqa: N803
        payload: ChatMessage,
        principal: Principal,
    ) -> ChatMessage:
        """Told to oneself only: private messages can come now."""
        return said_by(principal, payload)


class Departures:
    """Tells the rooms when somebody's connection ends."""

    def __init__(self, template: MessagingTemplate) -> None:
        self._template = template

    def disconnected(self, session: Session) -> None:
        leave = ChatMessage(MessageType.LEAVE, None, session.principal.name)
        body, headers = encode_payload(leave)
        for topic in session.attributes.get(_JOINED, ()):
            self._template.send(topic, body, headers=headers)


def said_by(principal: Principal, message: ChatMessage) -> ChatMessage:
    """The message with its true sender."""
    return msgspec.structs.replace(message, sender=principal.name)


def join(session: Session, topic: str, message: ChatMessage) -> ChatMessage:
    """Note where a LEAVE is due when the session ends.

    Raises:
        Refusal: theirs; ``too_many_rooms``.
    """
    joined = session.attributes.setdefault(_JOINED, {})
    if topic not in joined and len(joined) >= ROOMS_MAX:
        raise Refusal(
            "too_many_rooms",
            f"One connection may join {ROOMS_MAX} rooms.",
            params={"limit": ROOMS_MAX},
        )
    joined[topic] = None
    return said_by(session.principal, message)
