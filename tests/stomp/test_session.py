"""Points C10 to C27 of the STOMP checklist, as far as the session decides them."""

import random

import pytest

from salon.stomp.codec import Decoder, Limits, encode
from salon.stomp.errors import (
    FrameTooLarge,
    MalformedFrame,
    RemoteProtocolError,
    UnexpectedFrame,
    UnsupportedFrame,
    UnsupportedVersion,
)
from salon.stomp.events import (
    Abort,
    Ack,
    Begin,
    Commit,
    Connect,
    Disconnect,
    Held,
    Nack,
    Send,
    Subscribe,
    Unsubscribe,
)
from salon.stomp.frames import SERVER_COMMANDS, Frame, Version
from salon.stomp.session import (
    HEART_BEAT,
    HeartBeats,
    ServerSession,
    SessionLimits,
    State,
    negotiate,
)
from tests.wire import network  # noqa: F401 - a fixture

pytestmark = pytest.mark.usefixtures("network")


def events(session, data):
    session.receive(data)
    found = []
    while (event := session.next_event()) is not None:
        found.append(event)
    return found


def connected(version="1.2", **options):
    session = ServerSession(**options)
    [event] = events(session, f"CONNECT\naccept-version:{version}\n\n\0".encode())
    assert isinstance(event, Connect)
    session.connected("s1", "42", "Salon/1")
    return session


def parsed(data, version=Version.V12):
    decoder = Decoder(commands=SERVER_COMMANDS)
    decoder.version = version
    [frame] = decoder.feed(data)
    return frame


class TestConnect:
    @pytest.mark.parametrize("command", ["CONNECT", "STOMP"])
    def test_both_names_begin_a_session(self, command):
        session = ServerSession()
        data = f"{command}\naccept-version:1.2\nhost:h\nlogin:a\npasscode:b\n\n\0"
        [event] = events(session, data.encode())

        assert (event.version, event.host) == (Version.V12, "h")
        assert (event.login, event.passcode) == ("a", "b")
        assert session.state is State.CONNECTING

    @pytest.mark.parametrize(
        ("accepted", "version"),
        [
            (None, "1.0"),
            ("1.0", "1.0"),
            ("1.1,1.0", "1.1"),
            ("1.0,1.1,1.2", "1.2"),
            ("1.2, 1.1", "1.2"),
            ("1.1,9.9", "1.1"),
        ],
    )
    def test_the_highest_common_version_is_chosen(self, accepted, version):
        assert negotiate(accepted).value == version

    @pytest.mark.parametrize("accepted", ["", "2.0", "1.3,1.4", "1.2x"])
    def test_without_a_common_version_the_error_lists_ours(self, accepted):
        session = ServerSession()
        session.receive(f"CONNECT\naccept-version:{accepted}\n\n\0".encode())
        with pytest.raises(UnsupportedVersion) as caught:
            session.next_event()
        frame = parsed(session.failed(caught.value))

        assert frame.command == "ERROR"
        assert frame.get("version") == "1.2,1.1,1.0"
        assert frame.get("code") == "unsupported_version"

    def test_what_stomp_js_2_3_3_sends_is_accepted(self):
        """No host, unknown headers, 1.1 first, names with spaces unescaped."""
        session = ServerSession()
        [event] = events(
            session,
            b"CONNECT\nUser-ID:1700000000000\nUser-Name:B A:S\n"
            b"accept-version:1.1,1.0\nheart-beat:10000,10000\n\n\0",
        )

        assert event.version is Version.V11
        assert event.host is None
        assert ("User-Name", "B A:S") in event.headers

    def test_a_1_0_client_may_write_spaces_after_its_colons(self):
        [event] = events(ServerSession(), b"CONNECT\nlogin: ann\npasscode: x y\n\n\0")

        assert (event.login, event.passcode) == ("ann", "x y")

    @pytest.mark.parametrize(
        "frame",
        [
            b"SEND\ndestination:/a\n\n\0",
            b"SUBSCRIBE\nid:0\ndestination:/a\n\n\0",
            b"DISCONNECT\n\n\0",
            b"BEGIN\ntransaction:1\n\n\0",
        ],
    )
    def test_nothing_else_may_come_first(self, frame):
        with pytest.raises(UnexpectedFrame, match="first frame"):
            events(ServerSession(), frame)

    @pytest.mark.parametrize("command", ["CONNECT", "STOMP"])
    def test_a_second_connect_is_an_error(self, command):
        with pytest.raises(UnexpectedFrame, match="already"):
            events(connected(), f"{command}\naccept-version:1.2\n\n\0".encode())

    def test_frames_wait_undecoded_until_connected(self):
        session = ServerSession()
        data = b"CONNECT\naccept-version:1.1\n\n\0SEND\ndestination:/a\\cb\n\nx\0"
        [connect] = events(session, data)
        assert session.buffered > 0
        session.connected("s", "u", "Salon")

        assert connect.version is Version.V11
        assert session.next_event() == Send(
            "/a:b", (("destination", "/a:b"),), b"x", None
        )
        assert session.buffered == 0

    def test_connected_says_who_and_what(self):
        session = ServerSession()
        events(session, b"CONNECT\naccept-version:1.2\n\n\0")
        frame = parsed(session.connected("s1", "42", "Salon/1"))

        assert frame == Frame(
            "CONNECTED",
            (
                ("version", "1.2"),
                ("session", "s1"),
                ("server", "Salon/1"),
                ("heart-beat", "10000,10000"),
                ("user-name", "42"),
            ),
        )


class TestHeartBeats:
    @pytest.mark.parametrize(
        ("wish", "offer", "send", "expect"),
        [
            ("", "10000,10000", 0, 0),
            ("heart-beat:0,0\n", "10000,10000", 0, 0),
            ("heart-beat:10000,10000\n", "10000,10000", 10, 10),
            ("heart-beat:4000,5000\n", "5000,4000", 5, 4),
            ("heart-beat:1,1\n", "1000,1000", 1, 1),
            ("heart-beat:60000,30000\n", "10000,10000", 30, 60),
            ("heart-beat:0,2000\n", "2000,10000", 2, 0),
            ("heart-beat:2000,0\n", "10000,2000", 0, 2),
        ],
    )
    def test_the_greater_of_offer_and_wish_counts(self, wish, offer, send, expect):
        session = ServerSession()
        events(session, f"CONNECT\naccept-version:1.2\n{wish}\n\0".encode())
        frame = parsed(session.connected("s", "u", "Salon"))

        assert frame.get("heart-beat") == offer
        assert (session.send_every, session.expect_every) == (send, expect)

    @pytest.mark.parametrize(
        "value", ["", "1", "1,2,3", "-1,0", "a,b", "1.5,2", " 1,2"]
    )
    def test_a_bad_value_is_an_error(self, value):
        with pytest.raises(MalformedFrame, match="heart-beat"):
            events(
                ServerSession(),
                f"CONNECT\naccept-version:1.2\nheart-beat:{value}\n\n\0".encode(),
            )

    def test_a_heart_beat_is_one_lf_and_no_event(self):
        assert HEART_BEAT == b"\n"
        assert events(connected(), HEART_BEAT * 3) == []

    def test_other_bounds_may_be_set(self):
        beats = HeartBeats(shortest=5000, preferred=20000)

        assert [beats.offer(ms) for ms in (0, 1000, 7000, 30000)] == [
            20000,
            5000,
            7000,
            20000,
        ]


class TestSend:
    def test_send_carries_all_headers(self):
        data = b"SEND\ndestination:/app/a\nx:1\nx:2\nreceipt:r\n\nhi\0"
        [event] = events(connected(), data)

        assert event == Send(
            "/app/a",
            (
                ("destination", "/app/a"),
                ("x", "1"),
                ("x", "2"),
                ("receipt", "r"),
            ),
            b"hi",
            "r",
        )

    @pytest.mark.parametrize("head", ["", "destination:\n"])
    @pytest.mark.parametrize("command", ["SEND", "SUBSCRIBE"])
    def test_a_destination_is_required(self, command, head):
        with pytest.raises(MalformedFrame, match="destination"):
            events(connected(), f"{command}\nid:1\n{head}\n\0".encode())

    def test_an_error_names_the_receipt_of_the_frame_to_blame(self):
        session = connected()
        session.receive(b"SEND\nreceipt:9\n\n\0")
        with pytest.raises(MalformedFrame) as caught:
            session.next_event()
        frame = parsed(session.failed(caught.value))

        assert frame.get("receipt-id") == "9"
        assert frame.get("code") == "malformed_frame"
        assert frame.get("message") == "SEND needs the header destination"
        assert frame.get("content-type") == "text/plain"
        assert frame.body == b"SEND needs the header destination"
        assert session.state is State.ENDED


class TestSubscribe:
    def test_subscribe_and_unsubscribe_by_id(self):
        session = connected()
        found = events(
            session,
            b"SUBSCRIBE\nid:0\ndestination:/topic/a\nack:auto\nreceipt:1\n\n\0"
            b"UNSUBSCRIBE\nid:0\nreceipt:2\n\n\0",
        )

        assert isinstance(found[0], Subscribe)
        assert (found[0].id, found[0].destination) == ("0", "/topic/a")
        assert (found[0].receipt, found[0].named) == ("1", True)
        assert found[1] == Unsubscribe("0", "2")

    def test_an_id_can_be_used_again_after_unsubscribe(self):
        frame = b"SUBSCRIBE\nid:0\ndestination:/topic/a\n\n\0"
        session = connected()

        assert len(events(session, frame + b"UNSUBSCRIBE\nid:0\n\n\0" + frame)) == 3

    def test_a_duplicate_id_is_an_error(self):
        frame = b"SUBSCRIBE\nid:0\ndestination:/topic/a\n\n\0"
        with pytest.raises(UnexpectedFrame, match="'0' exists"):
            events(connected(), frame + frame)

    @pytest.mark.parametrize("version", ["1.1", "1.2"])
    def test_from_1_1_on_an_id_is_required(self, version):
        with pytest.raises(MalformedFrame, match="id"):
            events(connected(version), b"SUBSCRIBE\ndestination:/topic/a\n\n\0")
        with pytest.raises(MalformedFrame, match="id"):
            events(connected(version), b"UNSUBSCRIBE\ndestination:/topic/a\n\n\0")

    def test_in_1_0_the_destination_may_stand_for_the_id(self):
        found = events(
            connected("1.0"),
            b"SUBSCRIBE\ndestination:/topic/a\n\n\0"
            b"UNSUBSCRIBE\ndestination:/topic/a\n\n\0",
        )

        assert (found[0].id, found[0].named) == ("/topic/a", False)
        assert found[1] == Unsubscribe("/topic/a")

    def test_an_unknown_id_cannot_be_unsubscribed(self):
        with pytest.raises(UnexpectedFrame, match="no subscription"):
            events(connected(), b"UNSUBSCRIBE\nid:7\n\n\0")

    @pytest.mark.parametrize("mode", ["auto", "client", "client-individual"])
    def test_the_ack_mode_is_part_of_the_event(self, mode):
        data = f"SUBSCRIBE\nid:0\ndestination:/a\nack:{mode}\n\n\0"
        [event] = events(connected(), data.encode())

        assert event.ack == mode

    def test_without_an_ack_header_it_is_auto(self):
        [event] = events(connected(), b"SUBSCRIBE\nid:0\ndestination:/a\n\n\0")

        assert event.ack == "auto"

    def test_a_selector_is_refused_and_not_left_out(self):
        """A subscriber who asked for some of it must not get all of it."""
        data = b"SUBSCRIBE\nid:0\ndestination:/a\nselector:a = 1\nreceipt:5\n\n\0"
        session = connected()
        session.receive(data)
        with pytest.raises(UnsupportedFrame, match="selectors") as caught:
            session.next_event()
        frame = parsed(session.failed(caught.value))

        assert (frame.get("code"), frame.get("receipt-id")) == ("unsupported", "5")

    @pytest.mark.parametrize("mode", ["", "Auto", "none"])
    def test_an_unknown_ack_mode_is_an_error(self, mode):
        data = f"SUBSCRIBE\nid:0\ndestination:/a\nack:{mode}\n\n\0"
        with pytest.raises(MalformedFrame, match="ack"):
            events(connected(), data.encode())

    def test_subscriptions_are_limited(self):
        session = connected(limits=SessionLimits(subscriptions=3))
        for i in range(3):
            events(session, b"SUBSCRIBE\nid:%d\ndestination:/a\n\n\0" % i)

        with pytest.raises(FrameTooLarge, match="3 subscriptions"):
            events(session, b"SUBSCRIBE\nid:3\ndestination:/a\n\n\0")

    def test_two_hundred_are_allowed_by_default(self):
        assert SessionLimits().subscriptions == 200


def acks(version, *heads, command="ACK"):
    data = "".join(f"{command}\n{head}\n\0" for head in heads)
    return events(connected(version), data.encode())


class TestAck:
    """Point C21: one form for each version."""

    def test_1_2_names_it_by_id(self):
        [event] = acks("1.2", "id:7\nreceipt:r\n")

        assert (event.id, event.message_id, event.receipt) == ("7", None, "r")

    @pytest.mark.parametrize("version", ["1.1", "1.2"])
    def test_1_1_names_it_by_message_and_subscription_and_1_2_takes_that(self, version):
        [event] = acks(version, "subscription:s\nmessage-id:m\n")

        assert (event.id, event.message_id, event.subscription) == (None, "m", "s")

    def test_1_0_names_it_by_message_alone(self):
        [event] = acks("1.0", "message-id:m\n")

        assert (event.id, event.message_id, event.subscription) == (None, "m", None)

    def test_an_id_means_nothing_before_1_2(self):
        """stomp.js sends it beside the headers of 1.1."""
        [event] = acks("1.1", "id:x\nmessage-id:m\nsubscription:s\n")

        assert (event.id, event.message_id) == (None, "m")

    def test_nack_is_an_event_of_its_own(self):
        [event] = acks("1.2", "id:7\nrequeue:false\n", command="NACK")

        assert isinstance(event, Nack)
        assert ("requeue", "false") in event.headers

    @pytest.mark.parametrize(
        ("version", "head", "missing"),
        [
            ("1.0", "", "message-id"),
            ("1.1", "message-id:m\n", "subscription"),
            ("1.1", "subscription:s\n", "message-id"),
            ("1.2", "", "header id"),
            ("1.2", "message-id:m\n", "subscription"),
        ],
    )
    @pytest.mark.parametrize("command", ["ACK", "NACK"])
    def test_what_it_needs_is_said(self, version, head, missing, command):
        if version == "1.0" and command == "NACK":
            missing = "not part of STOMP 1.0"
        with pytest.raises(RemoteProtocolError, match=missing):
            acks(version, head, command=command)

    def test_1_0_has_no_nack(self):
        with pytest.raises(UnexpectedFrame, match=r"1\.0"):
            acks("1.0", "message-id:m\n", command="NACK")


def transaction(command, name="t", head=""):
    return f"{command}\ntransaction:{name}\n{head}\n\0".encode()


class TestTransactions:
    """Point C24, as far as the session decides it."""

    def test_what_is_held_comes_with_the_commit_in_its_order(self):
        found = events(
            connected(),
            transaction("BEGIN", head="receipt:1\n")
            + transaction("SEND", head="destination:/a\nreceipt:2\n")
            + transaction("ACK", head="id:7\n")
            + transaction("NACK", head="id:8\n")
            + transaction("COMMIT", head="receipt:3\n"),
        )
        begin, send, ack, nack, commit = found

        assert begin == Begin("t", "1")
        assert (send, ack, nack) == (Held("t", "2"), Held("t"), Held("t"))
        assert isinstance(commit, Commit)
        assert commit.receipt == "3"
        assert [type(part) for part in commit.parts] == [Send, Ack, Nack]

    def test_abort_forgets_what_was_held_and_the_name_is_free_again(self):
        found = events(
            connected(),
            transaction("BEGIN")
            + transaction("SEND", head="destination:/a\n")
            + transaction("ABORT", head="receipt:1\n")
            + transaction("BEGIN")
            + transaction("COMMIT"),
        )

        assert found[2] == Abort("t", "1")
        assert found[4].parts == ()

    def test_several_may_be_open_and_other_frames_go_their_way(self):
        found = events(
            connected(),
            transaction("BEGIN", "a")
            + transaction("BEGIN", "b")
            + transaction("SEND", "a", "destination:/1\n")
            + b"SEND\ndestination:/2\n\n\0"
            + transaction("SEND", "b", "destination:/3\n")
            + transaction("COMMIT", "b")
            + transaction("COMMIT", "a"),
        )

        assert found[3].destination == "/2"
        assert [part.destination for part in found[5].parts] == ["/3"]
        assert [part.destination for part in found[6].parts] == ["/1"]

    @pytest.mark.parametrize("command", ["BEGIN", "COMMIT", "ABORT"])
    def test_the_header_transaction_is_required(self, command):
        with pytest.raises(MalformedFrame, match="transaction"):
            events(connected(), f"{command}\n\n\0".encode())

    @pytest.mark.parametrize("command", ["COMMIT", "ABORT", "SEND", "ACK", "NACK"])
    def test_an_unknown_transaction_is_an_error(self, command):
        data = transaction(command, head="destination:/a\nid:7\n")
        with pytest.raises(UnexpectedFrame, match="no open transaction 't'"):
            events(connected(), data)

    def test_a_transaction_cannot_begin_twice(self):
        with pytest.raises(UnexpectedFrame, match="begun already"):
            events(connected(), transaction("BEGIN") * 2)

    def test_a_transaction_cannot_end_twice(self):
        data = transaction("BEGIN") + transaction("COMMIT")
        with pytest.raises(UnexpectedFrame, match="no open"):
            events(connected(), data + transaction("ABORT"))


class TestTheRest:
    def test_frames_after_disconnect_are_ignored(self):
        session = connected()
        found = events(
            session, b"DISCONNECT\nreceipt:77\n\n\0SEND\ndestination:/a\n\n\0rubbish"
        )

        assert found == [Disconnect("77")]
        assert events(session, b"more rubbish \0\0") == []

    def test_receipt_has_the_headers_of_the_handler(self):
        frame = parsed(connected().receipt("a:1", [("seq", "5"), ("ts", "6")]))

        assert frame == Frame(
            "RECEIPT", (("receipt-id", "a:1"), ("seq", "5"), ("ts", "6"))
        )

    def test_error_ends_the_session(self):
        session = connected()
        frame = parsed(
            session.error(
                "x", "words", receipt="r", body=b"{}", content_type="application/json"
            )
        )

        assert frame.body == b"{}"
        assert frame.get("content-type") == "application/json"
        assert events(session, b"SEND\ndestination:/a\n\n\0") == []

    def test_an_error_may_quote_anything(self):
        frame = parsed(connected().error("x", "a\0b\ud800c\nd:" + "e" * 2000))

        assert frame.get("message").startswith("a\ufffdb?c\nd:e")
        assert len(frame.get("message")) == 1000

    @pytest.mark.parametrize("version", Version)
    def test_answers_are_in_the_clients_version(self, version):
        session = connected(version.value)
        frame = parsed(session.receipt("a\\b"), version)

        assert frame.get("receipt-id") == "a\\b"


SCRIPT = [
    b"CONNECT\naccept-version:%b\nheart-beat:0,0\n\n\0",
    b"\n",
    b"SUBSCRIBE\nid:0\ndestination:/topic/\\\\a\nreceipt:1\n\n\0",
    b"\n\n",
    b"SEND\ndestination:/app/a\ncontent-length:5\n\na\0b\n\n\0",
    b"SEND\ndestination:/app/b\n\nbody\n\0\n",
    b"BEGIN\ntransaction:t\nreceipt:3\n\n\0",
    b"SEND\ndestination:/app/c\ntransaction:t\n\nbody\0",
    b"ACK\nid:1\nmessage-id:1\nsubscription:0\ntransaction:t\n\n\0",
    b"COMMIT\ntransaction:t\n\n\0",
    b"ACK\nid:2\nmessage-id:2\nsubscription:0\n\n\0",
    b"UNSUBSCRIBE\nid:0\n\n\0",
    b"DISCONNECT\nreceipt:2\n\n\0",
]


@pytest.mark.parametrize("version", [b"1.0", b"1.1", b"1.2"])
def test_a_whole_conversation_is_the_same_at_every_cut(version):
    data = b"".join(SCRIPT).replace(b"%b", version)

    def talk(chunks):
        session, found = ServerSession(), []
        for chunk in chunks:
            session.receive(chunk)
            while (event := session.next_event()) is not None:
                found.append(event)
                if isinstance(event, Connect):
                    session.connected("s", "u", "Salon")
        return found

    whole = talk([data])
    assert len(whole) == 11
    for cut in range(1, len(data)):
        assert talk([data[:cut], data[cut:]]) == whole
    assert talk([data[i : i + 1] for i in range(len(data))]) == whole


def test_mutated_conversations_cause_protocol_errors_only():
    """3,000 conversations with bytes changed: bounded memory, errors of theirs only."""
    chance = random.Random(7)
    limits = SessionLimits(frame=Limits(body=200, head=300), subscriptions=5)
    clean = encode(
        Frame("SEND", (("destination", "/app/a"), ("receipt", "3")), b"x" * 50),
        Version.V12,
    )
    ended = 0
    for _ in range(3000):
        data = bytearray(b"".join(SCRIPT[:-1]).replace(b"%b", b"1.2") + clean * 3)
        for _ in range(chance.randrange(1, 6)):
            at = chance.randrange(len(data))
            data[at : at + chance.randrange(3)] = bytes(
                chance.choices(b"\0\n\r:\\aS0\xff", k=chance.randrange(4))
            )
        session, failure = ServerSession(limits), None
        try:
            for start in range(0, len(data), 37):
                session.receive(bytes(data[start : start + 37]))
                while (event := session.next_event()) is not None:
                    if isinstance(event, Connect):
                        session.connected("s", "u", "Salon")
        except RemoteProtocolError as error:
            failure = parsed(session.failed(error))
        ended += failure is not None
        assert failure is None or failure.command == "ERROR"
        assert session.buffered <= len(data)

    assert 500 < ended < 3000
