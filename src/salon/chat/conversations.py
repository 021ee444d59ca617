"""The rules of a conversation: who may do what, and what then has happened.

Nothing here waits, reads a clock or knows a database: a rule takes the state and a
command and returns a ``Draft`` or raises ``Refusal``. The owner numbers the draft.
"""

from dataclasses import dataclass, field

from salon.chat.commands import (
    AddMembers,
    CreateConversation,
    RemoveMember,
    SendMessage,
    pair_key,
)
from salon.chat.events import Draft
from salon.errors import Refusal
from salon.ids import ConversationId, UserId

GROUP_MEMBERS_MAX = 5_000
"""Members of one group: what one node shows to all of them at once."""

NAME_MAX = 60
TEXT_MAX = 8_000


@dataclass(slots=True)
class Member:
    """Somebody in a conversation.

    Attributes:
        joined_seq: the first event that they may see.
        visible_n: ``last_n`` when they joined: older messages are not unread.
    """

    role: str
    joined_seq: int
    visible_n: int = 0


@dataclass(slots=True)
class Conversation:
    """A conversation as the owner keeps it in memory.

    Attributes:
        kind: ``single`` or ``group``.
        last_seq: the newest event's number; 0 before the first.
        last_n: how many events so far make unread.
        ts: the newest event's time.
    """

    id: ConversationId
    kind: str
    name: str
    owner: UserId
    pair_key: str | None
    created: int
    members: dict[UserId, Member] = field(default_factory=dict)
    last_seq: int = 0
    last_n: int = 0
    ts: int = 0

    def require_member(self, user: UserId) -> Member:
        """The membership of ``user``.

        Raises:
            Refusal: theirs; outsiders cannot tell a foreign conversation from none.
        """
        member = self.members.get(user)
        if member is None:
            raise unknown()
        return member


def unknown() -> Refusal:
    """The one answer for a conversation that is not there or not yours."""
    return Refusal(
        "conversation_unknown",
        "There is no conversation with this id that you belong to.",
        field="conversation",
        status=404,
    )


def create(command: CreateConversation) -> Conversation:
    """A new conversation and who is in it; it has no event yet."""
    people = list(dict.fromkeys([command.sender, *command.members]))
    single = command.kind == "single"
    conversation = Conversation(
        id=command.conversation,
        kind=command.kind,
        name=command.name,
        owner=command.sender,
        pair_key=pair_key(people[0], people[-1]) if single else None,
        created=command.ts,
    )
    for user in people:
        owner = user == command.sender and not single
        conversation.members[user] = Member("owner" if owner else "member", 1)
    return conversation


def created(conversation: Conversation) -> Draft:
    """``conversation.created``: the first event of every stream."""
    return Draft(
        type="conversation.created",
        body={
            "kind": conversation.kind,
            "name": conversation.name,
            "members": [
                {"user": str(user), "role": member.role}
                for user, member in conversation.members.items()
            ],
        },
    )


def post(conversation: Conversation, command: SendMessage) -> Draft:
    """``message``: a member says something."""
    conversation.require_member(command.sender)
    return Draft(type="message", body={"text": command.text}, counts=True)


def add(conversation: Conversation, command: AddMembers) -> Draft:
    """``member.added``: owner and admins of a group bring people in."""
    actor = conversation.require_member(command.sender)
    if conversation.kind != "group":
        raise Refusal(
            "not_a_group",
            "Only a group can take more people; start a group with both.",
            field="conversation",
            status=409,
        )
    if actor.role not in ("owner", "admin"):
        raise Refusal(
            "not_allowed",
            "Only the group's owner and admins can add people.",
            status=403,
        )
    users = [
        user
        for user in dict.fromkeys(command.users)
        if user not in conversation.members
    ]
    if not users:
        raise Refusal(
            "already_members", "They are all in the group.", field="users", status=409
        )
    if len(conversation.members) + len(users) > GROUP_MEMBERS_MAX:
        raise Refusal(
            "group_full",
            f"A group has at most {GROUP_MEMBERS_MAX} members.",
            field="users",
            params={"limit": GROUP_MEMBERS_MAX},
            status=409,
        )
    for user in users:
        conversation.members[user] = Member(
            "member", conversation.last_seq + 1, conversation.last_n
        )
    return Draft(type="member.added", body={"users": [str(user) for user in users]})


def remove(conversation: Conversation, command: RemoveMember) -> Draft:
    """``member.removed``: one leaves, or is put out by owner or admin."""
    actor = conversation.require_member(command.sender)
    if conversation.kind != "group":
        raise Refusal(
            "not_a_group", "A direct conversation cannot be left.", status=409
        )
    target = conversation.members.get(command.user)
    if target is None:
        raise Refusal(
            "not_a_member", "They are not in the group.", field="user", status=404
        )
    if command.user != command.sender:
        rank = {"member": 0, "admin": 1, "owner": 2}
        if rank[actor.role] <= rank[target.role]:
            raise Refusal(
                "not_allowed",
                "Only the owner and admins can remove people of lower rank.",
                status=403,
            )
    del conversation.members[command.user]
    if target.role == "owner" and conversation.members:
        # the group must not be left without one: admins first, then who came first
        heir = min(
            conversation.members,
            key=lambda user: (
                conversation.members[user].role != "admin",
                conversation.members[user].joined_seq,
            ),
        )
        conversation.members[heir].role = "owner"
        conversation.owner = heir
        return Draft(
            type="member.removed",
            body={
                "user": str(command.user),
                "by": str(command.sender),
                "owner": str(heir),
            },
        )
    return Draft(
        type="member.removed",
        body={"user": str(command.user), "by": str(command.sender)},
    )
