"""How messages are put into WebSocket messages."""

from salon.gateway.framing import Plain, SockJs, text_frame


def test_frames_of_every_length_form():
    assert text_frame(b"") == b"\x81\x00"
    assert text_frame(b"x" * 125)[:2] == b"\x81\x7d"
    assert text_frame(b"x" * 126)[:4] == b"\x81\x7e\x00\x7e"
    assert text_frame(b"x" * 65535)[:4] == b"\x81\x7e\xff\xff"
    assert text_frame(b"x" * 65536)[:10] == b"\x81\x7f" + (65536).to_bytes(8)


def test_plain_messages_are_frames_one_after_another():
    plain = Plain()

    assert plain.one(b"a") == b"a"
    assert plain.many([b"a", b"bc"]) == b"\x81\x01a\x81\x02bc"
    assert plain.decode(b"a") == [b"a"]


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

    assert framing.one(b"a") == b'a["a"]'
    assert framing.many([b"a", b"b"]) == b'\x81\x0aa["a","b"]'
    assert framing.decode(b"") == []
    assert framing.farewell(3000, "Go away!") == b'c[3000,"Go away!"]'
