"""Exactly one end, whoever sends which command when; over the real rows."""

import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from sqlalchemy import create_engine, select

from salon.chat.conversations import Conversation, Member
from salon.errors import Refusal
from salon.ids import ConversationId, FileId, JobId, UserId
from salon.pictures import rules
from salon.pictures.commands import (
    CancelPicture,
    FailPicture,
    FinishPicture,
    PictureNote,
    RequestPicture,
    end_key,
)
from salon.pictures.jobs import OPEN_IN_ALL, OPEN_PER_USER
from salon.store.pictures import PictureRows
from salon.store.schema import file_links, metadata

ADMIN, ANN, BOB, STRANGER = (UserId(n) for n in (1, 2, 3, 9))
HERE = ConversationId(7)


def group(last_seq=4):
    roles = {ADMIN: "owner", ANN: "member", BOB: "member"}
    return Conversation(
        id=HERE,
        kind="group",
        name="g",
        owner=ADMIN,
        pair_key=None,
        created=0,
        members={user: Member(role, 1) for user, role in roles.items()},
        last_seq=last_seq,
    )


def envelope(sender, key):
    return {
        "id": "i",
        "conversation": HERE,
        "sender": sender,
        "client_id": key,
        "node": "n",
        "ts": 1000,
    }


def request(job, sender=ANN, steps=12, guidance=1.8):
    return RequestPicture(
        **envelope(sender, f"k{job}"),
        job=JobId(job),
        prompt="red heart",
        negative="",
        seed=7,
        steps=steps,
        guidance=guidance,
        deadline=601_000,
    )


def finish(job, file=5, attempt=1, **said):
    return FinishPicture(
        **envelope(ANN, end_key(JobId(job), "done")),
        job=JobId(job),
        attempt=attempt,
        file=FileId(file),
        width=128,
        height=96,
        model="m",
        elapsed_ms=250,
        **said,
    )


def fail(job):
    key = end_key(JobId(job), "failed")
    return FailPicture(**envelope(ANN, key), job=JobId(job), code="c", reason="why")


def cancel(job, sender=ANN):
    return CancelPicture(
        **envelope(sender, end_key(JobId(job), "cancelled")), job=JobId(job)
    )


@pytest.fixture
def ledger():
    engine = create_engine("sqlite://")
    metadata.create_all(engine)
    with engine.begin() as connection:
        yield PictureRows(connection)
    engine.dispose()


def refusal(call, *args):
    with pytest.raises(Refusal) as refused:
        call(*args)
    return refused.value.code


def test_a_request_becomes_a_queued_picture_under_the_next_number(ledger):
    draft = rules.request(ledger, group(last_seq=4), request(1))

    assert draft.type == "picture"
    assert draft.counts
    assert draft.body == {
        "job": "1",
        "prompt": "red heart",
        "negative": "",
        "seed": 7,
        "steps": 12,
        "guidance": 1.8,
        "state": "queued",
    }
    job = ledger.job(JobId(1))
    assert (job.seq, job.state, job.user, job.deadline) == (5, "queued", ANN, 601_000)


def test_a_finish_shows_in_the_stream_and_in_the_picture_itself(ledger):
    rules.request(ledger, group(), request(1))
    draft = rules.finish(ledger, group(6), finish(1))

    assert (draft.type, draft.target, draft.counts) == ("picture.updated", 5, False)
    assert draft.body == {
        "job": "1",
        "state": "done",
        "file": "5",
        "width": 128,
        "height": 96,
        "seed": 7,
        "model": "m",
        "elapsed_ms": 250,
    }
    assert draft.merge == {k: v for k, v in draft.body.items() if k != "job"}
    links = ledger._connection.execute(select(file_links)).all()
    assert links == [(5, HERE, 5)]  # who sees the picture's event sees the file


def test_a_picture_of_something_else_says_of_what(ledger):
    rules.request(ledger, group(), request(1))
    draft = rules.finish(ledger, group(6), finish(1, drawn_as="magic wand"))

    assert draft.body["drawn_as"] == draft.merge["drawn_as"] == "magic wand"


def test_what_is_left_to_the_model_is_not_said_until_it_is_drawn(ledger):
    asked = request(1, steps=None, guidance=None)
    draft = rules.request(ledger, group(), asked)
    assert not draft.body.keys() & {"steps", "guidance"}
    assert (ledger.job(JobId(1)).steps, ledger.job(JobId(1)).guidance) == (None, None)

    draft = rules.finish(ledger, group(6), finish(1, steps=25, guidance=0.0))
    assert (draft.body["drawn_steps"], draft.merge["drawn_guidance"]) == (25, 0.0)


def test_what_the_model_wants_to_tell_is_in_the_stream(ledger):
    rules.request(ledger, group(), request(1))
    note = PictureNote("prompt_cut", "cut at 77", {"room": 77, "lost": "fox"})
    draft = rules.finish(ledger, group(6), finish(1, notes=(note,)))

    assert draft.body["notes"] == draft.merge["notes"]
    assert draft.body["notes"] == [
        {
            "code": "prompt_cut",
            "message": "cut at 77",
            "params": {"room": 77, "lost": "fox"},
        }
    ]


def test_a_request_sent_again_across_the_upgrade_is_the_same_request():
    """Once every request had numbers; a client's outbox may outlive the server."""
    once = request(1)
    now = request(1, steps=None, guidance=None)

    assert now.digest() == once.digest()
    assert request(1, steps=13).digest() != once.digest()


def test_commands_of_before_are_still_read():
    """As the log of an older server holds them: with numbers, without what is new."""
    asked = (
        b'{"type":"picture","id":"i","conversation":7,"sender":1,"client_id":"k",'
        b'"node":"n","ts":1,"job":1,"prompt":"fox","negative":"","seed":7,'
        b'"steps":12,"guidance":1.8,"deadline":9}'
    )
    done = (
        b'{"type":"picture.done","id":"i","conversation":7,"sender":1,'
        b'"client_id":"k","node":"n","ts":1,"job":1,"attempt":1,"file":5,"width":1,'
        b'"height":1,"model":"m","elapsed_ms":2,"drawn_as":null}'
    )
    request_, finish_ = (
        msgspec.json.decode(data, type=RequestPicture | FinishPicture)
        for data in (asked, done)
    )

    assert (request_.steps, request_.guidance) == (12, 1.8)
    assert (finish_.steps, finish_.guidance, finish_.notes) == (None, None, ())


def test_a_failure_says_why(ledger):
    rules.request(ledger, group(), request(1))
    draft = rules.fail(ledger, group(), fail(1))

    assert draft.body == {"job": "1", "state": "failed", "reason": "why", "code": "c"}


@pytest.mark.parametrize("who", [ANN, ADMIN])
def test_the_asker_and_an_admin_may_cancel(ledger, who):
    rules.request(ledger, group(), request(1))
    draft = rules.cancel(ledger, group(), cancel(1, who))

    assert draft.body == {"job": "1", "state": "cancelled", "by": str(who)}


def test_others_may_not_cancel_and_strangers_learn_nothing(ledger):
    rules.request(ledger, group(), request(1))

    assert refusal(rules.cancel, ledger, group(), cancel(1, BOB)) == "not_allowed"
    here = refusal(rules.cancel, ledger, group(), cancel(1, STRANGER))
    nowhere = refusal(rules.cancel, ledger, group(), cancel(2, STRANGER))
    assert here == nowhere == "job_unknown"


def test_a_job_of_another_conversation_is_unknown(ledger):
    rules.request(ledger, group(), request(1))
    elsewhere = group()
    elsewhere.id = ConversationId(8)

    for end, command in (
        (rules.finish, finish(1)),
        (rules.fail, fail(1)),
        (rules.cancel, cancel(1)),
    ):
        assert refusal(end, ledger, elsewhere, command) == "job_unknown"
    assert ledger.job(JobId(1)).open


def test_a_stranger_cannot_ask(ledger):
    code = refusal(rules.request, ledger, group(), request(1, STRANGER))

    assert code == "conversation_unknown"


def test_a_job_number_is_used_once(ledger):
    rules.request(ledger, group(), request(1))

    assert refusal(rules.request, ledger, group(), request(1, BOB)) == "job_exists"


def test_nobody_has_more_than_three_open_and_an_end_frees_the_place(ledger):
    for number in range(OPEN_PER_USER):
        rules.request(ledger, group(), request(number))

    assert refusal(rules.request, ledger, group(), request(99)) == "too_many_pictures"
    rules.request(ledger, group(), request(50, BOB))
    rules.cancel(ledger, group(), cancel(0))
    rules.request(ledger, group(), request(99))


def test_the_server_has_a_limit_too(ledger):
    here = group()
    for number in range(OPEN_IN_ALL):
        user = UserId(100 + number)
        here.members[user] = Member("member", 1)
        rules.request(ledger, here, request(number, user))

    assert refusal(rules.request, ledger, here, request(999)) == "queue_full"


def test_the_deadline_is_no_part_of_what_was_asked():
    once = request(1)
    later = RequestPicture(
        **{
            **{f: getattr(once, f) for f in once.__struct_fields__},
            "deadline": 5,
            "ts": 9,
        }
    )

    assert once.digest() == later.digest()
    assert once.digest() != request(2).digest()


def test_nobody_can_use_up_the_key_of_an_end():
    assert not end_key(JobId(1), "done").isprintable()
    assert len(end_key(JobId(2**62), "cancelled")) <= 64


class OneEnd(RuleBasedStateMachine):
    """Any commands in any order: each accepted job has at most one end, for ever."""

    def __init__(self):
        super().__init__()
        self.engine = create_engine("sqlite://")
        metadata.create_all(self.engine)
        self.connection = self.engine.connect()
        self.ledger = PictureRows(self.connection)
        self.here = group()
        self.accepted: set[int] = set()
        self.ends: dict[int, str] = {}
        self.made = 0

    def teardown(self):
        self.connection.close()
        self.engine.dispose()

    @rule(sender=st.sampled_from([ADMIN, ANN, BOB, STRANGER]))
    def ask(self, sender):
        self.made += 1
        mine = self.ledger.open_jobs(sender)
        try:
            rules.request(self.ledger, self.here, request(self.made, sender))
        except Refusal:
            assert sender == STRANGER or mine == OPEN_PER_USER
        else:
            assert mine < OPEN_PER_USER
            self.accepted.add(self.made)

    @precondition(lambda self: self.made)
    @rule(
        end=st.sampled_from(["finish", "fail", "cancel", "cancel as admin"]),
        data=st.data(),
    )
    def end(self, end, data):
        number = data.draw(st.integers(1, self.made + 1))
        call, command = {
            "finish": (rules.finish, finish(number, file=number)),
            "fail": (rules.fail, fail(number)),
            "cancel": (rules.cancel, cancel(number)),
            "cancel as admin": (rules.cancel, cancel(number, ADMIN)),
        }[end]
        ended_before = number in self.ends
        code = None
        try:
            draft = call(self.ledger, self.here, command)
            self.ends[number] = draft.body["state"]
        except Refusal as refused:
            code = refused.code
        if number not in self.accepted:
            assert code == "job_unknown"
        elif ended_before:
            assert code in ("job_ended", "not_allowed")
        else:
            assert code in (None, "not_allowed")

    @rule(number=st.integers(1, 10), lease=st.booleans())
    def lease(self, number, lease):
        """Leases come and go beside the rules."""
        from salon.store.pictures import _lease, _release

        job = self.ledger.job(JobId(number))
        if job is None:
            return
        if lease:
            got = _lease(self.connection, job.id, job.attempt + 1, "w", 5)
            assert got == (job.state == "queued")
        else:
            assert _release(self.connection, job.id, job.attempt) == (
                job.state == "leased"
            )

    @invariant()
    def rows_tell_the_same(self):
        for number in self.accepted:
            job = self.ledger.job(JobId(number))
            assert job.open == (number not in self.ends)
            if not job.open:
                assert job.state == self.ends[number]
        assert self.ledger.open_jobs() == len(self.accepted) - len(self.ends)


OneEnd.TestCase.settings = settings(
    max_examples=40, stateful_step_count=30, deadline=None
)
TestOneEnd = OneEnd.TestCase
