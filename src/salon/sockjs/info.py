"""What ``/info`` says: it lets a client choose a transport and measures the way."""

import json


def body(entropy: int, *, websocket: bool = True) -> bytes:
    """The JSON body.

    Args:
        entropy: a new random number below 2**32; clients seed their own chance by it.
        websocket: whether the WebSocket transport may be tried.

    ``origins`` is a constant of the protocol and grants nothing; ``cookie_needed``
    is false because one process owns all its sessions.
    """
    return json.dumps(
        {
            "websocket": websocket,
            "origins": ["*:*"],
            "cookie_needed": False,
            "entropy": entropy,
        }
    ).encode()
