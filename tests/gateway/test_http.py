"""Routers, errors by table, limits, headers, the web page."""

from pathlib import Path

import httpx
import pytest
from fastapi import APIRouter
from pydantic import BaseModel, Field

from salon.errors import Refusal, Unavailable
from salon.gateway import guard
from salon.gateway.edge import EdgeLimits
from tests.gateway.harness import ORIGIN, Log, gateway, tcp


class Order(BaseModel):
    dish: str = Field(max_length=5)
    sizes: list[int] = []


def router() -> APIRouter:
    api = APIRouter(prefix="/api/v1")

    @api.get("/refuse")
    async def refuse() -> None:
        raise Refusal(
            "not_a_member",
            "You are not a member.",
            field="conversation",
            params={"n": 3},
            retry_after=2.5,
            status=403,
        )

    @api.get("/unavailable")
    async def unavailable() -> None:
        raise Unavailable("disk /secret/path is full")

    @api.get("/bug")
    async def bug() -> None:
        raise RuntimeError("/secret/path")

    @api.post("/order")
    async def order(order: Order) -> Order:
        return order

    return api


@pytest.fixture
async def client():
    async with (
        gateway(routers=[router()], body_limit=10_000) as running,
        httpx.AsyncClient(base_url=running.url) as client,
    ):
        yield client


async def test_a_refusal_is_json_with_its_status(client: httpx.AsyncClient):
    answer = await client.get("/api/v1/refuse")

    assert answer.status_code == 403
    assert answer.headers["retry-after"] == "2"
    assert answer.json() == {
        "code": "not_a_member",
        "message": "You are not a member.",
        "field": "conversation",
        "params": {"n": 3},
        "retry_after": 2.5,
    }


async def test_an_engine_that_cannot_is_503_without_details(client: httpx.AsyncClient):
    answer = await client.get("/api/v1/unavailable")

    assert answer.status_code == 503
    assert answer.json()["code"] == "unavailable"
    assert "secret" not in answer.text
    assert answer.headers["retry-after"] == "1"


async def test_a_bug_is_500_with_nothing_but_the_request_id(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
):
    log = Log()
    monkeypatch.setattr(guard, "log", log)
    answer = await client.get("/api/v1/bug")

    assert answer.status_code == 500
    assert answer.json()["code"] == "internal"
    assert "secret" not in answer.text
    assert answer.json()["params"] == {"request_id": answer.headers["x-request-id"]}
    said = {"request_id": answer.headers["x-request-id"], "path": "/api/v1/bug"}
    assert log.events == [("gateway.request", said)]
    assert str(log.failures[0]) == "/secret/path"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"dish": "toolong"}, "dish"),
        ({}, "dish"),
        ({"dish": 7}, "dish"),
        ({"dish": "ok", "sizes": [1, "x"]}, "sizes.1"),
        ([], None),
    ],
)
async def test_a_body_that_does_not_fit_names_the_field(
    client: httpx.AsyncClient, body: object, field: str | None
):
    answer = await client.post("/api/v1/order", json=body)

    assert answer.status_code == 422
    assert answer.json()["code"] == "invalid"
    assert answer.json().get("field") == field


@pytest.mark.parametrize(
    "body", [b"{", b"\xff", b"[" * 9999, b'{"dish":"x","sizes":[' + b"9" * 5000 + b"]}"]
)
async def test_a_broken_body_is_the_askers_fault(
    client: httpx.AsyncClient, body: bytes
):
    answer = await client.post(
        "/api/v1/order", content=body, headers={"content-type": "application/json"}
    )

    assert answer.status_code in {400, 422}
    assert answer.json()["code"] in {"invalid", "bad_request"}


async def test_a_body_over_the_limit_is_413(client: httpx.AsyncClient):
    answer = await client.post("/api/v1/order", content=b"x" * 10_001)

    assert answer.status_code == 413
    assert answer.json()["code"] == "too_big"
    assert answer.json()["params"] == {"limit": 10_000}


async def test_a_chunked_body_over_the_limit_is_413(client: httpx.AsyncClient):
    async def chunks():
        for _ in range(3):
            yield b"x" * 4000

    answer = await client.post("/api/v1/order", content=chunks())

    assert answer.status_code == 413


async def test_unknown_addresses_and_methods_have_our_shape(client: httpx.AsyncClient):
    missing = await client.get("/api/v1/nothing")
    wrong = await client.delete("/api/v1/order")

    assert (missing.status_code, missing.json()["code"]) == (404, "not_found")
    assert (wrong.status_code, wrong.json()["code"]) == (405, "method_not_allowed")
    assert wrong.headers["allow"] == "POST"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"origin": ORIGIN}, 200),
        ({"origin": ORIGIN + ".evil.org"}, 403),
        ({"origin": ORIGIN + ":8080"}, 403),
        ({"origin": ORIGIN.replace("http:", "https:")}, 403),
        ({"origin": ORIGIN.upper()}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "http://127.0.0.1"}, 403),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "same-site"}, 403),
        ({"sec-fetch-site": "same-origin"}, 200),
    ],
)
async def test_another_sites_page_cannot_change_anything(
    client: httpx.AsyncClient, headers: dict[str, str], status: int
):
    answer = await client.post("/api/v1/order", json={"dish": "pie"}, headers=headers)

    assert answer.status_code == status
    assert "access-control-allow-origin" not in answer.headers
    if status == 403:
        assert answer.json()["code"] == "origin_refused"


async def test_no_preflight_of_another_site_is_granted(client: httpx.AsyncClient):
    answer = await client.options(
        "/api/v1/order",
        headers={"origin": "http://evil.org", "access-control-request-method": "POST"},
    )

    assert not [name for name in answer.headers if name.startswith("access-control")]


async def test_every_answer_carries_the_security_headers(client: httpx.AsyncClient):
    for path in ["/healthz", "/api/v1/bug", "/nothing", "/ws", "/api/v1/refuse"]:
        headers = (await client.get(path)).headers

        assert "unsafe-inline" not in headers["content-security-policy"]
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert "img-src 'self' data: blob:" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "same-origin"
        assert "server" not in headers


# -- for operators -----------------------------------------------------------------


async def test_health_and_version(client: httpx.AsyncClient):
    assert (await client.get("/healthz")).json() == {"status": "ok"}
    assert (await client.get("/version")).json()["name"] == "salon"
    assert (await client.get("/readyz")).json() == {"status": "ready"}


async def test_readiness_names_what_is_missing_to_people_on_this_machine():
    async def ready() -> dict[str, str]:
        return {"log": "replaying"}

    async with (
        gateway(ready=ready) as running,
        httpx.AsyncClient(base_url=running.url) as client,
    ):
        here = await client.get("/readyz")
        proxied = await client.get("/readyz", headers={"x-forwarded-for": "9.9.9.9"})

        assert here.status_code == proxied.status_code == 503
        assert here.json()["problems"] == {"log": "replaying"}
        assert proxied.json() == {"status": "unready"}


async def test_metrics_are_for_this_machine_only(client: httpx.AsyncClient):
    here = await client.get("/metrics")
    proxied = await client.get("/metrics", headers={"x-forwarded-for": "127.0.0.1"})

    assert "salon_connections" in here.text
    assert proxied.status_code == 404


async def test_there_are_no_interactive_docs(client: httpx.AsyncClient):
    for path in ["/docs", "/redoc", "/openapi.json"]:
        assert (await client.get(path)).status_code == 404


# -- the web page ------------------------------------------------------------------


@pytest.fixture
async def page(tmp_path: Path):
    folder = tmp_path / "app"
    (folder / "assets").mkdir(parents=True)
    (folder / "index.html").write_text("<!doctype html><title>Salon</title>")
    (folder / "assets" / "main-1a2b3c.js").write_text("export {}")
    (tmp_path / "secret.txt").write_text("secret")
    async with (
        gateway(routers=[router()], webapp=folder) as running,
        httpx.AsyncClient(base_url=running.url) as client,
    ):
        yield client


@pytest.mark.parametrize("path", ["/", "/c/123", "/join", "/index.html"])
async def test_every_address_of_the_page_is_the_page(
    page: httpx.AsyncClient, path: str
):
    answer = await page.get(path)

    assert answer.status_code == 200
    assert "<title>Salon" in answer.text
    assert answer.headers["cache-control"] == "no-cache"
    assert answer.headers["content-type"] == "text/html; charset=utf-8"


async def test_hashed_files_are_kept_for_ever(page: httpx.AsyncClient):
    answer = await page.get("/assets/main-1a2b3c.js")

    assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert answer.headers["content-type"] == "text/javascript; charset=utf-8"


@pytest.mark.parametrize(
    "path", ["/assets/gone-1a2b3c.js", "/assets/x", "/favicon.ico", "/a.b"]
)
async def test_a_missing_file_is_not_the_page(page: httpx.AsyncClient, path: str):
    """A script tag that gets HTML says nothing of what is wrong."""
    assert (await page.get(path)).status_code == 404


async def test_an_unknown_address_of_the_api_is_not_the_page(page: httpx.AsyncClient):
    answer = await page.get("/api/v1/nothing")

    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    assert (await page.get("/media/x")).status_code == 404


@pytest.mark.parametrize(
    "target", [b"/../secret.txt", b"/%2e%2e/secret.txt", b"/..%2fsecret.txt", b"/%00"]
)
async def test_no_address_leaves_the_folder(page: httpx.AsyncClient, target: bytes):
    async with tcp(page.base_url.port) as client:
        client.write(b"GET %b HTTP/1.1\r\nHost: x\r\n\r\n" % target)
        await client.head()
        body = await client.body()

        assert b"secret" not in body


async def test_an_unchanged_page_is_304(page: httpx.AsyncClient):
    first = await page.get("/")
    again = await page.get("/", headers={"if-none-match": first.headers["etag"]})

    assert (again.status_code, again.content) == (304, b"")


# -- what the parser and the socket bound -------------------------------------------


@pytest.mark.parametrize(
    "request_bytes",
    [
        pytest.param(
            b"POST /api/v1/order HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            id="content-length and chunked",
        ),
        pytest.param(
            b"GET /healthz HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\n\r\n", id="obs-fold"
        ),
        pytest.param(b"GET /healthz HTTP/1.1\nHost: x\n\n", id="bare LF"),
        pytest.param(
            b"GET /healthz HTTP/1.1\r\nHost : x\r\n\r\n", id="space before the colon"
        ),
        pytest.param(
            b"POST /api/v1/order HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n"
            b"Content-Length: 2\r\n\r\nab",
            id="two lengths",
        ),
        pytest.param(b"GARBAGE\r\n\r\n", id="no request at all"),
        pytest.param(
            b"GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\n"
            b"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
            b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nContent-Length: 5\r\n"
            b"\r\nhello",
            id="upgrade with a body",
        ),
    ],
)
async def test_ambiguous_requests_are_refused(request_bytes: bytes):
    """What two parsers read differently lets requests be smuggled past the first."""
    async with gateway(routers=[router()]) as running, tcp(running.port) as client:
        client.write(request_bytes)
        await client.head()

        assert client.status == 400
        assert await client.ended()


async def test_a_head_over_the_limit_is_431():
    limits = EdgeLimits(head=1000, headers=10)
    async with gateway(limits=limits) as running:
        async with tcp(running.port) as client:
            client.write(b"GET / HTTP/1.1\r\nA: " + b"x" * 2000 + b"\r\n\r\n")
            await client.head()
            assert client.status == 431
        async with tcp(running.port) as client:
            client.write(b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 11 + b"\r\n")
            await client.head()
            assert client.status == 431
        async with tcp(running.port) as client:
            client.write(b"GET /" + b"x" * 2000 + b" HTTP/1.1\r\n\r\n")
            await client.head()
            assert client.status == 431


async def test_a_head_that_never_ends_is_408():
    limits = EdgeLimits(head_seconds=0.1)
    async with (
        gateway(limits=limits) as running,
        tcp(running.port) as silent,
        tcp(running.port) as slow,
    ):
        slow.write(b"GET / HTTP/1.1\r\nHost: x\r\n")
        await slow.head()

        assert slow.status == 408
        assert await slow.ended()
        assert await silent.ended()
