"""The owner: numbers without holes, once, fenced, parked; over SQLite."""

import asyncio
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select, update

from salon.delivery import owner as owners
from salon.errors import Refusal, Unavailable
from salon.eventlog import topics
from salon.ids import ConversationId
from salon.store.database import Database
from salon.store.migrate import migrate
from salon.store.schema import applied, events
from tests.delivery.conftest import ANN, BOB, CAT, DAN, assemble, people


async def said(salon, sender, conversation, text, key=None):
    return await (
        await salon.chat.send(sender, conversation, key or f"key-{text}", text)
    )


async def test_messages_are_numbered_from_one_without_holes(salon):
    here = await salon.chat.direct(ANN, BOB)
    numbers = [(await said(salon, ANN, here, f"m{n}")).event.seq for n in range(20)]

    assert numbers == list(range(2, 22))  # 1 is conversation.created


async def test_the_same_client_id_gives_the_same_answer_and_one_message(salon):
    here = await salon.chat.direct(ANN, BOB)
    first = await said(salon, ANN, here, "hello", key="k")
    again = await said(salon, ANN, here, "hello", key="k")

    assert (first.duplicate, again.duplicate) == (False, True)
    assert first.event == again.event
    page, last = await salon.chat.page(ANN, here, after=None, before=None, limit=50)
    assert [e.body.get("text") for e in page] == [None, "hello"]
    assert last == 2


async def test_the_same_client_id_in_one_batch_is_one_message(salon):
    here = await salon.chat.direct(ANN, BOB)
    waiting = [await salon.chat.send(ANN, here, "k", "hello") for _ in range(10)]
    answers = await asyncio.gather(*waiting)

    assert [a.duplicate for a in answers].count(False) == 1
    assert {a.event.seq for a in answers} == {2}


async def test_the_same_client_id_with_another_text_is_refused(salon):
    here = await salon.chat.direct(ANN, BOB)
    await said(salon, ANN, here, "hello", key="k")

    with pytest.raises(Refusal) as refused:
        await said(salon, ANN, here, "something else", key="k")

    assert (refused.value.code, refused.value.status) == ("client_id_reused", 409)


async def test_an_outsider_is_refused_and_nobody_hears_of_it(salon):
    here = await salon.chat.direct(ANN, BOB)
    salon.told.of.clear()

    with pytest.raises(Refusal) as refused:
        await said(salon, CAT, here, "let me in")

    assert refused.value.code == "conversation_unknown"
    assert salon.told.of == {}


async def test_both_sides_may_begin_the_same_direct_conversation(salon):
    one, other = await asyncio.gather(
        salon.chat.direct(ANN, BOB), salon.chat.direct(BOB, ANN)
    )

    assert one == other
    assert (await salon.chat.summary(ANN, one))["last_seq"] == 1


async def test_a_group_with_a_stranger_is_refused(salon):
    with pytest.raises(Refusal) as refused:
        await salon.chat.group(ANN, "Art", [BOB, 99], "k")

    assert refused.value.code == "user_unknown"
    assert refused.value.params == {"users": ["99"]}


async def test_every_member_is_told_the_event_in_one_encoding(salon):
    here = await salon.chat.group(ANN, "Art", [BOB, CAT], "g")
    salon.told.of.clear()
    await said(salon, BOB, here, "look")

    bodies = {user: told[-1][1] for user, told in salon.told.of.items()}
    assert set(bodies) == {"1", "2", "3"}
    assert len({id(body) for body in bodies.values()}) == 1
    assert json.loads(bodies["1"])["body"] == {"text": "look"}


async def test_who_was_put_out_hears_that_and_nothing_after(salon):
    here = await salon.chat.group(ANN, "Art", [BOB, CAT], "g")
    salon.told.of.clear()
    await salon.chat.remove(ANN, here, CAT)
    await said(salon, ANN, here, "now we are two")

    told = [json.loads(body)["type"] for _, body in salon.told.of["3"]]
    assert told == ["conversation.removed"]
    with pytest.raises(Refusal):
        await salon.chat.page(CAT, here, after=None, before=None, limit=10)
    with pytest.raises(Refusal):
        await said(salon, CAT, here, "but I")


async def test_a_newcomer_sees_nothing_older_and_has_nothing_unread(salon):
    here = await salon.chat.group(ANN, "Art", [BOB], "g")
    await said(salon, ANN, here, "secret")
    await salon.chat.add(ANN, here, [DAN])
    await said(salon, ANN, here, "welcome")

    page, _ = await salon.chat.page(DAN, here, after=None, before=None, limit=50)
    summary = await salon.chat.summary(DAN, here)
    assert [event.type for event in page] == ["member.added", "message"]
    assert summary["first_seq"] == page[0].seq
    assert summary["last_n"] - summary["read_n"] == 1


async def test_ones_own_message_is_read_by_oneself(salon):
    here = await salon.chat.direct(ANN, BOB)
    await said(salon, ANN, here, "hello")

    mine, his = [await salon.chat.summary(user, here) for user in (ANN, BOB)]
    assert mine["last_n"] - mine["read_n"] == 0
    assert his["last_n"] - his["read_n"] == 1


async def test_the_read_cursor_never_goes_back(salon):
    here = await salon.chat.direct(ANN, BOB)
    for n in range(5):
        await said(salon, ANN, here, f"m{n}")
    await salon.chat.read(BOB, here, 5)
    await salon.chat.read(BOB, here, 3)

    assert (await salon.chat.summary(BOB, here))["read_seq"] == 5


async def test_a_cursor_beyond_the_end_stops_at_the_end(salon):
    here = await salon.chat.direct(ANN, BOB)
    await said(salon, ANN, here, "only one")
    await salon.chat.read(BOB, here, 1 << 40)

    summary = await salon.chat.summary(BOB, here)
    assert (summary["read_seq"], summary["read_n"]) == (2, 1)


async def test_time_never_falls_within_a_conversation(salon):
    here = await salon.chat.direct(ANN, BOB)
    salon.clock.advance(100)
    first = await said(salon, ANN, here, "late")
    salon.clock.advance(-100)
    second = await said(salon, ANN, here, "a clock that was set back")

    assert second.event.ts == first.event.ts


async def test_sync_gives_what_changed_since_the_token(salon):
    here = await salon.chat.direct(ANN, BOB)
    await said(salon, ANN, here, "one")
    token, _, first = await salon.chat.changes(BOB, None)
    await said(salon, ANN, here, "two")
    there = await salon.chat.direct(CAT, BOB)
    _, resync, second = await salon.chat.changes(BOB, token)

    assert [len(s.events) for s in first.summaries] == [2]
    assert not resync
    assert {s.conversation["id"]: len(s.events) for s in second.summaries} == {
        str(here): 1,
        str(there): 1,
    }


async def test_sync_with_a_foreign_token_starts_over(salon):
    await salon.chat.direct(ANN, BOB)
    _, resync, delta = await salon.chat.changes(BOB, "beef.7")

    assert resync
    assert len(delta.summaries) == 1


async def test_sync_names_conversations_that_one_was_removed_from(salon):
    here = await salon.chat.group(ANN, "Art", [BOB], "g")
    token, _, _ = await salon.chat.changes(BOB, None)
    await salon.chat.remove(ANN, here, BOB)
    _, _, delta = await salon.chat.changes(BOB, token)

    assert delta.removed == [here]
    assert delta.summaries == []


async def test_a_restarted_owner_goes_on_where_it_stopped(salon):
    here = await salon.chat.direct(ANN, BOB)
    await said(salon, ANN, here, "before")
    await salon.stop()
    pending = await salon.chat.send(ANN, here, "k", "while nobody owned it")
    again = assemble(salon.database, salon.log)
    again.receipts = salon.receipts
    again.owner = owners.Owner(again.ledgers, salon.fanout.deliver)
    again.start()
    applied_ = await pending
    await again.stop()

    assert applied_.event.seq == 3


async def test_an_owner_that_was_replaced_is_fenced(salon):
    here = await salon.chat.direct(ANN, BOB)
    await salon.database.write(
        lambda connection: connection.execute(update(applied).values(term=99))
    )
    await salon.chat.send(ANN, here, "k", "too late")
    await asyncio.sleep(0.3)

    page, _ = await salon.chat.page(ANN, here, after=None, before=None, limit=9)
    assert [event.type for event in page] == ["conversation.created"]


def partition_of(salon, conversation):
    key = str(conversation).encode()
    for partition, records in enumerate(salon.log._topics[topics.COMMANDS.name]):
        if any(record.key == key for record in records):
            return partition
    raise LookupError(conversation)


@pytest.fixture
async def apart(salon):
    """Two conversations in different partitions: what is sent to both at once comes
    to the owner as one batch."""
    here, there = await salon.chat.direct(ANN, BOB), await salon.chat.direct(CAT, DAN)
    assert partition_of(salon, here) != partition_of(salon, there)
    return here, there


async def test_a_partition_that_another_server_took_does_not_stop_the_rest(
    salon, apart
):
    here, there = apart
    taken = applied.c.partition == partition_of(salon, here)
    await salon.database.write(
        lambda connection: connection.execute(
            update(applied).where(taken).values(term=99)
        )
    )
    late = await salon.chat.send(ANN, here, "k", "too late")
    done = await said(salon, CAT, there, "hello")

    assert done.event.seq == 2
    assert not late.done()
    page, _ = await salon.chat.page(ANN, here, after=None, before=None, limit=9)
    assert [event.type for event in page] == ["conversation.created"]


async def test_poison_in_one_partition_does_not_stop_the_rest(salon, apart):
    here, there = apart
    key = str(here).encode()
    await salon.log.append(topics.COMMANDS.name, key, b"not json")
    done = await said(salon, CAT, there, "hello")

    assert done.event.seq == 2
    assert set(salon.owner.parked) == {partition_of(salon, here)}


async def test_a_record_that_is_no_command_parks_its_partition_and_says_so(salon):
    here = await salon.chat.direct(ANN, BOB)
    key = str(here).encode()
    await said(salon, ANN, here, "good")
    await (await salon.log.append(topics.COMMANDS.name, key, b"not json"))
    await salon.chat.send(ANN, here, "k", "after the poison")
    async with asyncio.timeout(5):
        while not salon.owner.parked:
            await asyncio.sleep(0.01)

    page, _ = await salon.chat.page(ANN, here, after=None, before=None, limit=9)
    assert [e.body.get("text") for e in page] == [None, "good"]
    ((_, reason),) = salon.owner.parked.items()
    assert "is no command" in reason


async def test_a_busy_database_is_waited_for_and_nothing_is_lost(salon, monkeypatch):
    here = await salon.chat.direct(ANN, BOB)
    real = salon.ledgers.transact
    failures = iter([True, True, False])

    async def sometimes(work):
        if next(failures, False):
            raise Unavailable("busy")
        return await real(work)

    monkeypatch.setattr(salon.ledgers, "transact", sometimes)
    applied_ = await said(salon, ANN, here, "in the end")

    assert applied_.event.seq == 2


async def test_a_failed_transaction_forgets_what_it_numbered(salon, monkeypatch):
    here = await salon.chat.direct(ANN, BOB)
    real = salon.ledgers.transact
    failed = []

    async def breaks_once(work):
        if not failed:
            failed.append(True)

            def then_break(ledger):
                work(ledger)
                raise Unavailable("the disk is full")

            return await real(then_break)
        return await real(work)

    monkeypatch.setattr(salon.ledgers, "transact", breaks_once)
    applied_ = await said(salon, ANN, here, "numbered twice, stored once")

    assert applied_.event.seq == 2


class _Folder:
    n = 0


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    script=st.lists(
        st.tuples(
            st.sampled_from([ANN, BOB, CAT, DAN]),
            st.integers(0, 2),
            st.integers(0, 12),
        ),
        min_size=1,
        max_size=40,
    ),
    crash_after=st.integers(0, 40),
)
async def test_whatever_is_sent_and_wherever_it_stops_numbers_are_dense(
    script, crash_after, tmp_path
):
    """Random senders, conversations and repeated keys; the owner starts anew once."""
    _Folder.n += 1
    database = Database(f"sqlite:///{tmp_path / f'{_Folder.n}.db'}")
    await database.write(migrate)
    await database.write(people)
    from salon.eventlog.memory import MemoryLog

    log = MemoryLog()
    await log.ensure([topics.COMMANDS])
    salon = assemble(database, log)
    salon.start()
    here = [
        await salon.chat.direct(ANN, BOB),
        await salon.chat.group(ANN, "Art", [BOB, CAT], "g"),
        ConversationId(12345),
    ]
    waiting = []
    for step, (sender, place, key) in enumerate(script):
        if step == crash_after:
            await salon.stop()
            salon.owner = owners.Owner(salon.ledgers, salon.fanout.deliver)
            salon.start()
        waiting.append(await salon.chat.send(sender, here[place], f"k{key}", f"t{key}"))
    answers = await asyncio.gather(*waiting, return_exceptions=True)
    await salon.stop()
    rows = await database.read(
        lambda connection: connection.execute(
            select(events.c.conv_id, events.c.seq, events.c.n).order_by(
                events.c.conv_id, events.c.seq
            )
        ).all()
    )
    await database.close()

    for conversation in here[:2]:
        mine = [row for row in rows if row.conv_id == conversation]
        assert [row.seq for row in mine] == list(range(1, len(mine) + 1))
        counted = [row.n for row in mine if row.n is not None]
        assert counted == list(range(1, len(counted) + 1))
    ok = [answer for answer in answers if not isinstance(answer, Exception)]
    assert len({(a.event.conversation, a.event.seq) for a in ok}) == len(rows) - 2
    assert all(isinstance(a, Refusal) for a in answers if isinstance(a, Exception))


async def test_a_first_sync_names_every_conversation_and_grows_little(
    salon, monkeypatch
):
    from salon.store import history

    monkeypatch.setattr(history, "FIRST_CONVERSATIONS", 2)
    for n in range(4):
        here = await salon.chat.group(ANN, f"Group {n}", [BOB], f"g{n}")
        await said(salon, ANN, here, f"first of {n}", key=f"a{n}")
        await said(salon, ANN, here, f"last of {n}", key=f"b{n}")
    _, _, delta = await salon.chat.changes(BOB, None)

    assert [len(s.events) for s in delta.summaries] == [3, 3, 1, 1]
    assert [s.limited for s in delta.summaries] == [False, False, True, True]
    assert delta.summaries[3].events[0].body == {"text": "last of 0"}
