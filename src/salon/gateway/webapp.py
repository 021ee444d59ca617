"""The built web page, from a folder: files, and one page for every other address.

The page is a single-page application: it draws ``/c/123`` itself, so an address that
is no file gets ``index.html``. Files under ``assets/`` have their content's hash in
their name and never change; everything else is asked for anew each time (a 304 mostly).
"""

from pathlib import Path
from typing import Final

from starlette.responses import FileResponse, PlainTextResponse, Response
from starlette.types import Receive, Scope, Send

IMMUTABLE: Final = "public, max-age=31536000, immutable"
ASK_AGAIN: Final = "no-cache"

_TYPES: Final = {
    ".css": "text/css; charset=utf-8",
    ".gif": "image/gif",
    ".html": "text/html; charset=utf-8",
    ".ico": "image/x-icon",
    ".jpg": "image/jpeg",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".map": "application/json",
    ".mjs": "text/javascript; charset=utf-8",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
    ".wasm": "application/wasm",
    ".webmanifest": "application/manifest+json",
    ".webp": "image/webp",
    ".woff": "font/woff",
    ".woff2": "font/woff2",
}
"""Our own table: what the machine's mime database says must not change the page."""


class WebApp:
    """Serves GET and HEAD below ``folder``; an ASGI app."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder.resolve()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        response = self.answer(scope)
        await response(scope, receive, send)

    def answer(self, scope: Scope) -> Response:
        """The file at the request's path, or the page that draws it."""
        path: str = scope["path"]
        file = self._file(path.lstrip("/"))
        if file is None:
            last = path.rsplit("/", 1)[-1]
            if "." in last or path.startswith("/assets/"):
                return PlainTextResponse("Not found.\n", 404)
            file = self._file("index.html")
        if file is None:
            return PlainTextResponse(
                "The web page is not built: run `make web`.\n", 404
            )
        immutable = path.startswith("/assets/")
        response = FileResponse(
            file,
            stat_result=file.stat(),
            media_type=_TYPES.get(file.suffix, "application/octet-stream"),
            headers={"cache-control": IMMUTABLE if immutable else ASK_AGAIN},
        )
        if _unchanged(scope, response):
            return Response(
                status_code=304,
                headers={
                    "etag": response.headers["etag"],
                    "cache-control": response.headers["cache-control"],
                },
            )
        return response

    def _file(self, name: str) -> Path | None:
        """The file called ``name`` inside the folder, never one outside."""
        if "\0" in name or not name:
            return None
        file = (self._folder / name).resolve()
        if not file.is_relative_to(self._folder) or not file.is_file():
            return None
        return file


def _unchanged(scope: Scope, response: Response) -> bool:
    """Whether the client has this very version (RFC 9110, If-None-Match)."""
    for name, value in scope["headers"]:
        if name == b"if-none-match":
            tags = {tag.strip().removeprefix("W/") for tag in value.decode().split(",")}
            return response.headers["etag"] in tags
    return False
