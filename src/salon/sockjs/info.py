"""What ``/info`` says: it lets a client choose a transport and measures the way."""

import json


def body(entropy: int, *, websocket: bool = True, cookie_needed: bool = False) -> bytes:
    """The JSON body.

    Args:
        entropy: a new random number below 2**32; clients seed their own chance by it.
        websocket: whether the WebSocket transport may be tried.
        cookie_needed: whether a proxy routes by the cookie ``JSESSIONID``.

    ``origins`` is a constant of the protocol and grants nothing.
    """
    return json.dumps(
        {
            "websocket": websocket,
            "origins": ["*:*"],
            "cookie_needed": cookie_needed,
            "entropy": entropy,
        }
    ).encode()
