"""Which rule answers which command.

A rule is a function ``(ledger, conversation, command) -> Draft``. It finds the
conversation loaded (``None`` when there is none), may change it, and raises
``Refusal`` to say no. ``chat`` and ``pictures`` bring theirs; this table is the map.
"""

from collections.abc import Callable
from typing import Any

import msgspec

from salon.chat import commands as chat
from salon.chat import conversations
from salon.chat.commands import Command
from salon.chat.conversations import GROUP_MEMBERS_MAX, Conversation
from salon.chat.events import Draft
from salon.chat.ports import Ledger
from salon.errors import Refusal
from salon.pictures import commands as pictures
from salon.pictures import rules as picture_rules

Rule = Callable[[Any, Conversation, Any], Draft]

AnyCommand = (
    chat.CreateConversation
    | chat.AddMembers
    | chat.RemoveMember
    | chat.SendMessage
    | pictures.RequestPicture
    | pictures.FinishPicture
    | pictures.FailPicture
    | pictures.CancelPicture
)

decoder = msgspec.json.Decoder(AnyCommand)


def create(
    ledger: Ledger, conversation: Conversation | None, command: chat.CreateConversation
) -> Draft:
    """Make the conversation, unless it names people who are not there."""
    if conversation is not None:  # a single one that the other side began
        conversation.require_member(command.sender)
        raise Exists
    wanted = {command.sender, *command.members}
    if len(wanted) > GROUP_MEMBERS_MAX:
        raise Refusal(
            "group_full",
            f"A group has at most {GROUP_MEMBERS_MAX} members.",
            field="members",
            params={"limit": GROUP_MEMBERS_MAX},
        )
    _require_people(ledger, wanted, "members")
    made = conversations.create(command)
    ledger.add_conversation(made)
    return conversations.created(made)


def add(ledger: Ledger, conversation: Conversation, command: chat.AddMembers) -> Draft:
    """Bring people in who have an account."""
    _require_people(ledger, set(command.users), "users")
    draft = conversations.add(conversation, command)
    ledger.members_changed(conversation)
    return draft


def remove(
    ledger: Ledger, conversation: Conversation, command: chat.RemoveMember
) -> Draft:
    """Take one out."""
    draft = conversations.remove(conversation, command)
    ledger.members_changed(conversation)
    return draft


def send(
    ledger: Ledger, conversation: Conversation, command: chat.SendMessage
) -> Draft:
    """A message needs nothing but membership."""
    return conversations.post(conversation, command)


def _require_people(ledger: Ledger, users: set[Any], field: str) -> None:
    missing = users - ledger.knows_users(users)
    if missing:
        raise Refusal(
            "user_unknown",
            "Somebody in the list has no account on this server.",
            field=field,
            params={"users": sorted(str(user) for user in missing)},
            status=404,
        )


class Exists(Exception):
    """The conversation is there already; its first event is the answer."""


RULES: dict[type[Command], Rule] = {
    chat.CreateConversation: create,
    chat.AddMembers: add,
    chat.RemoveMember: remove,
    chat.SendMessage: send,
    pictures.RequestPicture: picture_rules.request,
    pictures.FinishPicture: picture_rules.finish,
    pictures.FailPicture: picture_rules.fail,
    pictures.CancelPicture: picture_rules.cancel,
}
