"""The SockJS transports for old browsers over real sockets, and HTTP/1.0."""

import json
import re

import httpx
import pytest

from salon.gateway.edge import EdgeLimits, SockJsOptions
from tests.gateway.harness import (
    ORIGIN,
    Gateway,
    RawClient,
    gateway,
    keep,
    tcp,
    upgrade,
)

SESSION = "/ws/000/session1"
EVERYTHING = SockJsOptions(jsonp=True, iframe="/sockjs.min.js", cookie_needed=True)
PAGE = {"referer": ORIGIN + "/chat?room=1"}
FORM = {"content-type": "application/x-www-form-urlencoded"}


@pytest.fixture
async def running():
    async with gateway(edge={"sockjs": EVERYTHING}) as running:
        yield running


@pytest.fixture
async def client(running: Gateway):
    async with httpx.AsyncClient(base_url=running.url, timeout=30) as client:
        yield client


async def get(raw: RawClient, path: str, version: str = "1.1") -> None:
    """Ask for a stream; read the head of its answer."""
    raw.write(f"GET {path} HTTP/{version}\r\nHost: x\r\n\r\n".encode())
    await raw.head()


async def chunk(raw: RawClient) -> bytes:
    size = int(await raw.reader.readline(), 16)
    data = await raw.reader.readexactly(size)
    await raw.reader.readline()
    return data


# -- eventsource -----------------------------------------------------------------


async def test_eventsource_streams_events(running: Gateway):
    async with tcp(running.port) as raw:
        await get(raw, SESSION + "/eventsource")

        assert raw.status == 200
        assert raw.headers["content-type"] == "text/event-stream; charset=UTF-8"
        assert "no-store" in raw.headers["cache-control"]
        assert await chunk(raw) == b"\r\n"
        assert await chunk(raw) == b"data: o\r\n\r\n"
        running.opened[0].channel.send(b"100 %\r\n\x00")
        assert await chunk(raw) == b'data: a["100 %25\\r\\n\\u0000"]\r\n\r\n'
        assert running.opened[0].channel.handshake.transport == "eventsource"


async def test_eventsource_is_fed_by_xhr_send(
    running: Gateway, client: httpx.AsyncClient
):
    async with tcp(running.port) as raw:
        await get(raw, SESSION + "/eventsource")
        await chunk(raw)
        await chunk(raw)
        sent = await client.post(SESSION + "/xhr_send", content='["x"]')

        assert sent.status_code == 204
        assert await chunk(raw) == b'data: a["x"]\r\n\r\n'


@pytest.mark.parametrize("transport", ["eventsource", "htmlfile?c=f"])
async def test_a_stream_ends_after_the_limit(transport: str):
    async with (
        gateway(limits=EdgeLimits(response=4096)) as running,
        tcp(running.port) as raw,
    ):
        for opening in range(2):
            await get(raw, f"{SESSION}/{transport}")
            await chunk(raw)
            if opening == 0:
                await chunk(raw)
            running.opened[0].channel.send(b"x" * 5000)
            assert b"x" * 5000 in await chunk(raw)
            assert await chunk(raw) == b""


# -- htmlfile --------------------------------------------------------------------


async def test_htmlfile_calls_its_parent(running: Gateway):
    async with tcp(running.port) as raw:
        await get(raw, SESSION + "/htmlfile?c=_jp.a1")
        prelude = await chunk(raw)

        assert raw.headers["content-type"] == "text/html; charset=UTF-8"
        assert len(prelude) > 1024
        assert b"parent._jp.a1;" in prelude
        assert await chunk(raw) == b'<script>\np("o");\n</script>\r\n'
        running.opened[0].channel.send(b"</script>")
        frame = await chunk(raw)
        assert frame.count(b"</script>") == 1
        said = json.loads(re.search(rb'p\((".*")\);', frame)[1])
        assert json.loads(said[1:]) == ["</script>"]


async def test_htmlfile_has_a_policy_of_its_own_and_others_keep_theirs():
    async with (
        gateway() as running,
        httpx.AsyncClient(base_url=running.url, timeout=30) as client,
        tcp(running.port) as raw,
    ):
        await get(raw, SESSION + "/htmlfile?c=f")
        policy = raw.headers["content-security-policy"]

        assert "default-src 'none'" in policy
        assert policy.endswith("frame-ancestors 'self'")
        other = await client.get("/ws/info")
        assert "frame-ancestors 'none'" in other.headers["content-security-policy"]
        assert "unsafe-inline" not in other.headers["content-security-policy"]
        assert other.headers["x-frame-options"] == "DENY"


async def test_htmlfile_may_stand_in_the_page_for_iframes(running: Gateway):
    async with tcp(running.port) as raw:
        await get(raw, SESSION + "/htmlfile?c=f")

        policy = raw.headers["content-security-policy"]
        assert policy.endswith(f"frame-ancestors 'self' {ORIGIN}")


@pytest.mark.parametrize("transport", ["htmlfile", "jsonp"])
async def test_a_callback_is_asked_for(client: httpx.AsyncClient, transport: str):
    missing = await client.get(f"{SESSION}/{transport}", headers=PAGE)
    wrong = await client.get(f"{SESSION}/{transport}?c=a(b", headers=PAGE)

    assert (missing.status_code, missing.text) == (
        500,
        '"callback" parameter required',
    )
    assert (wrong.status_code, wrong.text) == (500, 'invalid "callback" parameter')
    assert (await client.post(SESSION + "/xhr_send", content="[]")).status_code == 404


# -- jsonp -----------------------------------------------------------------------


async def test_jsonp_is_a_script_with_one_frame(client: httpx.AsyncClient):
    opened = await client.get(SESSION + "/jsonp?c=cb", headers=PAGE)
    sent = await client.post(
        SESSION + "/jsonp_send", content="d=%5B%22x%22%5D", headers=FORM
    )
    raw = await client.post(
        SESSION + "/jsonp_send",
        content='["y"]',
        headers={"content-type": "text/plain"},
    )
    got = await client.get(SESSION + "/jsonp?c=cb", headers=PAGE)

    assert opened.text == '/**/cb("o");\r\n'
    assert opened.headers["content-type"] == "application/javascript; charset=UTF-8"
    assert opened.headers["x-content-type-options"] == "nosniff"
    assert "no-store" in opened.headers["cache-control"]
    assert (sent.status_code, sent.text) == (raw.status_code, raw.text) == (200, "ok")
    assert got.text == '/**/cb("a[\\"x\\",\\"y\\"]");\r\n'


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("d=", "Payload expected."),
        ("", "Payload expected."),
        ("d=%5B%22x", "Broken JSON encoding."),
        ("d=x", "Broken JSON encoding."),
    ],
)
async def test_what_jsonp_send_refuses(client: httpx.AsyncClient, body: str, why: str):
    await client.get(SESSION + "/jsonp?c=cb", headers=PAGE)
    answer = await client.post(SESSION + "/jsonp_send", content=body, headers=FORM)

    assert (answer.status_code, answer.text) == (500, why)


async def test_jsonp_send_to_nobody_is_404(client: httpx.AsyncClient):
    answer = await client.post(
        "/ws/000/nobody/jsonp_send", content="d=%5B%5D", headers=FORM
    )

    assert answer.status_code == 404


async def test_a_closed_session_says_so_by_jsonp(
    running: Gateway, client: httpx.AsyncClient
):
    await client.get(SESSION + "/jsonp?c=cb", headers=PAGE)
    running.opened[0].channel.close(3000, "Go away!")
    answer = await client.get(SESSION + "/jsonp?c=cb", headers=PAGE)

    assert answer.text == '/**/cb("c[3000,\\"Go away!\\"]");\r\n'


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        pytest.param({}, 403, id="anybody's page"),
        pytest.param({"referer": "http://evil.test/"}, 403, id="another page"),
        pytest.param({"referer": "http://salon.test.evil/"}, 403, id="a longer name"),
        pytest.param({"referer": "http://salon.test@evil.test/"}, 403, id="a login"),
        pytest.param({"referer": "nonsense"}, 403, id="no address"),
        pytest.param({"origin": "null", **PAGE}, 403, id="origin counts first"),
        pytest.param({"origin": ORIGIN}, 200, id="our origin"),
        pytest.param({"sec-fetch-site": "cross-site", **PAGE}, 200, id="a listed page"),
    ],
)
async def test_a_script_tag_is_served_to_listed_pages_only(
    client: httpx.AsyncClient, headers: dict[str, str], status: int
):
    answer = await client.get(SESSION + "/jsonp?c=cb", headers=headers)

    assert answer.status_code == status
    if status == 200:
        assert answer.headers["cross-origin-resource-policy"] == "cross-origin"


async def test_the_origin_is_checked_on_every_transport(
    running: Gateway, client: httpx.AsyncClient
):
    evil = {"origin": "http://evil.test"}
    for method, transport in [
        ("POST", "xhr"),
        ("POST", "xhr_streaming"),
        ("POST", "xhr_send"),
        ("POST", "jsonp_send"),
        ("GET", "eventsource"),
        ("GET", "htmlfile?c=f"),
        ("GET", "jsonp?c=f"),
        ("GET", "websocket"),
    ]:
        answer = await client.request(method, f"{SESSION}/{transport}", headers=evil)
        assert answer.status_code == 403, transport
        assert answer.json()["code"] == "origin_refused"
    for transport in ["eventsource", "htmlfile?c=f"]:
        framed = await client.get(
            f"{SESSION}/{transport}", headers={"sec-fetch-site": "cross-site"}
        )
        assert framed.status_code == 403, transport
    assert running.opened == []


# -- the page for iframes --------------------------------------------------------


async def test_the_page_for_iframes_is_kept_and_names_who_may_frame_it(
    client: httpx.AsyncClient,
):
    page = await client.get(
        "/ws/iframe-1.6.1.html", headers={"sec-fetch-site": "cross-site"}
    )
    again = await client.get(
        "/ws/iframe.html", headers={"if-none-match": page.headers["etag"]}
    )

    assert page.status_code == 200
    assert 'src="/sockjs.min.js"' in page.text
    assert page.headers["content-type"] == "text/html; charset=UTF-8"
    assert "max-age=31536000" in page.headers["cache-control"]
    assert page.headers["expires"].endswith("GMT")
    assert "last-modified" not in page.headers
    assert "set-cookie" not in page.headers
    assert "x-frame-options" not in page.headers
    policy = page.headers["content-security-policy"]
    assert f"frame-ancestors 'self' {ORIGIN}" in policy
    assert "unsafe" not in policy
    assert (again.status_code, again.content) == (304, b"")
    assert "content-type" not in again.headers
    assert again.headers["etag"] == page.headers["etag"]


async def test_a_page_that_changed_is_sent_again(client: httpx.AsyncClient):
    answer = await client.get("/ws/iframe.html", headers={"if-none-match": '"old"'})

    assert answer.status_code == 200


# -- JSESSIONID ------------------------------------------------------------------


async def test_the_routing_cookie_is_on_every_answer_of_a_session(
    running: Gateway, client: httpx.AsyncClient
):
    assert (await client.get("/ws/info")).json()["cookie_needed"] is True
    for path in ["/ws", "/ws/info"]:
        assert "set-cookie" not in (await client.get(path)).headers
    answers = [
        await client.post(SESSION + "/xhr"),
        await client.post(SESSION + "/xhr_send", content='["x"]'),
        await client.options(SESSION + "/xhr"),
        await client.get("/ws/0/j/jsonp?c=f", headers=PAGE),
        await client.post("/ws/0/j/jsonp_send", content="d=[]", headers=FORM),
    ]
    for answer in answers:
        assert answer.headers["set-cookie"] == "JSESSIONID=dummy; path=/"
    for path in ["eventsource", "htmlfile?c=f"]:
        async with tcp(running.port) as raw:
            await get(raw, f"/ws/0/{path[:2]}/{path}")
            assert raw.headers["set-cookie"] == "JSESSIONID=dummy; path=/"


@pytest.mark.parametrize(
    ("given", "back"), [("abcdef", "abcdef"), ("a;b", "a"), ("ä", "dummy")]
)
async def test_the_routing_cookie_comes_back(running: Gateway, given: str, back: str):
    async with tcp(running.port) as raw:
        raw.write(f"POST {SESSION}/xhr HTTP/1.1\r\nHost: x\r\n".encode())
        raw.write(f"Cookie: JSESSIONID={given}\r\n".encode())
        raw.write(b"Content-Length: 0\r\n\r\n")
        await raw.head()

        assert raw.headers["set-cookie"] == f"JSESSIONID={back}; path=/"


# -- what is off -----------------------------------------------------------------


async def test_what_is_off_is_not_there():
    off = SockJsOptions(websocket=False)
    async with (
        gateway(edge={"sockjs": off}) as running,
        httpx.AsyncClient(base_url=running.url, timeout=30) as client,
        tcp(running.port) as raw,
    ):
        for path in ["/ws/iframe.html", SESSION + "/jsonp?c=f", "/ws/websocket"]:
            assert (await client.get(path, headers=PAGE)).status_code == 404
        sent = await client.post(SESSION + "/jsonp_send", content="d=[]", headers=FORM)
        assert sent.status_code == 404
        info = await client.get("/ws/info")
        assert info.json()["websocket"] is False
        assert info.json()["cookie_needed"] is False
        opened = await client.post(SESSION + "/xhr")
        assert "set-cookie" not in opened.headers

        raw.write(upgrade(SESSION + "/websocket"))
        await raw.head()
        assert raw.status == 404


# -- HTTP ------------------------------------------------------------------------


async def test_http_1_0_gets_no_chunks(running: Gateway):
    running.on_data = keep
    async with tcp(running.port) as raw:
        await get(raw, SESSION + "/eventsource", version="1.0")

        assert raw.status == 200
        assert "transfer-encoding" not in raw.headers
        assert raw.headers["connection"] == "close"
        expected = b"\r\ndata: o\r\n\r\n"
        assert await raw.reader.readexactly(len(expected)) == expected
        running.opened[0].channel.close(3000, "Go away!")
        assert await raw.reader.read() == b'data: c[3000,"Go away!"]\r\n\r\n'


async def test_http_1_0_gets_whole_answers_with_their_length(running: Gateway):
    async with tcp(running.port) as raw:
        await get(raw, "/ws", version="1.0")

        assert raw.headers["content-length"] == "19"
        assert await raw.reader.read() == b"Welcome to SockJS!\n"


async def test_http_1_1_keeps_the_connection(running: Gateway):
    async with tcp(running.port) as raw:
        for _ in range(2):
            await get(raw, "/ws")
            assert "connection" not in raw.headers
            assert await raw.body() == b"Welcome to SockJS!\n"


async def test_an_upgrade_that_is_none_is_no_websocket(running: Gateway):
    """Some proxies take ``Upgrade`` out of ``Connection``."""
    async with tcp(running.port) as raw:
        raw.write(
            f"GET {SESSION}/websocket HTTP/1.1\r\nHost: x\r\n"
            "Connection: close\r\nUpgrade: websocket\r\n\r\n".encode()
        )
        await raw.head()

        assert raw.status == 400
        assert await raw.body() == b"Not a valid websocket request"
