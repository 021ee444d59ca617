r"""How the HTTP transports carry frames to a client (sockjs-protocol 0.3.3).

A *receiver* is a request whose answer has frames. A streaming one writes a prelude and
then many frames; a polling one has one frame and ends. Each wraps frames in its own
way:

==============  =========  ====================================================
xhr             polling    ``frame\n``
xhr_streaming   streaming  2 KiB of ``h``, then ``frame\n``
eventsource     streaming  ``data: frame`` (server-sent events)
htmlfile        streaming  a page that calls its parent for each frame
jsonp           polling    a script that calls a function of the page
==============  =========  ====================================================

htmlfile and jsonp put text of users into script. A frame goes there as a JSON string in
which ``<``, ``>``, ``&`` and everything outside ASCII is escaped, so that it cannot end
the script; the function's name has letters, digits and ``-_.`` only.
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import parse_qs

JAVASCRIPT = "application/javascript; charset=UTF-8"

_CALLBACK_LIMIT = 32
"""Letters of a jsonp callback, as sockjs-node has it."""

_PADDED = 1024
"""Bytes of a page before browsers begin to run it."""


class BadCallback(ValueError):
    """Theirs: the name of the page's function is missing or no plain name."""


@dataclass(frozen=True, slots=True)
class Receiver:
    """One way to carry frames.

    Attributes:
        content_type: of the answer.
        wrap: a frame as it is written.
        streaming: whether the answer goes on after a frame.
        prelude: written before the first frame.
    """

    content_type: str
    wrap: Callable[[bytes], bytes]
    streaming: bool = False
    prelude: bytes = b""


def _line(frame: bytes) -> bytes:
    return frame + b"\n"


def _event(frame: bytes) -> bytes:
    # The client undoes it with decodeURI; frames have no other character that would
    # end a line of the stream (JSON escapes controls).
    return b"data: %b\r\n\r\n" % frame.replace(b"%", b"%25")


XHR = Receiver(JAVASCRIPT, _line)

# Some browsers show nothing of an answer before its first 2 KiB.
XHR_STREAMING = Receiver(JAVASCRIPT, _line, streaming=True, prelude=b"h" * 2048 + b"\n")

# An old Opera skips the first line of a stream.
EVENTSOURCE = Receiver(
    "text/event-stream; charset=UTF-8", _event, streaming=True, prelude=b"\r\n"
)


def htmlfile(query: str) -> Receiver:
    """The page that calls ``parent.{callback}`` for each frame.

    Raises:
        BadCallback: theirs; the query has no usable ``c`` or ``callback``.
    """
    page = _HTMLFILE % callback(query).encode()
    return Receiver(
        "text/html; charset=UTF-8",
        lambda frame: b"<script>\np(%b);\n</script>\r\n" % _literal(frame),
        streaming=True,
        prelude=page.ljust(_PADDED) + b"\r\n\r\n",
    )


def jsonp(query: str) -> Receiver:
    """The script that calls ``{callback}`` with one frame.

    Raises:
        BadCallback: theirs; the query has no usable ``c`` or ``callback``.
    """
    name = callback(query)
    if len(name) > _CALLBACK_LIMIT:
        raise BadCallback('invalid "callback" parameter')
    # The comment keeps the answer from being read as something else (Flash).
    return Receiver(
        JAVASCRIPT,
        lambda frame: b"/**/%b(%b);\r\n" % (name.encode(), _literal(frame)),
    )


def callback(query: str) -> str:
    """The function that the page offers.

    Raises:
        BadCallback: theirs; missing, or not of letters, digits and ``-_.``.
    """
    fields = parse_qs(query, max_num_fields=_FIELDS)
    name = (fields.get("c") or fields.get("callback") or [""])[0]
    if not name:
        raise BadCallback('"callback" parameter required')
    if re.fullmatch(r"[a-zA-Z0-9\-_.]+", name) is None:
        raise BadCallback('invalid "callback" parameter')
    return name


def form(content_type: str, body: bytes) -> bytes:
    """The payload of a jsonp_send: the field ``d`` of a form, or the whole body."""
    if content_type.partition(";")[0].strip().lower() != _FORM:
        return body
    try:
        fields = parse_qs(body.decode("utf-8", "replace"), max_num_fields=_FIELDS)
    except ValueError:  # more fields than a form of ours has
        return b""
    return fields.get("d", [""])[0].encode("utf-8", "replace")


_FORM = "application/x-www-form-urlencoded"
_FIELDS = 16

_UNSAFE = {ord(letter): f"\\u{ord(letter):04x}" for letter in "<>&"}


def _literal(frame: bytes) -> bytes:
    """A frame as a string in a script that stands in a page."""
    return json.dumps(frame.decode()).translate(_UNSAFE).encode()


# The page and its names are the protocol's.
_HTMLFILE = b"""<!doctype html>
<html><head>
  <meta http-equiv="X-UA-Compatible" content="IE=edge" />
  <meta http-equiv="Content-Type" content="text/html; charset=UTF-8" />
</head><body><h2>Don't panic!</h2>
  <script>
    document.domain = document.domain;
    var c = parent.%b;
    c.start();
    function p(d) {c.message(d);};
    window.onload = c.stop;
  </script>"""
