"""The page for iframes (sockjs-protocol, "IFrame and IFrame page")."""

import base64
import hashlib
import re

import pytest

from salon.sockjs import iframe


def test_the_page_loads_the_client_and_starts_it():
    page = iframe.page("/js/sockjs.min.js")

    assert b'<script src="/js/sockjs.min.js"></script>' in page.body
    assert b"SockJS.bootstrap_iframe();" in page.body


def test_its_policy_names_the_two_scripts_and_nothing_else():
    page = iframe.page("https://cdn.example.org/sockjs.min.js")
    inline = re.search(rb"<script>(.*?)</script>", page.body, re.DOTALL)[1]
    digest = base64.b64encode(hashlib.sha256(inline).digest()).decode()

    assert page.script_sources == f"https://cdn.example.org 'sha256-{digest}'"
    assert iframe.page("/x.js").script_sources.startswith("'self' ")


def test_the_etag_follows_the_text():
    one, other = iframe.page("/a.js"), iframe.page("/b.js")

    assert one.etag == iframe.page("/a.js").etag != other.etag


def test_an_address_cannot_leave_its_attribute():
    assert b'"><script>' not in iframe.page('/a.js"><script>alert(1)').body


@pytest.mark.parametrize("script", ["sockjs.js", "javascript:alert(1)", "", "//x/y.js"])
def test_what_is_no_address_of_a_script(script: str):
    with pytest.raises(ValueError, match="no address of a script"):
        iframe.page(script)
