"""How transports wrap frames (sockjs-protocol, sections of each transport)."""

import json
import re

import pytest

from salon.sockjs import frames, receivers
from salon.sockjs.receivers import BadCallback

MEAN = frames.messages(['</script><!-- & " \\ 你 \u2028 %41'.encode()])


def test_xhr_frames_are_lines():
    assert receivers.XHR.wrap(b"o") == b"o\n"
    assert not receivers.XHR.streaming
    assert receivers.XHR_STREAMING.prelude == b"h" * 2048 + b"\n"
    assert receivers.XHR_STREAMING.streaming


def test_eventsource_frames_are_events_that_the_client_decodes_as_a_uri():
    assert receivers.EVENTSOURCE.prelude == b"\r\n"
    assert receivers.EVENTSOURCE.wrap(b"o") == b"data: o\r\n\r\n"
    assert receivers.EVENTSOURCE.wrap(b'a["5%"]') == b'data: a["5%25"]\r\n\r\n'


def test_htmlfile_is_a_page_with_a_script_for_each_frame():
    receiver = receivers.htmlfile("c=_jp.a123")

    assert len(receiver.prelude) > 1024
    assert b"var c = parent._jp.a123;" in receiver.prelude
    assert receiver.wrap(b"o") == b'<script>\np("o");\n</script>\r\n'
    assert receiver.streaming


def test_jsonp_is_a_call():
    receiver = receivers.jsonp("c=x")

    assert receiver.wrap(b'a["b"]') == b'/**/x("a[\\"b\\"]");\r\n'
    assert not receiver.streaming


@pytest.mark.parametrize("make", [receivers.htmlfile, receivers.jsonp])
def test_no_text_can_leave_its_string(make):
    script = make("c=f").wrap(MEAN)
    literal = re.search(rb'\((".*")\);', script)[1]

    assert json.loads(literal) == MEAN.decode()
    assert not set(b"<>&") & set(literal)
    assert literal.isascii()


@pytest.mark.parametrize(
    ("query", "why"),
    [
        ("", '"callback" parameter required'),
        ("c=", '"callback" parameter required'),
        ("d=x", '"callback" parameter required'),
        ("c=a(b", 'invalid "callback" parameter'),
        ("c=%20", 'invalid "callback" parameter'),
        ("c=abc%3Balert(1)", 'invalid "callback" parameter'),
        ("callback=%3Cscript%3E", 'invalid "callback" parameter'),
        ("c=%C3%A4", 'invalid "callback" parameter'),
        ("c=x%0A", 'invalid "callback" parameter'),
    ],
)
def test_a_callback_is_a_plain_name(query: str, why: str):
    for make in (receivers.htmlfile, receivers.jsonp):
        with pytest.raises(BadCallback) as refused:
            make(query)
        assert str(refused.value) == why


def test_a_callback_may_be_called_callback_and_jsonp_bounds_its_length():
    assert receivers.callback("callback=a.B-_9") == "a.B-_9"
    receivers.jsonp("c=" + "x" * 32)
    with pytest.raises(BadCallback):
        receivers.jsonp("c=" + "x" * 33)


@pytest.mark.parametrize(
    ("kind", "body", "payload"),
    [
        ("application/x-www-form-urlencoded", b"d=%5B%22x%22%5D", b'["x"]'),
        ("application/x-www-form-urlencoded; charset=UTF-8", b"d=%22%C3%A4%22", '"ä"'),
        ("application/x-www-form-urlencoded", b"d=", b""),
        ("application/x-www-form-urlencoded", b"", b""),
        ("application/x-www-form-urlencoded", b"&".join([b"a=1"] * 100), b""),
        ("text/plain", b'["x"]', b'["x"]'),
        ("", b"d=x", b"d=x"),
    ],
)
def test_jsonp_send_is_a_form_or_the_text_itself(kind: str, body: bytes, payload):
    expected = payload.encode() if isinstance(payload, str) else payload

    assert receivers.form(kind, body) == expected
