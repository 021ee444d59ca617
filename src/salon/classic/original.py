"""S0 as it was, for a front end that was written for it: the compatibility setting.

Three things differ from ``controllers.py``, and each is a hole that the original had:

* who somebody is, is what the headers ``User-ID`` and ``User-Name`` of CONNECT say;
* a private message goes to the topic ``/topic/chatToUser/{name}``, and a greeting to
  ``/user/chat/{name}``, which everybody may subscribe to;
* LEAVE goes to the public room, wherever somebody was.

What it did with a message that is none (an unknown ``type``, no JSON) is kept as well: a
line in the log, and nothing for the client. And ``content`` is as long as a frame may
be, 64 KiB, which is Spring's limit, too.

So it is never on unless somebody asks for it, and never beside the messenger. What
the original also let clients do, SEND straight to a topic, its pages never did: that
stays refused.
"""

import msgspec
import structlog

from salon.classic.controllers import PUBLIC
from salon.classic.messages import MessageType
from salon.errors import Refusal
from salon.ids import token
from salon.messaging.channel import Handshake
from salon.messaging.dispatch import encode_payload
from salon.messaging.events import SessionEvents
from salon.messaging.grants import may_send, may_subscribe
from salon.messaging.mapping import (
    message_exception_handler,
    message_mapping,
    send_to,
    send_to_user,
    transactional,
)
from salon.messaging.message import Message
from salon.messaging.principal import Credentials, Principal
from salon.messaging.sessions import Session
from salon.messaging.template import MessagingTemplate

log = structlog.get_logger("salon.classic")

USERNAME = "username"
"""The session attribute whose owner's LEAVE is told."""

HEADER_CHARS = 200
"""Of ``User-ID`` and ``User-Name``."""

GRANTS = (
    may_send("/app/chat.sendMessage", "guest"),
    may_send("/app/chat.addUser", "guest"),
    may_send("/app/chat/private", "guest"),
    may_send("/app/chat/{roomId}", "guest"),
    may_send("/app/chat.addUserToRoom/{roomId}", "guest"),
    may_send("/app/chatToUser/{userId}", "guest"),
    may_send("/app/chat.helloUser/{userId}", "guest"),
    may_subscribe(PUBLIC, "guest"),
    may_subscribe("/topic/chat/{roomId}", "guest"),
    may_subscribe("/topic/chatToUser/{userId}", "guest"),
    may_subscribe("/user/chat/{userId}", "guest"),
    may_subscribe("/user/topic/chat/private", "guest"),
    may_subscribe("/user/queue/errors", "guest"),
)


class FromHeaders:
    """Believes what CONNECT says (``messaging.principal.HeaderAuthenticator``)."""

    async def identify(
        self, handshake: Handshake, credentials: Credentials
    ) -> Principal:
        """Whoever the client says it is; somebody new where it says nothing.

        Raises:
            Refusal: theirs; a header is too long.
        """
        headers = dict(reversed(credentials.headers))  # of repeated ones the first
        for name in ("User-ID", "User-Name"):
            if len(headers.get(name, "")) > HEADER_CHARS:
                raise Refusal(
                    "name_invalid",
                    f"{name} may have {HEADER_CHARS} characters.",
                    field=name,
                )
        id_ = headers.get("User-ID") or token(64)
        name = headers.get("User-Name") or credentials.login or ""
        return Principal(id_, name, frozenset({"guest"}), f"header:{id_}")


class OriginalMessage(msgspec.Struct, frozen=True):
    """``ChatMessage`` without a limit of its own."""

    type: MessageType
    content: str | None = None
    sender: str | None = None


class OriginalController:
    """All of S0's handlers."""

    @message_exception_handler(Refusal)
    def not_understood(self, error: Refusal, message: Message) -> None:
        log.warning("classic.dropped", path=message.path, why=error.message)

    @message_mapping("/chat.sendMessage")
    @send_to(PUBLIC)
    @transactional
    def send_message(self, payload: OriginalMessage) -> OriginalMessage:
        return payload

    @message_mapping("/chat.addUser")
    @send_to(PUBLIC)
    def add_user(self, payload: OriginalMessage, session: Session) -> OriginalMessage:
        return _known_by(session, payload)

    @message_mapping("/chat/{roomId}")
    @send_to("/topic/chat/{roomId}")
    @transactional
    def send_to_room(self, payload: OriginalMessage) -> OriginalMessage:
        return payload

    @message_mapping("/chat.addUserToRoom/{roomId}")
    @send_to("/topic/chat/{roomId}")
    def add_user_to_room(
        self, payload: OriginalMessage, session: Session
    ) -> OriginalMessage:
        return _known_by(session, payload)

    @message_mapping("/chatToUser/{userId}")
    @send_to("/topic/chatToUser/{userId}")
    @transactional
    def chat_to_user(self, payload: OriginalMessage) -> OriginalMessage:
        return payload

    @message_mapping("/chat.helloUser/{userId}")
    @send_to("/user/chat/{userId}")
    def hello_user(self, payload: OriginalMessage, session: Session) -> OriginalMessage:
        return _known_by(session, payload)

    @message_mapping("/chat/private")
    @send_to_user("/topic/chat/private")
    @transactional
    def private_chat(self, payload: OriginalMessage) -> OriginalMessage:
        return payload


class Original:
    """S0's application: controllers, grants and what happens at the end of a session.

    Its server keeps ``/user/…`` literally as well
    (``SubscriptionRegistry(literal_users=True)``).
    """

    grants = GRANTS

    def __init__(self, template: MessagingTemplate) -> None:
        self._template = template
        self.controllers: tuple[object, ...] = (OriginalController(),)

    def listen(self, events: SessionEvents) -> None:
        """Hear of sessions that go."""
        events.disconnected.append(self._disconnected)

    def announce(
        self, kind: MessageType, content: str | None, sender: str | None
    ) -> int:
        """``GET /testSendMessage``; anybody may speak in anybody's name."""
        return self._publish(OriginalMessage(kind, content, sender))

    def _disconnected(self, session: Session) -> None:
        name = session.attributes.get(USERNAME)
        if name is not None:
            self._publish(OriginalMessage(MessageType.LEAVE, None, name))

    def _publish(self, message: OriginalMessage) -> int:
        body, headers = encode_payload(message)
        return self._template.send(PUBLIC, body, headers=headers)


def _known_by(session: Session, message: OriginalMessage) -> OriginalMessage:
    """Note the name under which this session leaves; without one, its principal's."""
    if not message.sender:
        message = msgspec.structs.replace(message, sender=session.principal.name)
    session.attributes[USERNAME] = message.sender
    return message
