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
        "/1/abc/jsonp",
        "/1/abc/htmlfile",
        "/1/abc/XHR",
    ],
)
def test_what_is_no_session(path: str):
    assert paths.session(path) is None


def test_the_services_own_addresses():
    assert paths.greeting("")
    assert paths.greeting("/")
    assert not paths.greeting("/x")
    assert paths.info("/info")
    assert not paths.info("/infox")
    assert paths.raw_websocket("/websocket")
