"""``salon classic``: the guest chat alone, with nothing of the messenger."""

import asyncio
import signal
import socket
import sys
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer
from fastapi import APIRouter
from fastapi.responses import FileResponse, RedirectResponse, Response

import salon
from salon.classic.application import Classic
from salon.classic.endpoints import router
from salon.classic.original import FromHeaders, Original
from salon.gateway.server import listen
from salon.gateway.standalone import Standalone
from salon.messaging.principal import Authenticator, HeaderAuthenticator

LIBRARIES = Path(salon.__file__).parent / "webapp" / "classic-lib"

_SUFFIXES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".png": "image/png",
    ".ico": "image/x-icon",
}

_POLICY = (
    "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none';"
    " script-src 'self' https://cdnjs.cloudflare.com; style-src 'self' 'unsafe-inline'"
    " https:; font-src 'self' https:; connect-src 'self'"
)
"""For pages that somebody else wrote, as S0's: they load their libraries from there."""


class ClassicServer(Standalone):
    """S0's application: guests with names, pages under ``/classic/``."""

    name = "Salon-classic"

    def prepare(self) -> None:
        classic = Classic(self.template, self.users)
        classic.listen(self.events)
        self.controllers = classic.controllers
        self.grants = classic.grants
        self.routers = (_home("/classic/"), router(classic, LIBRARIES))


class OriginalServer(Standalone):
    """The same as it was: identity from the CONNECT headers, its own pages.

    Args:
        listening, stomp, origins: see ``Standalone``.
        pages: folder of a front end that is served below ``/``.
    """

    name = "Salon-classic"
    literal_users = True

    def __init__(
        self,
        listening: socket.socket,
        *,
        stomp: socket.socket | None = None,
        origins: Iterable[str] = (),
        pages: Path | None = None,
    ) -> None:
        super().__init__(listening, stomp=stomp, origins=origins)
        self._pages = pages

    def prepare(self) -> None:
        original = Original(self.template)
        original.listen(self.events)
        self.controllers = original.controllers
        self.grants = original.grants
        pages = [_folder(self._pages)] if self._pages else [_home("/classic/")]
        self.routers = (router(original, LIBRARIES), *pages)

    def authenticator(self) -> Authenticator | HeaderAuthenticator:
        return FromHeaders()


def _home(target: str) -> APIRouter:
    made = APIRouter(include_in_schema=False)

    @made.get("/")
    async def home() -> Response:
        return RedirectResponse(target, 307)

    return made


def _folder(pages: Path) -> APIRouter:
    """The files that are in a folder now, and its ``index.html`` as ``/``."""
    made = APIRouter(include_in_schema=False)
    files = {
        path.relative_to(pages).as_posix(): path
        for path in pages.rglob("*")
        if path.is_file() and path.suffix in _SUFFIXES
    }
    if "index.html" in files:
        files[""] = files["index.html"]

    def serving(path: Path) -> "FileResponse":
        return FileResponse(
            path,
            media_type=_SUFFIXES[path.suffix],
            headers={"content-security-policy": _POLICY, "cache-control": "no-cache"},
        )

    for name, path in files.items():
        made.add_api_route(
            f"/{name}", lambda path=path: serving(path), methods=["GET", "HEAD"]
        )
    return made


def classic(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port of pages and sockets.")] = 8080,
    stomp_port: Annotated[
        int, typer.Option(help="Also STOMP over plain TCP on this port; 0: no.")
    ] = 0,
    origin: Annotated[
        list[str] | None, typer.Option(help="A page elsewhere that may connect.")
    ] = None,
    identity_from_headers: Annotated[
        bool,
        typer.Option(
            help="Believe the CONNECT headers User-ID and User-Name, as the original"
            " did: anybody can be anybody. For its own front end only."
        ),
    ] = False,
    pages: Annotated[
        Path | None,
        typer.Option(help="With that: a folder of pages to serve, as the original's."),
    ] = None,
) -> None:
    """Run the guest chat alone: rooms by name, no accounts, nothing kept."""
    if pages is not None and not identity_from_headers:
        raise typer.BadParameter("--pages needs --identity-from-headers")
    with ExitStack() as open_:
        listening = open_.enter_context(listen(host, port))
        stomp = open_.enter_context(listen(host, stomp_port)) if stomp_port else None
        if identity_from_headers:
            sys.stderr.write(
                "salon: anybody who connects can be anybody (--identity-from-headers)\n"
            )
        asyncio.run(
            _serve(
                lambda: (
                    OriginalServer(
                        listening, stomp=stomp, origins=origin or (), pages=pages
                    )
                    if identity_from_headers
                    else ClassicServer(listening, stomp=stomp, origins=origin or ())
                )
            )
        )


async def _serve(make: Callable[[], Standalone]) -> None:
    stop = asyncio.Event()
    for each in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(each, stop.set)
    async with make() as server:
        print(f"Salon classic is ready: {server.url}/", flush=True)
        await stop.wait()
