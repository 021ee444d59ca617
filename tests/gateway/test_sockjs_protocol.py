"""sockjs-protocol 0.3.3, class by class, against four services of one process.

The classes and tests have the protocol's names; the four services are the ones that its
tests demand (``/echo``, ``/close``, ``/disabled_websocket_echo``,
``/cookie_needed_echo``). Where Salon decides otherwise on purpose a test says so:

* an ``Origin`` that is not in the list is refused, ``null`` too, and without ``Origin``
  there are no CORS headers (the protocol answers ``*`` to everybody);
* WebSocket is RFC 6455: version 13. Hixie-76 and the drafts 7 and 8 get 426.
"""

import asyncio
import json
import re
from contextlib import asynccontextmanager
from uuid import uuid4

import httpx
import pytest

from salon.gateway.edge import EdgeLimits, SockJsOptions
from tests.gateway.harness import (
    ORIGIN,
    Recorder,
    frame,
    gateway,
    tcp,
    text,
    upgrade,
    websocket,
)

YEAR = re.compile(r"max-age=[1-9][0-9]{6}")
FORM = {"content-type": "application/x-www-form-urlencoded"}
GO_AWAY = 'c[3000,"Go away!"]'


class Closing(Recorder):
    def on_open(self, channel):
        super().on_open(channel)
        asyncio.get_running_loop().call_soon(channel.close, 3000, "Go away!")


@pytest.fixture
async def place():
    """Streams end after 4096 bytes, as the protocol's tests want it."""
    options = SockJsOptions(jsonp=True, iframe="/sockjs.js", chunking_test=True)
    async with gateway(
        limits=EdgeLimits(response=4096),
        edge={"prefix": "/echo", "sockjs": options},
        services=lambda edge, running: (
            edge.mount("/close", channels=lambda: Closing(running)),
            edge.mount(
                "/disabled_websocket_echo", sockjs=SockJsOptions(websocket=False)
            ),
            edge.mount(
                "/cookie_needed_echo",
                sockjs=SockJsOptions(cookie_needed=True, jsonp=True),
            ),
        ),
    ) as running:
        yield running


@pytest.fixture
async def http(place):
    headers = {"referer": f"{ORIGIN}/page"}
    async with httpx.AsyncClient(
        base_url=place.url, timeout=30, headers=headers, verify=False
    ) as client:
        yield client


def session(service="/echo"):
    return f"{service}/000/{uuid4()}"


def not_cached(answer):
    control = answer.headers["cache-control"]
    assert set(control.split(", ")) >= {
        "no-store",
        "no-cache",
        "must-revalidate",
        "max-age=0",
    }
    assert "expires" not in answer.headers
    assert "last-modified" not in answer.headers


@asynccontextmanager
async def streaming(place, method, path, body=""):
    async with tcp(place.port) as raw:
        raw.write(
            f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n"
            f"Content-Length: {len(body)}\r\n\r\n{body}".encode()
        )
        await raw.head()
        raw.read = lambda: chunk(raw)
        yield raw


async def chunk(raw):
    async with asyncio.timeout(20):
        size = int(await raw.reader.readline(), 16)
        data = await raw.reader.readexactly(size)
        assert await raw.reader.readline() == b"\r\n"
        return data


async def options_say(http, path, methods):
    answer = await http.options(path, headers={"origin": ORIGIN})
    assert answer.status_code == 204
    assert "public" in answer.headers["cache-control"]
    assert YEAR.search(answer.headers["cache-control"])
    assert answer.headers["expires"]
    assert int(answer.headers["access-control-max-age"]) > 1_000_000
    assert answer.headers["access-control-allow-methods"] == methods
    assert answer.headers["access-control-allow-origin"] == ORIGIN
    assert answer.headers["access-control-allow-credentials"] == "true"
    assert answer.content == b""


class TestBaseUrlGreeting:
    @pytest.mark.parametrize("path", ["/echo", "/echo/", "/close", "/close/"])
    async def test_greeting(self, http, path):
        answer = await http.get(path)

        assert (answer.status_code, answer.text) == (200, "Welcome to SockJS!\n")
        assert answer.headers["content-type"].lower() == "text/plain; charset=utf-8"
        assert "set-cookie" not in answer.headers

    @pytest.mark.parametrize(
        "suffix", ["/a", "/a.html", "//", "///", "/a/a", "/a/a/", "/a/"]
    )
    async def test_not_found(self, http, suffix):
        assert (await http.get(f"/echo{suffix}")).status_code == 404

    async def test_a_prefix_is_whole_segments(self, http):
        assert (await http.get("/echoes/info")).status_code == 404


class TestIframePage:
    @pytest.mark.parametrize(
        "page",
        [
            "/iframe.html",
            "/iframe-a.html",
            "/iframe-.html",
            "/iframe-0.1.2.html",
            "/iframe-0.1.2abc-dirty.2144.html",
            "/iframe-a.html?t=1234",
            "/iframe-0.1.2abc-dirty.2144.html?t=qweqweq123",
        ],
    )
    async def test_simple_versioned_and_queried_url(self, http, page):
        answer = await http.get(f"/echo{page}")

        assert answer.status_code == 200
        assert answer.headers["content-type"].lower() == "text/html; charset=utf-8"
        assert "public" in answer.headers["cache-control"]
        assert YEAR.search(answer.headers["cache-control"])
        assert answer.headers["expires"]
        assert answer.headers["etag"]
        assert "last-modified" not in answer.headers
        assert "set-cookie" not in answer.headers
        assert '<script src="/sockjs.js"></script>' in answer.text
        assert "SockJS.bootstrap_iframe" in answer.text

    @pytest.mark.parametrize(
        "page",
        [
            *("/iframe.htm", "/iframe", "/IFRAME.HTML", "/IFRAME", "/iframe.HTML"),
            *("/iframe.xml", "/iframe-/.html"),
        ],
    )
    async def test_invalid_url(self, http, page):
        assert (await http.get(f"/echo{page}")).status_code == 404

    async def test_cacheability(self, http):
        one, two = [await http.get("/echo/iframe.html") for _ in range(2)]
        again = await http.get(
            "/echo/iframe.html", headers={"if-none-match": one.headers["etag"]}
        )

        assert one.headers["etag"] == two.headers["etag"]
        assert (again.status_code, again.content) == (304, b"")
        assert "content-type" not in again.headers


class TestInfo:
    async def test_basic(self, http):
        answer = await http.get("/echo/info", headers={"origin": ORIGIN})
        said = answer.json()

        assert answer.status_code == 200
        assert answer.headers["content-type"].lower() == (
            "application/json; charset=utf-8"
        )
        not_cached(answer)
        assert answer.headers["access-control-allow-origin"] == ORIGIN
        assert "set-cookie" not in answer.headers
        assert said["websocket"] is True
        assert said["cookie_needed"] is False
        assert said["origins"] == ["*:*"]
        assert 0 <= said["entropy"] < 1 << 32

    async def test_entropy(self, http):
        one, two = [(await http.get("/echo/info")).json() for _ in range(2)]

        assert one["entropy"] != two["entropy"]

    async def test_options(self, http):
        await options_say(http, "/echo/info", "OPTIONS, GET")

    async def test_a_null_origin_is_refused_unlike_in_the_protocol(self, http):
        answer = await http.options("/echo/info", headers={"origin": "null"})

        assert answer.status_code == 403
        assert "access-control-allow-origin" not in answer.headers

    async def test_disabled_websocket(self, http, place):
        answer = await http.get("/disabled_websocket_echo/info")
        assert answer.json()["websocket"] is False
        for path in ("/websocket", "/000/abc/websocket"):
            async with tcp(place.port) as raw:
                raw.write(upgrade(f"/disabled_websocket_echo{path}"))
                await raw.head()
                assert raw.status == 404


class TestSessionURLs:
    @pytest.mark.parametrize(
        "part", ["/a/a", "/_/_", "/1/1", "/abcdefgh_i-j%20/abcdefg_i-j%20"]
    )
    async def test_any_value(self, http, part):
        answer = await http.post(f"/echo{part}/xhr")

        assert (answer.status_code, answer.text) == (200, "o\n")

    @pytest.mark.parametrize("part", ["//", "/a./a", "/a/a.", "/./.", "/", "///"])
    async def test_invalid_paths(self, place, part):
        """Written out by hand: a client library would tidy the path up."""
        for method in ("GET", "POST"):
            async with streaming(place, method, f"/echo{part}/xhr") as raw:
                assert raw.status == 404

    async def test_ignoring_server_id(self, http):
        id_ = uuid4()
        await http.post(f"/echo/000/{id_}/xhr")
        await http.post(f"/echo/000/{id_}/xhr_send", content='["a"]')

        assert (await http.post(f"/echo/999/{id_}/xhr")).text == 'a["a"]\n'


class TestProtocol:
    async def test_simple_session(self, http, place):
        url = session()
        assert (await http.post(f"{url}/xhr")).text == "o\n"
        sent = await http.post(f"{url}/xhr_send", content='["a"]')
        assert (sent.status_code, sent.content) == (204, b"")
        assert (await http.post(f"{url}/xhr")).text == 'a["a"]\n'
        lost = await http.post("/echo/000/bad_session/xhr_send", content='["a"]')
        assert lost.status_code == 404
        first = asyncio.create_task(http.post(f"{url}/xhr"))
        channel = place.opened[0].channel
        await place.until(lambda: channel._session.attached)
        second = await http.post(f"{url}/xhr")
        assert second.text == 'c[2010,"Another connection still open"]\n'
        place.opened[0].channel.send(b"for the first")
        assert (await first).text == 'a["for the first"]\n'

    async def test_close_session(self, http):
        url = session("/close")
        heard = [(await http.post(f"{url}/xhr")).text for _ in range(3)]

        assert heard == ["o\n", f"{GO_AWAY}\n", f"{GO_AWAY}\n"]

    async def test_sessions_of_two_services_are_two(self, http):
        for service in ("/echo", "/cookie_needed_echo"):
            answer = await http.post(f"{service}/000/the_same/xhr")
            assert answer.text == "o\n"


class TestWebsocketHttpErrors:
    async def test_http_method(self, http):
        assert (await http.get("/echo/0/0/websocket")).status_code == 400

    async def test_invalid_connection_header(self, place):
        async with tcp(place.port) as raw:
            raw.write(upgrade("/echo/0/0/websocket", "Connection: close"))
            await raw.head()
            assert raw.status == 400

    @pytest.mark.parametrize(
        "headers", [{}, {"upgrade": "WebSocket", "connection": "Upgrade"}]
    )
    async def test_invalid_method(self, place, headers):
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        async with tcp(place.port) as raw:
            raw.write(
                f"POST /echo/0/0/websocket HTTP/1.1\r\nHost: a\r\n{lines}"
                "Content-Length: 0\r\n\r\n".encode()
            )
            await raw.head()

            assert raw.status == 405
            assert raw.headers["allow"]
            assert raw.headers["content-length"] == "0"


class TestWebsocketHybi10:
    async def test_transport_and_empty_frame(self, place):
        async with websocket(place, f"{session()}/websocket") as raw:
            assert await raw.frame() == (1, b"o")
            raw.write(text(b"") + text(b"[]") + text(b'["a"]'))
            assert await raw.frame() == (1, b'a["a"]')

    async def test_close(self, place):
        async with websocket(place, f"{session('/close')}/websocket") as raw:
            assert await raw.frame() == (1, b"o")
            assert await raw.frame() == (1, GO_AWAY.encode())
            assert await raw.close_code() == 3000
            raw.write(frame(8, (3000).to_bytes(2)))
            assert await raw.ended()

    async def test_reuse_session_id(self, place):
        url = f"{session()}/websocket"
        async with websocket(place, url) as one, websocket(place, url) as two:
            for raw, letter in ((one, b"a"), (two, b"b")):
                assert await raw.frame() == (1, b"o")
                raw.write(text(b'["%b"]' % letter))
                assert await raw.frame() == (1, b'a["%b"]' % letter)
        async with websocket(place, url) as again:
            assert await again.frame() == (1, b"o")

    async def test_headers_sanity(self, place):
        async with tcp(place.port) as raw:
            raw.write(
                upgrade(
                    f"{session()}/websocket",
                    "Sec-WebSocket-Key: x3JJHMbDL1EzLkh9GBhXDw==",
                )
            )
            await raw.head()

            assert raw.status == 101
            assert raw.headers["sec-websocket-accept"] == "HSmrc0sMlYUkAGmm5OPpG2HaGWk="
            assert raw.headers["connection"].lower() == "upgrade"
            assert raw.headers["upgrade"].lower() == "websocket"
            assert "content-length" not in raw.headers

    @pytest.mark.parametrize("version", ["7", "8"])
    async def test_drafts_are_told_the_version(self, place, version):
        async with tcp(place.port) as raw:
            raw.write(
                upgrade(f"{session()}/websocket", f"Sec-WebSocket-Version: {version}")
            )
            await raw.head()

            assert raw.status == 426
            assert raw.headers["sec-websocket-version"] == "13"

    async def test_broken_json(self, place):
        async with websocket(place, f"{session()}/websocket") as raw:
            await raw.frame()
            raw.write(text(b'["a'))
            assert await raw.close_code() == 3000

    async def test_firefox_602_connection_header(self, place):
        async with tcp(place.port) as raw:
            raw.write(
                upgrade(f"{session()}/websocket", "Connection: keep-alive, Upgrade")
            )
            await raw.head()
            assert raw.status == 101


class TestXhrPolling:
    @pytest.mark.parametrize("transport", ["xhr", "xhr_send", "xhr_streaming"])
    async def test_options(self, http, transport):
        await options_say(http, f"/echo/abc/abc/{transport}", "OPTIONS, POST")

    async def test_transport(self, http):
        url, page = session(), {"origin": ORIGIN}
        opened = await http.post(f"{url}/xhr", headers=page)
        sent = await http.post(f"{url}/xhr_send", content='["x"]', headers=page)
        heard = await http.post(f"{url}/xhr", headers=page)

        assert opened.text == "o\n"
        assert opened.headers["content-type"].lower() == (
            "application/javascript; charset=utf-8"
        )
        assert (sent.status_code, sent.content) == (204, b"")
        assert sent.headers["content-type"].lower() == "text/plain; charset=utf-8"
        assert heard.text == 'a["x"]\n'
        for answer in (opened, sent, heard):
            not_cached(answer)
            assert answer.headers["access-control-allow-origin"] == ORIGIN
            assert answer.headers["access-control-allow-credentials"] == "true"

    async def test_invalid_session(self, http):
        sent = await http.post(f"{session()}/xhr_send", content='["x"]')

        assert sent.status_code == 404

    async def test_invalid_json(self, http):
        url = session()
        await http.post(f"{url}/xhr")
        for body, words in (
            ('["x', "Broken JSON encoding."),
            ("", "Payload expected."),
        ):
            answer = await http.post(f"{url}/xhr_send", content=body)
            assert (answer.status_code, answer.text) == (500, words)
        await http.post(f"{url}/xhr_send", content='["a"]')

        assert (await http.post(f"{url}/xhr")).text == 'a["a"]\n'

    async def test_content_types(self, http):
        url = session()
        await http.post(f"{url}/xhr")
        kinds = [
            *("text/plain", "T", "application/json", "application/xml", ""),
            *("application/json; charset=utf-8", "text/xml; charset=utf-8", "text/xml"),
        ]
        for kind in kinds:
            answer = await http.post(
                f"{url}/xhr_send", content='["a"]', headers={"content-type": kind}
            )
            assert answer.status_code == 204
        heard = (await http.post(f"{url}/xhr")).text

        assert heard == "a[" + ",".join(['"a"'] * len(kinds)) + "]\n"

    @pytest.mark.parametrize(("asked", "said"), [("a, b, c", "a, b, c"), ("", None)])
    async def test_request_headers_cors(self, http, asked, said):
        headers = {"origin": ORIGIN, "access-control-request-headers": asked}
        answer = await http.post(f"{session()}/xhr", headers=headers)

        assert answer.headers.get("access-control-allow-headers") == said


class TestXhrStreaming:
    async def test_transport(self, http, place):
        url = session()
        async with streaming(place, "POST", f"{url}/xhr_streaming") as raw:
            assert raw.headers["content-type"].lower() == (
                "application/javascript; charset=utf-8"
            )
            assert await raw.read() == b"h" * 2048 + b"\n"
            assert await raw.read() == b"o\n"
            await http.post(f"{url}/xhr_send", content='["x"]')
            assert await raw.read() == b'a["x"]\n'

    async def test_response_limit(self, http, place):
        url, message = session(), f'"{"x" * 128}"'
        async with streaming(place, "POST", f"{url}/xhr_streaming") as raw:
            await raw.read()
            assert await raw.read() == b"o\n"
            for _ in range(31):
                await http.post(f"{url}/xhr_send", content=f"[{message}]")
                assert await raw.read() == f"a[{message}]\n".encode()
            assert await raw.read() == b""


class TestEventSource:
    async def test_transport(self, http, place):
        url = session()
        async with streaming(place, "GET", f"{url}/eventsource") as raw:
            assert raw.headers["content-type"].lower() == (
                "text/event-stream; charset=utf-8"
            )
            assert "no-store" in raw.headers["cache-control"]
            assert await raw.read() == b"\r\n"
            assert await raw.read() == b"data: o\r\n\r\n"
            await http.post(f"{url}/xhr_send", content='["x"]')
            assert await raw.read() == b'data: a["x"]\r\n\r\n'
            await http.post(f"{url}/xhr_send", content=r'["  \u0000\n\r "]')
            assert await raw.read() == b'data: a["  \\u0000\\n\\r "]\r\n\r\n'

    async def test_response_limit(self, http, place):
        url, message = session(), f'"{"x" * 4096}"'
        async with streaming(place, "GET", f"{url}/eventsource") as raw:
            await raw.read()
            await raw.read()
            await http.post(f"{url}/xhr_send", content=f"[{message}]")
            assert await raw.read() == f"data: a[{message}]\r\n\r\n".encode()
            assert await raw.read() == b""


class TestHtmlFile:
    async def test_transport(self, http, place):
        url = session()
        async with streaming(place, "GET", f"{url}/htmlfile?c=%63allback") as raw:
            assert raw.headers["content-type"].lower() == "text/html; charset=utf-8"
            assert "no-store" in raw.headers["cache-control"]
            head = await raw.read()
            assert len(head) > 1024
            assert b"var c = parent.callback;" in head
            assert await raw.read() == b'<script>\np("o");\n</script>\r\n'
            await http.post(f"{url}/xhr_send", content='["x"]')
            assert await raw.read() == (b'<script>\np("a[\\"x\\"]");\n</script>\r\n')

    async def test_no_callback_and_invalid_callback(self, http):
        for query, words in (
            ("", '"callback" parameter required'),
            ("?c=%20", 'invalid "callback" parameter'),
            ("?c=alert(1)", 'invalid "callback" parameter'),
        ):
            answer = await http.get(f"{session()}/htmlfile{query}")
            assert (answer.status_code, answer.text) == (500, words)

    async def test_response_limit(self, http, place):
        url, message = session(), "x" * 4096
        async with streaming(place, "GET", f"{url}/htmlfile?c=callback") as raw:
            await raw.read()
            await raw.read()
            await http.post(f"{url}/xhr_send", content=f'["{message}"]')
            assert message.encode() in await raw.read()
            assert await raw.read() == b""


class TestJsonPolling:
    async def test_transport(self, http):
        url = session()
        opened = await http.get(f"{url}/jsonp?c=%63allback")
        sent = await http.post(
            f"{url}/jsonp_send", content="d=%5B%22x%22%5D", headers=FORM
        )
        heard = await http.get(f"{url}/jsonp?c=%63allback")

        assert opened.headers["content-type"].lower() == (
            "application/javascript; charset=utf-8"
        )
        # The comment is sockjs-node's, against Flash; the protocol has none.
        assert opened.text == '/**/callback("o");\r\n'
        assert (sent.status_code, sent.text) == (200, "ok")
        assert heard.text == '/**/callback("a[\\"x\\"]");\r\n'
        for answer in (opened, sent, heard):
            not_cached(answer)

    async def test_no_callback(self, http):
        answer = await http.get(f"{session()}/jsonp")

        assert answer.status_code == 500
        assert '"callback" parameter required' in answer.text

    async def test_invalid_json(self, http):
        url = session()
        await http.get(f"{url}/jsonp?c=x")
        for body, words in (
            ("d=%5B%22x", "Broken JSON encoding."),
            *((body, "Payload expected.") for body in ("", "d=", "p=p")),
        ):
            answer = await http.post(f"{url}/jsonp_send", content=body, headers=FORM)
            assert (answer.status_code, answer.text) == (500, words)
        await http.post(f"{url}/jsonp_send", content="d=%5B%22b%22%5D", headers=FORM)

        assert (await http.get(f"{url}/jsonp?c=x")).text == ('/**/x("a[\\"b\\"]");\r\n')

    async def test_content_types(self, http):
        url = session()
        await http.get(f"{url}/jsonp?c=x")
        await http.post(f"{url}/jsonp_send", content="d=%5B%22abc%22%5D", headers=FORM)
        await http.post(
            f"{url}/jsonp_send",
            content='["%61bc"]',
            headers={"content-type": "text/plain"},
        )

        assert (await http.get(f"{url}/jsonp?c=x")).text == (
            '/**/x("a[\\"abc\\",\\"%61bc\\"]");\r\n'
        )

    async def test_close(self, http, place):
        url = session("/close")
        heard = [(await http.get(f"{url}/jsonp?c=x")).text for _ in range(3)]

        closed = '/**/x("c[3000,\\"Go away!\\"]");\r\n'
        assert heard == ['/**/x("o");\r\n', closed, closed]


class TestJsessionidCookie:
    SERVICE = "/cookie_needed_echo"

    async def test_basic(self, http):
        answer = await http.get(f"{self.SERVICE}/info")

        assert answer.json()["cookie_needed"] is True
        assert "set-cookie" not in answer.headers

    @pytest.mark.parametrize(
        ("method", "transport"),
        [
            ("POST", "xhr"),
            ("POST", "xhr_streaming"),
            ("GET", "eventsource"),
            ("GET", "htmlfile?c=%63allback"),
        ],
    )
    async def test_every_transport_sets_it(self, place, method, transport):
        path = f"{session(self.SERVICE)}/{transport}"
        async with streaming(place, method, path) as raw:
            assert raw.headers["set-cookie"] == "JSESSIONID=dummy; path=/"

    async def test_xhr_gives_it_back(self, http):
        answer = await http.post(
            f"{session(self.SERVICE)}/xhr", headers={"cookie": "JSESSIONID=abcdef"}
        )

        assert answer.headers["set-cookie"] == "JSESSIONID=abcdef; path=/"

    async def test_jsonp(self, http):
        url = session(self.SERVICE)
        opened = await http.get(f"{url}/jsonp?c=%63allback")
        sent = await http.post(
            f"{url}/jsonp_send", content="d=%5B%22x%22%5D", headers=FORM
        )

        for answer in (opened, sent):
            assert answer.headers["set-cookie"] == "JSESSIONID=dummy; path=/"


class TestRawWebsocket:
    async def test_transport(self, place):
        async with websocket(place, "/echo/websocket") as raw:
            said = "Hello world!\uffff".encode()
            raw.write(text(said))
            assert await raw.frame() == (1, said)

    async def test_close(self, place):
        async with websocket(place, "/close/websocket") as raw:
            assert await raw.close_code() == 3000


class TestJSONEncoding:
    SERVER = re.compile(
        "[\x00-\x1f\u200c-\u200f\u2028-\u202f\u2060-\u206f\ufff0-\uffff]"
    )

    async def test_xhr_server_encodes(self, http):
        url = session()
        killers = [n for n in range(255, 65536) if self.SERVER.match(chr(n))]
        await http.post(f"{url}/xhr")
        said = '["' + "".join(map(chr, killers)) + '"]'
        await http.post(f"{url}/xhr_send", content=said.encode())
        heard = (await http.post(f"{url}/xhr")).content.strip()

        assert heard == b'a["' + b"".join(b"\\u%04x" % n for n in killers) + b'"]'

    async def test_xhr_server_decodes(self, http):
        """Every code point of the plane, escaped; surrogates have no form in UTF-8."""
        url = session()
        points = [*range(0xD800), *range(0xE000, 0x10000)]
        await http.post(f"{url}/xhr")
        await http.post(
            f"{url}/xhr_send",
            content='["' + "".join(f"\\u{n:04x}" for n in points[:20_000]) + '"]',
        )
        heard = (await http.post(f"{url}/xhr")).text

        assert json.loads(heard[1:]) == ["".join(map(chr, points[:20_000]))]


class TestHandlingClose:
    async def test_close_frame(self, place):
        url = f"{session('/close')}/xhr_streaming"
        async with streaming(place, "POST", url) as one:
            await one.read()
            assert await one.read() == b"o\n"
            assert await one.read() == f"{GO_AWAY}\n".encode()
            async with streaming(place, "POST", url) as two:
                await two.read()
                assert await two.read() == f"{GO_AWAY}\n".encode()
                assert await one.read() == await two.read() == b""

    @pytest.mark.parametrize("transport", ["xhr_streaming", "xhr"])
    async def test_close_request_and_abort(self, http, place, transport):
        url = f"{session()}/{transport}"
        if transport == "xhr":
            await http.post(url)
        async with (
            streaming(place, "POST", url)
            if transport != "xhr"
            else tcp(place.port) as one
        ):
            if transport == "xhr":
                one.write(
                    f"POST {url} HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n".encode()
                )
                channel = place.opened[0].channel
                await place.until(lambda: channel._session.attached)
            else:
                await one.read()
                assert await one.read() == b"o\n"
            second = await http.post(url)
            assert second.text.endswith('c[2010,"Another connection still open"]\n')
        await place.until(lambda: place.opened[0].closed is not None)
        third = await http.post(url)

        assert third.text.endswith('c[1002,"Connection interrupted"]\n')


class TestHttp10:
    async def test_synchronous(self, place):
        async with tcp(place.port) as raw:
            raw.write(b"GET /echo HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n")
            await raw.head()

            assert raw.status == 200
            assert "transfer-encoding" not in raw.headers
            assert raw.headers["content-length"] == "19"
            assert await raw.body() == b"Welcome to SockJS!\n"

    async def test_streaming(self, place):
        async with tcp(place.port) as raw:
            path = f"{session('/close')}/xhr_streaming"
            raw.write(
                f"POST {path} HTTP/1.0\r\nConnection: Keep-Alive\r\n"
                "Content-Length: 0\r\n\r\n".encode()
            )
            await raw.head()

            assert "transfer-encoding" not in raw.headers
            assert "content-length" not in raw.headers
            assert await raw.reader.readexactly(2049) == b"h" * 2048 + b"\n"
            assert await raw.reader.readexactly(2) == b"o\n"
            assert await raw.reader.readexactly(19) == f"{GO_AWAY}\n".encode()
            assert await raw.ended()


class TestHttp11:
    async def test_synchronous(self, place):
        async with tcp(place.port) as raw:
            for _ in range(2):
                raw.write(b"GET /echo HTTP/1.1\r\nHost: a\r\n\r\n")
                await raw.head()
                assert raw.headers.get("connection", "keep-alive") == "keep-alive"
                assert await raw.body() == b"Welcome to SockJS!\n"

    async def test_streaming(self, place):
        url = f"{session('/close')}/xhr_streaming"
        async with streaming(place, "POST", url) as raw:
            assert raw.headers["transfer-encoding"] == "chunked"
            assert "content-length" not in raw.headers
            assert (await raw.read())[:1] == b"h"
            assert await raw.read() == b"o\n"
            assert await raw.read() == f"{GO_AWAY}\n".encode()
            assert await raw.read() == b""


class TestChunkingTest:
    """Of the protocol before 0.3; clients of today do not ask."""

    @pytest.fixture(autouse=True)
    def hurried(self, monkeypatch):
        from salon.sockjs import chunking

        steps = tuple((pause / 50, part) for pause, part in chunking.STEPS)
        monkeypatch.setattr(chunking, "STEPS", steps)

    async def test_basic(self, place):
        async with streaming(place, "POST", "/echo/chunking_test") as raw:
            parts = [await raw.read() for _ in range(8)]

        assert raw.headers["content-type"].lower() == (
            "application/javascript; charset=utf-8"
        )
        assert parts[:3] == [b"h\n", b" " * 2048 + b"h\n", b"h\n"]
        assert parts[3:] == [b"h\n"] * 4 + [b""]

    async def test_options(self, http):
        await options_say(http, "/echo/chunking_test", "OPTIONS, POST")

    async def test_it_is_off_unless_asked_for(self, http):
        answer = await http.post("/cookie_needed_echo/chunking_test")

        assert answer.status_code == 404

    async def test_who_leaves_is_not_waited_for(self, place):
        async with streaming(place, "POST", "/echo/chunking_test") as raw:
            assert await raw.read() == b"h\n"


class TestServices:
    async def test_a_prefix_that_is_none_or_taken_is_ours_to_fix(self, place):
        for prefix, why in (
            ("echo", "looks like"),
            ("/x/", "looks like"),
            ("/close", "already"),
            ("/echo", "already"),
        ):
            with pytest.raises(ValueError, match=why):
                place.edge.mount(prefix)

    async def test_the_longest_prefix_gets_the_path(self, place):
        place.edge.mount("/echo/inner")

        assert place.edge.at("/echo/inner/info").prefix == "/echo/inner"
        assert place.edge.at("/echo/innermost").prefix == "/echo"
        assert place.edge.at("/elsewhere") is None

    async def test_all_count_as_connections_of_one_server(self, place):
        async with (
            websocket(place, "/echo/websocket"),
            websocket(place, "/cookie_needed_echo/websocket"),
        ):
            await place.until(lambda: len(place.edge.connections) == 2)

    async def test_a_restart_is_said_on_all(self, place, http):
        place.edge.draining = True
        for service in ("/echo", "/cookie_needed_echo"):
            answer = await http.post(f"{session(service)}/xhr")
            assert (answer.status_code, answer.json()["code"]) == (503, "restarting")
