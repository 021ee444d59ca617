"""Errors that cross areas.

``Error`` is the root of everything Salon raises on purpose::

    Error
    ├── Refusal          theirs: a request that is not granted; said to the asker
    └── Unavailable      ours: an engine (log, store, files) cannot do it now

Edges translate by table: a ``Refusal`` becomes an HTTP status with a JSON body, a
MESSAGE on ``/user/queue/errors`` or a STOMP ERROR frame; ``Unavailable`` becomes 503
or ERROR ``unavailable``. Anything else is a bug: it is logged, and the asker is told
``internal`` without details.
"""

from collections.abc import Mapping
from typing import Any


class Error(Exception):
    """Root of the errors that Salon raises on purpose."""


class Refusal(Error):
    """A request that is not granted, with what the asker may do about it.

    Args:
        code: stable name for machines and translations, e.g. ``not_a_member``.
        message: one English sentence: what, which limit, what to do.
        field: the field of the request that is to blame.
        params: values for a translated sentence (limits, names).
        retry_after: seconds after which a new try may succeed.
        status: the HTTP status that says the same.
    """

    def __init__(
        self,
        code: str,
        message: str,
        *,
        field: str | None = None,
        params: Mapping[str, Any] | None = None,
        retry_after: float | None = None,
        status: int = 400,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.field = field
        self.params = dict(params or {})
        self.retry_after = retry_after
        self.status = status

    def as_json(self) -> dict[str, Any]:
        """The refusal as it travels: only the fields that say something."""
        body: dict[str, Any] = {"code": self.code, "message": self.message}
        if self.field is not None:
            body["field"] = self.field
        if self.params:
            body["params"] = self.params
        if self.retry_after is not None:
            body["retry_after"] = round(self.retry_after, 3)
        return body


class Unavailable(Error):
    """An engine that Salon needs cannot answer now; nothing was accepted."""


class StartupError(Error):
    """Salon cannot start: a port, a folder or a setting is wrong (exit code 78)."""
