"""SockJS addresses (sockjs-protocol, "Session URLs")."""

import pytest

from salon.sockjs import paths


@pytest.mark.parametrize(
    "path", ["/a/a/xhr", "/_/_/xhr", "/1/abc/xhr", "/1/ä b/xhr", "/1/abc/xhr/"]
)
def test_any_ids_without_dots_and_slashes(path: str):
    session = paths.session(path)

    assert session is not None
    assert session.transport == "xhr"


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/",
        "//",
        "/xhr",
        "//abc/xhr",
        "/1//xhr",
        "///xhr",
        "/1/abc/",
        "/1/abc",
        "/1.0/abc/xhr",
        "/1/a.c/xhr",
        "/1/abc/def/xhr",
        "x/1/abc/xhr",
        "/1/abc/jsonpx",
        "/1/abc/XHR",
    ],
)
def test_what_is_no_session(path: str):
    assert paths.session(path) is None


@pytest.mark.parametrize(
    "path",
    ["/iframe.html", "/iframe-a.html", "/iframe-0.1.2-dev.2144.html", "/iframe_x.html"],
)
def test_the_page_for_iframes_may_have_a_version(path: str):
    assert paths.iframe(path)


@pytest.mark.parametrize(
    "path", ["/iframe.htm", "/iframe", "/IFRAME.HTML", "/iframe.HTML", "/iframe-ä.html"]
)
def test_what_is_no_page_for_iframes(path: str):
    assert not paths.iframe(path)


def test_the_services_own_addresses():
    assert paths.greeting("")
    assert paths.greeting("/")
    assert not paths.greeting("/x")
    assert paths.info("/info")
    assert not paths.info("/infox")
    assert paths.raw_websocket("/websocket")
