"""SaslHandshake (17) and SaslAuthenticate (36) where they are too late, or too much.

The processor answers them while a connection is being authenticated; a handler sees one
only on a listener without SASL, or afterwards.
"""

from salon.broker.channel import Request
from salon.broker.errors import Code
from salon.broker.handlers import answers
from salon.broker.handlers.context import Context
from salon.broker.protocol.cold import ZERO


def not_now(context: Context, request: Request) -> None:
    """ILLEGAL_SASL_STATE, as Kafka answers."""
    request.failed = True
    answers.respond(
        request,
        error_code=Code.ILLEGAL_SASL_STATE,
        error_message="this connection does not authenticate now",
        mechanisms=(),
        auth_bytes=b"",
        session_lifetime=ZERO,
    )
