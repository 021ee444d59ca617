r"""SockJS frames (sockjs-protocol 0.3.3): what a transport carries.

Four kinds go to the client, as text::

    o                     the session is open
    h                     heart-beat
    a["one","two"]        messages, a JSON array of strings
    c[3000,"Go away!"]    the session is closed

From the client comes a JSON array of strings (xhr_send, websocket) or one string
(websocket). Messages are text; inside Salon they are UTF-8 bytes.

Escapes: some browsers change or drop certain code points in transit, so the server
writes them as ``\uXXXX``: controls, surrogates, the invisible format characters and
line separators of the protocol's section "JSON Unicode Encoding". Clients may send
anything that JSON allows, lone surrogates too; these become ``?``, as UTF-8 has no
form for them.
"""

import json
import re

OPEN = b"o"
HEARTBEAT = b"h"

GO_AWAY = (3000, "Go away!")
"""What a closed session says to every later receiver."""

STILL_OPEN = (2010, "Another connection still open")
"""What a second receiver of one session is told."""

INTERRUPTED = (1002, "Connection interrupted")
"""What a receiver is told whose predecessor was cut in the middle."""

_UNSAFE = re.compile(
    "[\x00-\x1f\ud800-\udfff\u200c-\u200f\u2028-\u202f\u2060-\u206f\ufff0-\uffff]"
)


class BrokenFraming(ValueError):
    """Theirs: a payload that is not JSON, or not made of strings."""


class PayloadExpected(ValueError):
    """Theirs: an empty request where messages were due."""


def quote(message: bytes) -> bytes:
    """One message as a JSON string that every browser carries unharmed."""
    text = message.decode("utf-8", "replace")
    quoted = json.dumps(text, ensure_ascii=False)
    if _UNSAFE.search(quoted):
        quoted = _UNSAFE.sub(lambda match: f"\\u{ord(match[0]):04x}", quoted)
    return quoted.encode()


def messages(batch: list[bytes]) -> bytes:
    """The frame that carries ``batch`` in order."""
    return b"a[" + b",".join(map(quote, batch)) + b"]"


def close(code: int, reason: str) -> bytes:
    """The frame that closes a session."""
    return b"c[%d,%b]" % (code, quote(reason.encode()))


def decode(payload: bytes, *, bare: bool = False) -> list[bytes]:
    """The messages in what a client sent.

    Args:
        payload: JSON text.
        bare: also take one string that is not in an array (websocket).

    Raises:
        PayloadExpected: theirs; nothing was sent.
        BrokenFraming: theirs; not JSON, or not an array of strings.
    """
    if not payload:
        raise PayloadExpected("Payload expected.")
    try:
        value = json.loads(payload)
    except (ValueError, RecursionError):
        raise BrokenFraming("Broken JSON encoding.") from None
    if bare and isinstance(value, str):
        value = [value]
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise BrokenFraming("Broken JSON encoding.")
    return [item.encode("utf-8", "replace") for item in value]
