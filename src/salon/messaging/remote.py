"""Sending to a running server from another process.

A cron job, a bot or a second application writes a record to the event log; every
server that follows the topic ``nodes`` gives it to its own ``MessagingTemplate``
(Spring's SimpMessagingTemplate over a broker relay)::

    log = KafkaLog("127.0.0.1:9092", "nightly-report")
    template = RemoteTemplate(log)
    await template.convert_and_send("/topic/reports", {"rows": 12})
    await template.convert_and_send_to_user("42", "/queue/notes", "It is done.")
    await log.close()

**Who may.** Who may write the topic may send: nothing in a record is asked for again,
no grant is looked at, any user may be addressed. The embedded broker listens on
loopback; with an Apache Kafka it is an ACL (WRITE on topic ``nodes``) that decides.
What is not a message is refused here, and again by the servers, in words.

**What arrives.** A call returns when the record is durable (acks=all). Servers that are
up get it, in the order of the log; one that is down has no subscribers who could. A
server that was cut off for longer than the topic's minute misses it.

**Queues.** ``/queue/…`` is worked off by competing consumers of *one* server; said to
all, every server would do the work once. So it needs ``node=``, and only that server
takes it. ``/app/…`` belongs to clients and is refused.
"""

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from salon.errors import Refusal
from salon.eventlog import topics
from salon.eventlog.ports import EventLog, Position
from salon.messaging.conversion import encode_payload
from salon.messaging.destinations import APP, QUEUE, TOPIC, check_canonical, within
from salon.messaging.template import RESERVED, MessagingTemplate

BODY_MAX = 512 * 1024
"""Bytes of a body: a record of the log has 1 MiB, and the headers want some of it."""
HEADERS_MAX = 32
HEADER_CHARS_MAX = 1024
USER_CHARS_MAX = 256


class Sent(msgspec.Struct, tag="sent", frozen=True, omit_defaults=True):
    """A record: send this.

    Attributes:
        destination: a topic; with ``user``, what they subscribe to without ``/user``.
        headers: more of them, in order.
        user: the id of a user (``Principal.id``), or None.
        node: the only server that is meant, or None.
    """

    destination: str
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()
    user: str | None = None
    node: str | None = None


class RemoteTemplate:
    """Spring's SimpMessagingTemplate for who is not a server.

    Args:
        log: where the servers listen; its life is the caller's.
    """

    def __init__(self, log: EventLog) -> None:
        self._log = log

    async def convert_and_send(
        self,
        destination: str,
        payload: Any,
        *,
        headers: Mapping[str, str] | None = None,
        node: str | None = None,
    ) -> Position:
        """Send to all who subscribed, on whichever server; where it stands in the log.

        Args:
            destination: ``/topic/…``; ``/queue/…`` with ``node``.
            payload: bytes, text, or anything that JSON can say.
            headers: more headers of the MESSAGE.
            node: only to this server (its ``SALON_NODE``).

        Raises:
            Refusal: theirs; names the field and the limit.
            Unavailable: ours; the log took nothing, try again.
        """
        return await self._send(destination, payload, headers, node=node)

    async def convert_and_send_to_user(
        self,
        user: str,
        destination: str,
        payload: Any,
        *,
        headers: Mapping[str, str] | None = None,
    ) -> Position:
        """Send to ``/user`` + ``destination`` of all sessions of one user.

        Raises:
            Refusal, Unavailable: see ``convert_and_send``.
        """
        return await self._send(destination, payload, headers, user=user)

    async def _send(
        self,
        destination: str,
        payload: Any,
        headers: Mapping[str, str] | None,
        *,
        user: str | None = None,
        node: str | None = None,
    ) -> Position:
        try:
            body, kind = encode_payload(payload)
        except (TypeError, ValueError) as error:
            raise _refused("payload", f"The payload is no JSON: {error}.") from error
        sent = Sent(destination, body, (*kind, *(headers or {}).items()), user, node)
        check(sent)
        appended: asyncio.Future[Position] = await self._log.append(
            topics.NODES.name, None, msgspec.msgpack.encode(sent)
        )
        return await appended


def check(sent: Sent) -> None:
    """Refuse what is no message.

    Raises:
        Refusal: theirs; ``invalid`` or ``destination_invalid``, with the field.
    """
    check_canonical(sent.destination)
    if within(APP, sent.destination) is not None:
        raise _refused("destination", f"{APP}/… belongs to clients of the server.")
    known = within(TOPIC, sent.destination) or within(QUEUE, sent.destination)
    if sent.user is None and known is None:
        raise _refused(
            "destination", f"A message goes to {TOPIC}/…, {QUEUE}/… or to a user."
        )
    if sent.user is None and sent.node is None and within(QUEUE, sent.destination):
        raise _refused(
            "node",
            f"{sent.destination!r} is worked off by one server: say which (node=…).",
        )
    if sent.user is not None and not 0 < len(sent.user) <= USER_CHARS_MAX:
        raise _refused("user", f"A user's id has 1 to {USER_CHARS_MAX} characters.")
    if len(sent.body) > BODY_MAX:
        raise _refused("payload", f"A body has at most {BODY_MAX} bytes.")
    _check_headers(sent.headers)


def _check_headers(headers: Iterable[tuple[Any, Any]]) -> None:
    headers = tuple(headers)
    if len(headers) > HEADERS_MAX:
        raise _refused("headers", f"A message has at most {HEADERS_MAX} headers.")
    for name, value in headers:
        if not isinstance(name, str) or not isinstance(value, str) or not name:
            raise _refused("headers", f"The header {str(name)[:20]!r} is not text.")
        if len(name) + len(value) > HEADER_CHARS_MAX:
            raise _refused(
                "headers",
                f"The header {name[:20]!r} has more than {HEADER_CHARS_MAX} characters.",
            )
        if name in RESERVED or name == "message-id" or "\0" in name + value:
            raise _refused("headers", f"The header {name[:20]!r} is the server's own.")


def deliver(template: MessagingTemplate, sent: Sent) -> int:
    """Send a record's message to who is connected here; the number of MESSAGEs.

    Raises:
        Refusal: theirs; it is no message, or a queue is full.
    """
    check(sent)
    if sent.user is None:
        return template.send(sent.destination, sent.body, headers=sent.headers)
    return template.send_to_user(
        sent.user, sent.destination, sent.body, headers=sent.headers
    )


def _refused(field: str, message: str) -> Refusal:
    return Refusal("invalid", message, field=field)
