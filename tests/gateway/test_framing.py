"""How messages are put into WebSocket messages."""

from salon.gateway.framing import BINARY, TEXT, Plain, SockJs, data_frame


def test_frames_of_every_length_form():
    assert data_frame(TEXT, b"") == b"\x81\x00"
    assert data_frame(TEXT, b"x" * 125)[:2] == b"\x81\x7d"
    assert data_frame(TEXT, b"x" * 126)[:4] == b"\x81\x7e\x00\x7e"
    assert data_frame(TEXT, b"x" * 65535)[:4] == b"\x81\x7e\xff\xff"
    assert data_frame(TEXT, b"x" * 65536)[:10] == b"\x81\x7f" + (65536).to_bytes(8)


def test_plain_messages_are_frames_one_after_another():
    plain = Plain()

    assert plain.one(b"a") == (TEXT, b"a")
    assert plain.many([b"a", b"bc"]) == b"\x81\x01a\x81\x02bc"
    assert plain.decode(b"a") == [b"a"]


def test_a_message_is_text_where_it_can_be():
    """RFC 6455, 8.1: who sends text that is not UTF-8 is disconnected."""
    plain = Plain()

    assert plain.one("grüße".encode()) == (TEXT, "grüße".encode())
    assert plain.one(b"\xff") == (BINARY, b"\xff")
    assert plain.many([b"a", b"\xff"]) == b"\x81\x01a\x82\x01\xff"


def test_a_peer_that_speaks_binary_is_answered_in_binary():
    plain = Plain()
    binary = plain.answering(binary=True)

    assert binary.one(b"a") == (BINARY, b"a")
    assert binary.many([b"a", b"\xff"]) == b"\x82\x01a\x82\x01\xff"
    assert binary.answering(binary=False).one(b"a") == (TEXT, b"a")


def test_what_was_joined_for_one_subscriber_serves_the_next():
    for framing in (Plain(), SockJs()):
        first, second = b"first", b"second"
        joined = framing.many([first, second])

        assert framing.many([first, second]) == joined
        assert framing.many([second, first]) != joined
        assert framing.many([first]) != joined
    plain = Plain()
    assert plain.many([first, second]) is plain.many([first, second])


def test_sockjs_messages_are_strings_in_one_frame():
    framing = SockJs()

    assert framing.one(b"a") == (TEXT, b'a["a"]')
    assert framing.many([b"a", b"b"]) == b'\x81\x0aa["a","b"]'
    assert framing.decode(b"") == []
    assert framing.farewell(3000, "Go away!") == b'c[3000,"Go away!"]'
