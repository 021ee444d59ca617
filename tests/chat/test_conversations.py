"""The rules of a conversation: plain values in, drafts and refusals out."""

import pytest

from salon.chat import conversations
from salon.chat.commands import (
    AddMembers,
    CreateConversation,
    RemoveMember,
    SendMessage,
    pair_id,
)
from salon.errors import Refusal
from salon.ids import ConversationId, UserId

ANN, BOB, CAT, DAN = (UserId(n) for n in (1, 2, 3, 4))
HERE = ConversationId(7)


def envelope(sender=ANN, client_id="c"):
    return {
        "id": "x",
        "conversation": HERE,
        "sender": sender,
        "client_id": client_id,
        "node": "n",
        "ts": 1000,
    }


@pytest.fixture
def group():
    made = conversations.create(
        CreateConversation(**envelope(), kind="group", name="Art", members=[BOB, CAT])
    )
    made.last_seq = 5
    made.last_n = 3
    return made


def test_the_one_who_makes_a_group_owns_it(group):
    assert group.owner == ANN
    assert [m.role for m in group.members.values()] == ["owner", "member", "member"]


def test_both_sides_of_a_direct_conversation_derive_the_same_id():
    assert pair_id(ANN, BOB) == pair_id(BOB, ANN)
    assert pair_id(ANN, BOB) != pair_id(ANN, CAT)


def test_an_outsider_cannot_tell_a_foreign_conversation_from_none(group):
    with pytest.raises(Refusal) as refused:
        conversations.post(group, SendMessage(**envelope(DAN), text="hi"))

    assert refused.value.code == "conversation_unknown"
    assert refused.value.message == conversations.unknown().message


def test_a_newcomer_sees_from_the_event_that_brought_him(group):
    conversations.add(group, AddMembers(**envelope(), users=[DAN]))

    assert group.members[DAN].joined_seq == 6
    assert group.members[DAN].visible_n == 3


def test_only_owner_and_admins_add(group):
    with pytest.raises(Refusal) as refused:
        conversations.add(group, AddMembers(**envelope(BOB), users=[DAN]))

    assert refused.value.code == "not_allowed"


def test_adding_those_who_are_there_is_refused_in_words(group):
    with pytest.raises(Refusal) as refused:
        conversations.add(group, AddMembers(**envelope(), users=[BOB]))

    assert refused.value.code == "already_members"


def test_a_group_never_grows_beyond_its_limit(group, monkeypatch):
    monkeypatch.setattr(conversations, "GROUP_MEMBERS_MAX", 3)

    with pytest.raises(Refusal) as refused:
        conversations.add(group, AddMembers(**envelope(), users=[DAN]))

    assert refused.value.code == "group_full"
    assert DAN not in group.members


def test_a_member_cannot_put_another_out(group):
    with pytest.raises(Refusal) as refused:
        conversations.remove(group, RemoveMember(**envelope(BOB), user=CAT))

    assert refused.value.code == "not_allowed"
    assert CAT in group.members


def test_when_the_owner_leaves_the_longest_member_inherits(group):
    draft = conversations.remove(group, RemoveMember(**envelope(ANN), user=ANN))

    assert group.owner == BOB
    assert group.members[BOB].role == "owner"
    assert draft.body == {"user": "1", "by": "1", "owner": "2"}


def test_an_admin_inherits_before_a_longer_member(group):
    group.members[CAT].role = "admin"

    conversations.remove(group, RemoveMember(**envelope(ANN), user=ANN))

    assert group.owner == CAT


def test_a_direct_conversation_cannot_be_left_or_grow():
    made = conversations.create(
        CreateConversation(**envelope(), kind="single", name="", members=[BOB])
    )
    for rule, command in (
        (conversations.remove, RemoveMember(**envelope(), user=ANN)),
        (conversations.add, AddMembers(**envelope(), users=[CAT])),
    ):
        with pytest.raises(Refusal) as refused:
            rule(made, command)
        assert refused.value.code == "not_a_group"


def test_the_same_wish_has_the_same_digest_whatever_the_try():
    first = SendMessage(**envelope(), text="hi")
    again = SendMessage(**{**envelope(), "id": "y", "node": "m", "ts": 9}, text="hi")
    other = SendMessage(**envelope(), text="ho")

    assert first.digest() == again.digest()
    assert first.digest() != other.digest()
