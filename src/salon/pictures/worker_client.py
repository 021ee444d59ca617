"""A worker's side of ``worker_api``: four calls over the standard library's HTTP.

Blocking, one connection, for one thread. Nothing here imports the messenger: a worker
starts fast, and runs on machines that have none of it.
"""

import http.client
import json
import urllib.parse
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from salon.errors import Error, StartupError

ANSWER_S = 30.0
"""How long an answer may take, beyond what we asked the server to wait."""


class ServerAway(Error):
    """The server cannot answer now: try the same again later."""


class JobDropped(Error):
    """The job is no longer ours (cancelled, ended, or leased anew): drop it."""


class CallRefused(Error):
    """The server refuses this call, and would again; says why."""


@dataclass(frozen=True, slots=True)
class Work:
    """A leased job."""

    job: str
    attempt: int
    prompt: str
    negative: str
    seed: int
    steps: int | None
    """None: the model's own; likewise ``guidance``."""
    guidance: float | None
    lease_s: float


@dataclass(frozen=True, slots=True)
class Drawn:
    """A finished picture, and what should be known of it."""

    png: bytes
    model: str
    drawn_as: str | None = None
    """What the prompt was read as, where it was read as something else."""
    steps: int | None = None
    guidance: float | None = None
    notes: tuple[dict[str, Any], ...] = ()
    """Of ``code``, ``message`` and ``params``, as the server takes them."""


class Server:
    """The server of a worker.

    Args:
        url: e.g. ``https://chat.example.org``.
        token: reads the token, for every call, so that it may be changed meanwhile;
            an ``OSError`` of it is tried again like a server that is away.

    Raises:
        StartupError: theirs; no URL that we can speak.
    """

    def __init__(self, url: str, token: Callable[[], str], worker: str) -> None:
        parts = urllib.parse.urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise StartupError(f"{url} is no address of a server (http://host:port).")
        kind = (
            http.client.HTTPSConnection
            if parts.scheme == "https"
            else http.client.HTTPConnection
        )
        self._connection = kind(parts.hostname, parts.port, timeout=ANSWER_S)
        self._path = parts.path.rstrip("/") + "/api/v1/worker"
        self._token = token
        self._worker = worker

    def lease(self, wait_s: float) -> Work | None:
        """The next job; None if there was none for ``wait_s``."""
        wish = {"worker": self._worker, "wait_s": wait_s, "fills_in": True}
        answer = self._json("POST", "/lease", wish, patience_s=wait_s + ANSWER_S)
        if answer is None:
            return None
        return Work(**{name: answer[name] for name in Work.__dataclass_fields__})

    def progress(self, work: Work, step: int, steps: int, preview: str | None) -> bool:
        """Tell a step; True if we should stop.

        Raises:
            JobDropped: it is not ours any more.
        """
        news: dict[str, Any] = {"attempt": work.attempt, "step": step, "steps": steps}
        if preview is not None:
            news["preview"] = preview
        answer = self._json("POST", f"/jobs/{work.job}/progress", news)
        return bool(answer and answer["cancel"])

    def result(self, work: Work, drawn: Drawn, elapsed_ms: int) -> None:
        """Bring the picture; may be repeated."""
        said = {
            "attempt": work.attempt,
            "model": drawn.model,
            "elapsed_ms": elapsed_ms,
            "drawn_as": drawn.drawn_as,
            "steps": drawn.steps,
            "guidance": drawn.guidance,
            "note": [_tight(note) for note in drawn.notes],
        }
        known = {name: value for name, value in said.items() if value is not None}
        query = urllib.parse.urlencode(known, doseq=True)
        self._call("PUT", f"/jobs/{work.job}/result?{query}", drawn.png, "image/png")

    def fail(self, work: Work, reason: str) -> None:
        """Say that it cannot be drawn, in words for the one who asked."""
        self._json(
            "POST",
            f"/jobs/{work.job}/fail",
            {"attempt": work.attempt, "reason": reason},
        )

    def close(self) -> None:
        """Let the connection go."""
        self._connection.close()

    def _json(
        self, method: str, path: str, body: Any, patience_s: float = ANSWER_S
    ) -> dict[str, Any] | None:
        data = json.dumps(body).encode()
        said = self._call(method, path, data, "application/json", patience_s)
        answer: dict[str, Any] | None = json.loads(said) if said else None
        return answer

    def _call(
        self,
        method: str,
        path: str,
        body: bytes,
        kind: str,
        patience_s: float = ANSWER_S,
    ) -> bytes:
        for _ in range(2):
            kept = self._connection.sock is not None
            self._connection.timeout = patience_s
            if kept:
                self._connection.sock.settimeout(patience_s)
            try:
                headers = {
                    "Authorization": f"Bearer {self._token()}",
                    "Content-Type": kind,
                }
                self._connection.request(method, self._path + path, body, headers)
                answer = self._connection.getresponse()
                return _judged(answer.status, answer.read())
            except (OSError, http.client.HTTPException) as error:
                self._connection.close()
                # a kept connection may have been closed while we drew: once more
                if kept and isinstance(error, http.client.BadStatusLine | OSError):
                    continue
                raise ServerAway(f"{type(error).__name__}: {error}") from error
        raise ServerAway("the connection was closed twice")


def _tight(note: dict[str, Any]) -> str:
    return json.dumps(note, ensure_ascii=False, separators=(",", ":"))


def _judged(status: int, said: bytes) -> bytes:
    if status < 300:
        return said
    try:
        refusal = json.loads(said)
        why = f"{refusal['code']}: {refusal['message']}"
    except (ValueError, KeyError, TypeError):
        why = f"status {status}"
    if status in (404, 409):
        raise JobDropped(why)
    if status >= 500 or status in (408, 429):
        raise ServerAway(why)
    raise CallRefused(why)
