"""Turns go round people."""

from hypothesis import given
from hypothesis import strategies as st

from salon.ids import ConversationId, JobId, UserId
from salon.pictures.fairness import FairQueue
from salon.pictures.jobs import Job


def job(number, user):
    return Job(
        id=JobId(number),
        conversation=ConversationId(1),
        seq=number,
        user=UserId(user),
        prompt="x",
        negative="",
        seed=1,
        steps=10,
        guidance=1.0,
        created=0,
        deadline=0,
    )


def queue_of(*users):
    queue = FairQueue()
    for number, user in enumerate(users, start=1):
        queue.add(job(number, user))
    return queue


def users(jobs):
    return [each.user for each in jobs]


def test_second_pictures_come_after_everybodys_first():
    queue = queue_of(1, 1, 1, 2, 3)

    assert users(queue.order()) == [1, 2, 3, 1, 1]


def test_what_is_being_drawn_counts_as_ones_turn():
    queue = queue_of(1, 1)
    queue.take()
    queue.add(job(9, 2))

    assert users(queue.order()) == [2, 1]


def test_who_was_served_longer_ago_comes_first():
    queue = queue_of(1, 1, 2, 2)
    for _ in range(2):
        served = queue.take()
        queue.remove(served.id)
    queue.add(job(9, 3))

    assert users(queue.order()) == [1, 2, 3]


def test_a_job_given_back_was_never_taken():
    queue = queue_of(1, 2, 1)
    before = queue.order()
    queue.give_back(queue.take())

    assert queue.order() == before


def test_a_stream_of_newcomers_starves_nobody():
    queue = queue_of(1, 1)
    queue.remove(queue.take().id)
    for number in range(10, 15):
        queue.add(job(number, number))
        if queue.take().user == 1:
            break
    else:
        raise AssertionError("user 1 waits for ever")


@given(
    st.lists(st.sampled_from(["add", "take", "end", "give back"]), max_size=60),
    st.data(),
)
def test_nobodys_second_is_before_anybodys_first(actions, data):
    queue = FairQueue()
    drawing = []
    for number, action in enumerate(actions):
        if action == "add":
            queue.add(job(number, data.draw(st.integers(1, 4))))
        elif action == "take":
            order = queue.order()
            taken = queue.take()
            assert taken == (order[0] if order else None)
            drawing += [taken] if taken else []
        elif drawing:
            each = drawing.pop()
            if action == "end":
                queue.remove(each.id)
            else:
                queue.give_back(each)
        had = {user: sum(d.user == user for d in drawing) for user in range(1, 5)}
        ranks = []
        for each in queue.order():
            ranks.append(had[each.user])
            had[each.user] += 1
        assert ranks == sorted(ranks)
    for each in [*drawing, *queue.order()]:
        queue.remove(each.id)
    assert not queue._served
    assert not queue._served_before
    assert not queue._arrived
