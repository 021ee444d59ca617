"""Who is on a SASL connection: the requests before all others.

(``SaslServerAuthenticator``; KIP-43, KIP-152.) The processor gives every frame of a
connection to its authenticator until that is ``done``; handlers never see a request of a
stranger. Allowed are ApiVersions, SaslHandshake (which mechanism) and SaslAuthenticate
(its tokens); after a handshake of v0 the tokens come bare, without Kafka's headers.
Anything else ends the connection.
"""

from enum import Enum
from typing import Any, NamedTuple

from salon.broker import sasl
from salon.broker.errors import Code, ProtocolError
from salon.broker.protocol import api_versions, cold, header
from salon.broker.protocol.header import RequestHeader, response_prefix
from salon.broker.protocol.versions import (
    API_VERSIONS,
    SASL_AUTHENTICATE,
    SASL_HANDSHAKE,
)
from salon.broker.sasl import AuthenticationFailed, Mechanism, Users

_LONGEST_TOKEN = 65_536


class Credentials(NamedTuple):
    """Who may come in, and how they may prove it."""

    users: Users
    mechanisms: tuple[str, ...]


class _State(Enum):
    HANDSHAKE = "handshake"
    TOKENS = "tokens"
    BARE_TOKENS = "bare tokens"
    DONE = "done"
    FAILED = "failed"


class Authenticator:
    """The beginning of one connection.

    Args:
        credentials: of the listener.
        apis: API keys that the listener serves, for ApiVersions.
    """

    def __init__(self, credentials: Credentials, apis: frozenset[int]) -> None:
        self._credentials = credentials
        self._apis = apis
        self._state = _State.HANDSHAKE
        self._mechanism: Mechanism | None = None

    @property
    def done(self) -> bool:
        """Whether requests may pass from now on."""
        return self._state is _State.DONE

    @property
    def failed(self) -> bool:
        """Whether the last answer is a refusal, and the connection is to be closed."""
        return self._state is _State.FAILED

    @property
    def user(self) -> str:
        """Who it is, once ``done``."""
        return self._mechanism.user if self._mechanism is not None else ""

    def answer(self, frame: memoryview) -> bytes:
        """The whole response, length included, to one frame.

        Raises:
            ProtocolError: theirs; a request that may not come yet.
        """
        if len(frame) > _LONGEST_TOKEN:
            raise ProtocolError(f"{len(frame)} bytes before authentication")
        if self._state is _State.BARE_TOKENS:
            _, token, message = self._step(bytes(frame))
            if self.failed:
                raise ProtocolError(f"authentication failed: {message}")
            return len(token).to_bytes(4, "big") + token
        parsed = header.parse(frame)
        if parsed.api_key == API_VERSIONS:
            body = api_versions.encode(parsed.api_version, self._apis)
        elif parsed.api_key == SASL_HANDSHAKE and self._state is _State.HANDSHAKE:
            body = self._handshake(parsed, frame)
        elif parsed.api_key == SASL_AUTHENTICATE and self._state is _State.TOKENS:
            body = self._authenticate(parsed, frame)
        else:
            raise ProtocolError(f"{parsed.name} came before authentication")
        return response_prefix(parsed, len(body)) + body

    def _handshake(self, parsed: RequestHeader, frame: memoryview) -> bytes:
        asked = cold.decode(parsed.api_key, parsed.api_version, frame, parsed.body)
        code = Code.NONE
        if asked.mechanism in self._credentials.mechanisms:
            self._mechanism = sasl.begin(asked.mechanism, self._credentials.users)
            bare = parsed.api_version == 0
            self._state = _State.BARE_TOKENS if bare else _State.TOKENS
        else:
            code, self._state = Code.UNSUPPORTED_SASL_MECHANISM, _State.FAILED
        return _encode(parsed, error_code=code, mechanisms=self._credentials.mechanisms)

    def _authenticate(self, parsed: RequestHeader, frame: memoryview) -> bytes:
        asked = cold.decode(parsed.api_key, parsed.api_version, frame, parsed.body)
        code, token, message = self._step(asked.auth_bytes)
        return _encode(
            parsed,
            error_code=code,
            error_message=message,
            auth_bytes=token,
            session_lifetime=cold.ZERO,
        )

    def _step(self, token: bytes) -> tuple[Code, bytes, str | None]:
        assert self._mechanism is not None
        try:
            answer = self._mechanism.step(token)
        except AuthenticationFailed as error:
            self._state = _State.FAILED
            return Code.SASL_AUTHENTICATION_FAILED, b"", str(error)
        if self._mechanism.done:
            self._state = _State.DONE
        return Code.NONE, answer, None


def _encode(parsed: RequestHeader, **fields: Any) -> bytes:
    module = cold.module(parsed.api_key, parsed.api_version, "response")
    entity = cold.make(getattr(module, f"{parsed.name}Response"), **fields)
    return cold.encode(entity)
