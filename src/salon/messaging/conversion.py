"""Values as bodies: what a handler returns, and what is given to a template."""

from typing import Any

import msgspec

from salon.stomp import frames

JSON: frames.Headers = (("content-type", "application/json"),)
TEXT: frames.Headers = (("content-type", "text/plain;charset=utf-8"),)


def encode_payload(value: Any) -> tuple[bytes, frames.Headers]:
    """A value as a body, and what its headers say of it.

    Bytes go as they are, text as UTF-8, everything else as JSON.

    Raises:
        TypeError: ours; JSON cannot say it.
    """
    if isinstance(value, bytes):
        return value, ()
    if isinstance(value, str):
        return value.encode(), TEXT
    return msgspec.json.encode(value), JSON
