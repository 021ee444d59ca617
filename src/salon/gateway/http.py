"""The HTTP side of the one port: the API's routers, the web page, what operators ask.

Errors leave here by table: a ``Refusal`` with its own status, ``Unavailable`` as 503,
a body that does not fit as 422 with the field's name, anything else as 500 without
details. Their body is always the same shape (``Refusal.as_json``).

The order of a request: ``Guard`` (origin, size, headers), then SockJS below the
prefix, then the routers, and where none of them answers the web page.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from importlib.metadata import version as installed
from pathlib import Path
from typing import Any

import structlog
from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Receive, Scope, Send

from salon import metrics
from salon.errors import Refusal, Unavailable
from salon.gateway.edge import Edge
from salon.gateway.guard import BODY_LIMIT, Guard, internal, retry_after
from salon.gateway.peers import is_loopback
from salon.gateway.sockjs import SockJsApp
from salon.gateway.webapp import WebApp

log = structlog.get_logger("salon.gateway")

Ready = Callable[[], Awaitable[Mapping[str, str]]]
"""What is not ready: part → why. Empty when everything is."""

_API = ("/api/", "/media/")
"""Below these nothing is a page: an unknown address is a plain 404."""


async def _all_ready() -> Mapping[str, str]:
    return {}


def create_api(routers: Iterable[APIRouter], version: str) -> FastAPI:
    """The routers with our answers to errors; ``openapi()`` of it is their schema."""
    api = FastAPI(
        title="Salon",
        version=version,
        docs_url=None,  # its page loads scripts from elsewhere
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
    )
    for router in routers:
        api.include_router(router)
    for kind, answer in _ANSWERS.items():
        api.add_exception_handler(kind, answer)
    return api


def create_app(
    edge: Edge,
    routers: Iterable[APIRouter],
    *,
    webapp: Path | None = None,
    ready: Ready = _all_ready,
    version: str = installed("salon"),
    body_limit: int = BODY_LIMIT,
    body_limits: dict[str, int] | None = None,
) -> ASGIApp:
    """The ASGI app to serve.

    Args:
        edge: the shared parts of all ways in.
        routers: mounted as they are; their paths begin with ``/``.
        webapp: folder of the built page; None: no page is served.
        ready: asked by ``/readyz``.
        version: told by ``/version``.
        body_limit: bytes of a request's body.
        body_limits: other limits by path prefix (uploads).
    """
    api = create_api([*routers, _operators(edge, ready, version)], version)
    if webapp is not None:
        api.router.default = _PageOrNothing(api.router.default, WebApp(webapp))
    front = _Front(edge, api)
    return Guard(front, edge, body_limit=body_limit, body_limits=body_limits)


class _Front:
    """SockJS below the prefixes, everything else to the routers."""

    def __init__(self, edge: Edge, api: ASGIApp) -> None:
        self._api = api
        self._edge = edge
        self._sockjs = {
            service.prefix: SockJsApp(service) for service in (edge, *edge.services)
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        service = self._edge.at(scope.get("path", ""))
        if service is not None:
            await self._sockjs[service.prefix](scope, receive, send)
        else:
            await self._api(scope, receive, send)


class _PageOrNothing:
    """What answers where no route does."""

    def __init__(self, nothing: ASGIApp, page: ASGIApp) -> None:
        self._nothing = nothing
        self._page = page

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        page = scope.get("method") in {"GET", "HEAD"}
        if page and not scope["path"].startswith(_API):
            await self._page(scope, receive, send)
        else:
            await self._nothing(scope, receive, send)


def _operators(edge: Edge, ready: Ready, version: str) -> APIRouter:
    router = APIRouter(include_in_schema=False)

    @router.get("/healthz")
    async def healthz() -> dict[str, str]:
        """The event loop runs; asks nobody else."""
        return {"status": "ok"}

    @router.get("/readyz")
    async def readyz(request: Request) -> JSONResponse:
        problems = dict(await ready())
        if edge.draining:
            problems["server"] = "stopping"
        body: dict[str, Any] = {"status": "unready" if problems else "ready"}
        if problems and _from_here(request):
            body["problems"] = problems
        return JSONResponse(body, 503 if problems else 200, _NO_STORE)

    @router.get("/version")
    async def tell_version() -> dict[str, str]:
        return {"name": "salon", "version": version}

    @router.get("/metrics")
    async def tell_metrics(request: Request) -> Response:
        if not _from_here(request):
            raise HTTPException(404)
        return Response(
            generate_latest(metrics.REGISTRY),
            media_type=CONTENT_TYPE_LATEST,
            headers=_NO_STORE,
        )

    return router


_NO_STORE = {"cache-control": "no-store"}


def _from_here(request: Request) -> bool:
    """Whether an operator on this machine asks, and not a proxy on it for somebody."""
    remote = request.client.host if request.client else ""
    return is_loopback(remote) and "x-forwarded-for" not in request.headers


# -- errors ---------------------------------------------------------------------


def _json(refusal: Refusal) -> Response:
    headers = dict(_NO_STORE)
    if refusal.retry_after is not None:
        name, value = retry_after(refusal.retry_after)
        headers[name.decode()] = value.decode()
    return JSONResponse(refusal.as_json(), refusal.status, headers)


async def _on_refusal(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refusal), "registered for it"
    return _json(error)


async def _on_unavailable(request: Request, error: Exception) -> Response:
    log.warning("gateway.unavailable", path=request.url.path, why=str(error))
    return _json(
        Refusal(
            "unavailable",
            "The server cannot do this now; nothing was accepted.",
            retry_after=1,
            status=503,
        )
    )


async def _on_invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError), "registered for it"
    first = error.errors()[0]
    # ("body", "members", 0) → "members.0"; the body itself has no name.
    field = ".".join(str(part) for part in first["loc"][1:]) or None
    if first["type"] == "json_invalid":
        return _json(Refusal("invalid", "The body is not valid JSON.", status=422))
    params = {
        name: value
        for name, value in (first.get("ctx") or {}).items()
        if isinstance(value, str | int | float)
    }
    message = f"{field or 'The request'}: {first['msg']}."
    return _json(Refusal("invalid", message, field=field, params=params, status=422))


_CODES = {
    400: ("bad_request", "The request cannot be read."),
    404: ("not_found", "There is nothing at this address."),
    405: ("method_not_allowed", "This address does not take that method."),
}


async def _on_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException), "registered for it"
    if isinstance(error.__cause__, Refusal):
        # Raised while FastAPI read the body (``Guard``): it only says "cannot parse".
        return _json(error.__cause__)
    code, message = _CODES.get(
        error.status_code, ("refused", "The request is not granted.")
    )
    response = _json(Refusal(code, message, status=error.status_code))
    for name, value in (error.headers or {}).items():
        response.headers[name] = value
    return response


async def _on_bug(request: Request, error: Exception) -> Response:
    # Starlette raises it again after this answer: ``Guard`` logs it.
    return _json(internal(request.state.request_id))


_ANSWERS = {
    Refusal: _on_refusal,
    Unavailable: _on_unavailable,
    RequestValidationError: _on_invalid,
    HTTPException: _on_http,
    Exception: _on_bug,
}
