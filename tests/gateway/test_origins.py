"""The exact list of origins: the list itself, and every way in that asks it."""

import httpx
import pytest

from salon.gateway.origins import Origins, normalise, of_listener
from tests.gateway.harness import ORIGIN, gateway, tcp, upgrade

FOREIGN = [
    "http://evil.org",
    ORIGIN + ".evil.org",
    "http://evil" + ORIGIN.removeprefix("http://"),
    ORIGIN + ":8080",
    ORIGIN + "/",
    ORIGIN.replace("http:", "https:"),
    ORIGIN.upper(),
    "null",
    "*",
    "",
    "http://127.0.0.1",
    "file://",
]

WEBSOCKETS = ["/ws", "/ws/websocket", "/ws/000/abc/websocket"]

HTTP = [
    ("GET", "/ws/info"),
    ("OPTIONS", "/ws/info"),
    ("POST", "/ws/000/abc/xhr"),
    ("OPTIONS", "/ws/000/abc/xhr"),
    ("POST", "/ws/000/abc/xhr_streaming"),
    ("POST", "/ws/000/abc/xhr_send"),
]


@pytest.fixture
async def running():
    async with gateway() as running:
        yield running


@pytest.mark.parametrize("path", WEBSOCKETS)
async def test_no_websocket_for_another_sites_page(running, path: str):
    for origin in FOREIGN:
        async with tcp(running.port) as client:
            client.write(upgrade(path, f"Origin: {origin}"))
            await client.head()

            assert (client.status, origin) == (403, origin)
    assert running.opened == []


@pytest.mark.parametrize("path", WEBSOCKETS)
@pytest.mark.parametrize(
    "lines",
    [[], [f"Origin: {ORIGIN}"], [f"Origin: {ORIGIN}", "Sec-Fetch-Site: same-site"]],
)
async def test_our_page_and_programs_get_a_websocket(running, path: str, lines):
    async with tcp(running.port) as client:
        client.write(upgrade(path, *lines))
        await client.head()

        assert client.status == 101


@pytest.mark.parametrize(("method", "path"), HTTP)
async def test_no_sockjs_for_another_sites_page(running, method: str, path: str):
    async with httpx.AsyncClient(base_url=running.url) as client:
        for origin in FOREIGN:
            answer = await client.request(method, path, headers={"origin": origin})

            assert (answer.status_code, origin) == (403, origin)
            assert "access-control-allow-origin" not in answer.headers
        hidden = await client.request(
            method, path, headers={"sec-fetch-site": "cross-site"}
        )
        assert hidden.status_code == 403
    assert running.opened == []


async def test_our_own_origin_is_echoed_with_credentials(running):
    async with httpx.AsyncClient(base_url=running.url) as client:
        answer = await client.get("/ws/info", headers={"origin": ORIGIN})

        assert answer.headers["access-control-allow-origin"] == ORIGIN
        assert answer.headers["access-control-allow-credentials"] == "true"
        assert answer.headers["vary"] == "Origin"


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("HTTPS://Chat.Example.ORG", "https://chat.example.org"),
        ("https://chat.example.org:443/", "https://chat.example.org"),
        ("http://chat.example.org:80", "http://chat.example.org"),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("http://[::1]:8080", "http://[::1]:8080"),
        ("https://müller.example", "https://xn--mller-kva.example"),
    ],
)
def test_origins_are_kept_as_browsers_write_them(written: str, meant: str):
    assert normalise(written) == meant
    assert Origins([written]).permits(meant)


@pytest.mark.parametrize(
    "wrong", ["chat.example.org", "*", "https://a/b", "https://", "ftp://a", "", "null"]
)
def test_what_is_no_origin_is_refused_with_words(wrong: str):
    with pytest.raises(ValueError, match="is no origin"):
        Origins([wrong])


def test_the_origins_of_a_listener():
    assert of_listener("127.0.0.1", 8080) == [
        "http://127.0.0.1:8080",
        "http://localhost:8080",
    ]
    assert of_listener("0.0.0.0", 80) == ["http://127.0.0.1", "http://localhost"]
    assert of_listener("::1", 8080)[-1] == "http://[::1]:8080"
    assert of_listener("192.168.1.5", 8080) == ["http://192.168.1.5:8080"]
