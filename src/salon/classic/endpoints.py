"""The guest pages over HTTP, and S0's push from an HTTP handler into a topic."""

from pathlib import Path
from typing import Annotated, Protocol

from fastapi import APIRouter, HTTPException, Query
from fastapi.responses import FileResponse, RedirectResponse, Response

from salon.classic.messages import CONTENT_CHARS, MessageType

PAGES = Path(__file__).parent / "pages"

LIBRARIES = frozenset({"sockjs.min.js", "stomp.umd.min.js"})
"""What the pages load besides their own files; the web build provides them."""

_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
}
_ASK_AGAIN = {"cache-control": "no-cache"}


class Announces(Protocol):
    """An application that takes a push from outside."""

    def announce(
        self, kind: MessageType, content: str | None, sender: str | None
    ) -> int: ...


def router(classic: Announces, lib_dir: Path, *, pages: Path = PAGES) -> APIRouter:
    """``/classic/``, its files, and ``/testSendMessage``.

    Args:
        classic: the application behind the pages.
        lib_dir: holds ``LIBRARIES``; they are 404 where it does not.
        pages: the static files; only those that are there now are served.
    """
    made = APIRouter(include_in_schema=False)
    names = frozenset(file.name for file in pages.iterdir() if file.suffix in _TYPES)

    @made.get("/classic")
    async def without_slash() -> Response:
        return RedirectResponse("/classic/", 308)

    @made.get("/classic/")
    async def index() -> Response:
        return _file(pages / "index.html")

    @made.get("/classic/lib/{name}")
    async def library(name: str) -> Response:
        if name not in LIBRARIES or not (lib_dir / name).is_file():
            raise HTTPException(404)
        return _file(lib_dir / name)

    @made.get("/classic/{name}")
    async def page(name: str) -> Response:
        if name not in names:
            raise HTTPException(404)
        return _file(pages / name)

    @made.get("/testSendMessage", status_code=204)
    async def test_send_message(
        type: Annotated[MessageType, Query()] = MessageType.CHAT,  # noqa: A002
        content: Annotated[str | None, Query(max_length=CONTENT_CHARS)] = None,
        sender: Annotated[str | None, Query(max_length=60)] = None,
    ) -> None:
        classic.announce(type, content, sender)

    return made


def _file(path: Path) -> Response:
    return FileResponse(path, media_type=_TYPES[path.suffix], headers=_ASK_AGAIN)
