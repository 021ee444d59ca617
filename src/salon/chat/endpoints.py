"""Chat over STOMP: ``/app/chat.…`` (``docs/reference/protocol.md``)."""

from collections.abc import Awaitable

import msgspec

from salon.chat.ports import Applied
from salon.chat.service import Chat
from salon.errors import Refusal
from salon.ids import ConversationId, UserId, parse_id
from salon.messaging.mapping import message_mapping
from salon.messaging.message import ReceiptHeaders
from salon.messaging.principal import Principal


class Send(msgspec.Struct):
    """Body of ``/app/chat.send``."""

    conversation: str
    client_id: str
    text: str


class Read(msgspec.Struct):
    """Body of ``/app/chat.read``."""

    conversation: str
    seq: int


class Typing(msgspec.Struct):
    """Body of ``/app/chat.typing``."""

    conversation: str


class ChatController:
    """Carries wishes to the service; decides nothing."""

    def __init__(self, chat: Chat) -> None:
        self._chat = chat

    @message_mapping("/chat.send")
    async def send(
        self, payload: Send, principal: Principal, receipt: ReceiptHeaders
    ) -> Awaitable[None]:
        """Submit in order; the receipt goes out when the message has its number."""
        applied = await self._chat.send(
            UserId(int(principal.id)),
            conversation_id(payload.conversation),
            payload.client_id,
            payload.text,
        )
        return numbered(applied, receipt)

    @message_mapping("/chat.read")
    async def read(self, payload: Read, principal: Principal) -> None:
        """Move one's cursor."""
        await self._chat.read(
            UserId(int(principal.id)),
            conversation_id(payload.conversation),
            payload.seq,
        )

    @message_mapping("/chat.typing")
    async def typing(self, payload: Typing, principal: Principal) -> None:
        """Tell the others."""
        await self._chat.typing(
            UserId(int(principal.id)), conversation_id(payload.conversation)
        )


async def numbered(applied: Awaitable[Applied], receipt: ReceiptHeaders) -> None:
    """Fill the receipt's headers when the command is applied."""
    event, duplicate = await applied
    receipt["seq"] = str(event.seq)
    receipt["message-id"] = str(event.id)
    receipt["ts"] = str(event.ts)
    receipt["duplicate"] = "true" if duplicate else "false"


def conversation_id(text: str) -> ConversationId:
    """The id in a request.

    Raises:
        Refusal: theirs; not a number.
    """
    try:
        return ConversationId(parse_id(text))
    except ValueError as error:
        raise Refusal(
            "id_invalid", f"`conversation` is wrong: {error}.", field="conversation"
        ) from error
