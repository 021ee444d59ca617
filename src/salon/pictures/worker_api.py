"""How workers, near or far, get jobs and bring pictures: four calls over HTTP.

::

    POST /api/v1/worker/lease                {worker, wait_s, fills_in} → 200 job, or 204
    POST /api/v1/worker/jobs/{id}/progress   {attempt, step, steps, preview?} → {cancel}
    PUT  /api/v1/worker/jobs/{id}/result     PNG; ?attempt=&model=&elapsed_ms=
                                             and may say &drawn_as=&steps=&guidance=
                                             &note={code,message,params} (up to three)
    POST /api/v1/worker/jobs/{id}/fail       {attempt, reason}

A worker pulls: it needs no address of its own, and works behind any firewall. It is
known by a token, and trusted no further than its pictures are checked. 409
``lease_lost`` or ``job_ended`` means: drop it, ask for work.
"""

import asyncio
import base64
import binascii
import contextlib
import secrets
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from salon.errors import Refusal
from salon.media.png import LARGEST_BYTES
from salon.pictures.commands import PictureNote
from salon.pictures.endpoints import job_id
from salon.pictures.jobs import (
    ATTEMPTS_MAX,
    GUIDANCE_MAX,
    LEASE_S,
    NOTES_MAX,
    ONCE,
    STEPS_MAX,
    Job,
)
from salon.pictures.leases import Leases
from salon.pictures.progress import PREVIEW_MAX
from salon.pictures.results import Results, Said

WAIT_MAX_S = 20
"""Shorter than what proxies cut (60 s and more), and than our patience at a stop."""


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore")


class Ask(_Strict):
    """A worker wants work."""

    worker: str = Field(min_length=1, max_length=64, pattern=r"^[\w.:-]+$")
    wait_s: float = Field(default=0, ge=0, le=WAIT_MAX_S)
    fills_in: bool = False
    """It knows jobs that leave steps and guidance to its model (null)."""


class News(_Strict):
    """A step is done; ``preview`` is base64 of a WebP of at most 16 KiB."""

    attempt: int = Field(ge=1, le=ATTEMPTS_MAX)
    step: int = Field(ge=0, le=1000)
    steps: int = Field(ge=1, le=1000)
    preview: str | None = Field(default=None, max_length=PREVIEW_MAX * 4 // 3 + 4)


class Fault(_Strict):
    """It cannot be drawn, and why, in words for the one who asked."""

    attempt: int = Field(ge=1, le=ATTEMPTS_MAX)
    reason: str = Field(max_length=2000)


def router(leases: Leases, results: Results, token: str) -> APIRouter:
    """The routes of workers that hold ``token``."""
    expected = f"Bearer {token}".encode()

    def known(request: Request) -> None:
        given = request.headers.get("authorization", "").encode()
        if not secrets.compare_digest(given, expected):
            raise Refusal("unauthorised", "Workers need the worker token.", status=401)

    routes = APIRouter(
        prefix="/api/v1/worker", tags=["worker"], dependencies=[Depends(known)]
    )

    @routes.post("/lease", response_model=None)
    async def lease(request: Request, ask: Ask) -> dict[str, Any] | Response:
        job = await _while_connected(request, leases.lease(ask.worker, ask.wait_s))
        if job is None:
            return Response(status_code=204)
        return _described(job, ask.fills_in)

    @routes.post("/jobs/{job}/progress")
    async def progress(job: str, news: News) -> dict[str, bool]:
        preview = None if news.preview is None else _checked(news.preview)
        cancel = await leases.progress(
            job_id(job), news.attempt, news.step, news.steps, preview
        )
        return {"cancel": cancel}

    @routes.put("/jobs/{job}/result", status_code=204)
    async def result(
        request: Request,
        job: str,
        attempt: Annotated[int, Query(ge=1, le=ATTEMPTS_MAX)],
        model: Annotated[str, Query(min_length=1, max_length=120)],
        elapsed_ms: Annotated[int, Query(ge=0, le=86_400_000)],
        drawn_as: Annotated[str | None, Query(min_length=1, max_length=500)] = None,
        steps: Annotated[int | None, Query(ge=1, le=STEPS_MAX)] = None,
        guidance: Annotated[float | None, Query(ge=0, le=GUIDANCE_MAX)] = None,
        note: Annotated[list[str] | None, Query(max_length=NOTES_MAX)] = None,
    ) -> Response:
        id_ = job_id(job)
        data = await _body(request, LARGEST_BYTES)
        notes = tuple(_note(text) for text in note or ())
        said = Said(model, elapsed_ms, drawn_as, steps, guidance, notes)
        await results.finish(id_, attempt, data, said)
        return Response(status_code=204)

    @routes.post("/jobs/{job}/fail", status_code=204)
    async def fail(job: str, fault: Fault) -> Response:
        await results.fail(job_id(job), fault.attempt, fault.reason)
        return Response(status_code=204)

    return routes


def _described(job: Job, fills_in: bool) -> dict[str, Any]:
    steps, guidance = (None, None) if fills_in else ONCE
    return {
        "job": str(job.id),
        "attempt": job.attempt,
        "prompt": job.prompt,
        "negative": job.negative,
        "seed": job.seed,
        "steps": steps if job.steps is None else job.steps,
        "guidance": guidance if job.guidance is None else job.guidance,
        "lease_s": LEASE_S,
    }


async def _while_connected(request: Request, work: Any) -> Job | None:
    """Wait for a job, but not for a worker that is gone: its job would wait with it."""
    waiting = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(_disconnected(request))
    try:
        await asyncio.wait({waiting, gone}, return_when=asyncio.FIRST_COMPLETED)
        if waiting.done():
            job: Job | None = waiting.result()
            return job
        return None
    finally:
        for task in (waiting, gone):
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await gone


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _note(text: str) -> PictureNote:
    try:
        return msgspec.json.decode(text, type=PictureNote)
    except msgspec.MsgspecError as error:
        raise Refusal(
            "note_invalid",
            f"`note` is {{code, message, params}} as JSON: {error}.",
            field="note",
            status=422,
        ) from error


def _checked(preview: str) -> str:
    """The preview again, if it is base64 of a small WebP (RIFF container)."""
    try:
        data = base64.b64decode(preview, validate=True)
    except (binascii.Error, ValueError):
        data = b""
    if len(data) > PREVIEW_MAX or data[:4] != b"RIFF" or data[8:12] != b"WEBP":
        raise Refusal(
            "preview_invalid",
            f"`preview` is base64 of a WebP of at most {PREVIEW_MAX} bytes.",
            field="preview",
        )
    return preview


async def _body(request: Request, limit: int) -> bytes:
    """The body, unless it is longer than ``limit``; never more is kept in memory."""
    pieces: list[bytes] = []
    size = 0
    async for piece in request.stream():
        size += len(piece)
        if size > limit:
            raise Refusal(
                "picture_too_large",
                f"A picture has at most {limit // 1024 // 1024} MiB.",
                params={"limit": limit},
                status=413,
            )
        pieces.append(piece)
    return b"".join(pieces)
