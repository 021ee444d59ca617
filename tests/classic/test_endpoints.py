"""The guest pages over HTTP."""

import re

import httpx
import pytest
from fastapi import FastAPI

from salon.classic.application import Classic
from salon.classic.endpoints import PAGES, router
from tests.messaging.world import World


@pytest.fixture
def world():
    return World()


@pytest.fixture
async def http(world, tmp_path):
    (tmp_path / "sockjs.min.js").write_text("sockjs")
    (tmp_path / "secret.js").write_text("secret")
    app = FastAPI()
    app.include_router(router(Classic(world.template, world.users), tmp_path))
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://t") as client:
        yield client


PAGE_NAMES = ["index.html", "chatInRoom.html", "chatToUser.html"]


@pytest.mark.parametrize("path", ["/classic/", *(f"/classic/{p}" for p in PAGE_NAMES)])
async def test_pages_are_served(http, path):
    answer = await http.get(path)

    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert '<html lang="en">' in answer.text


async def test_all_that_a_page_loads_is_there(http):
    page = (await http.get("/classic/")).text
    links = re.findall(r'(?:src|href)="(/classic/[^"]*)"', page)

    assert "/classic/main.js" in links
    for link in links:
        expected = 404 if "stomp" in link else 200  # this folder lacks that library
        assert (await http.get(link)).status_code == expected, link


async def test_the_address_without_slash_leads_to_the_page(http):
    answer = await http.get("/classic")

    assert (answer.status_code, answer.headers["location"]) == (308, "/classic/")


@pytest.mark.parametrize(
    "path",
    [
        "/classic/nothing.html",
        "/classic/lib/secret.js",
        "/classic/lib/..%2fsecret.js",
        "/classic/..%2fapplication.py",
        "/classic/application.py",
    ],
)
async def test_nothing_else_is_served(http, path):
    assert (await http.get(path)).status_code == 404


async def test_a_message_may_be_pushed_from_an_http_handler(http, world):
    ann = world.session("ann")
    world.registry.add(ann, "0", "/topic/public")
    answer = await http.get(
        "/testSendMessage", params={"type": "JOIN", "sender": "clock"}
    )
    [frame] = ann.channel.frames()

    assert (answer.status_code, answer.content) == (204, b"")
    assert frame.body == b'{"type":"JOIN","content":null,"sender":"clock"}'
    assert frame.get("content-type") == "application/json"


@pytest.mark.parametrize(
    "params", [{"type": "SHOUT"}, {"content": "x" * 8001}, {"sender": "x" * 61}]
)
async def test_a_push_with_bad_parameters_is_refused(http, params):
    assert (await http.get("/testSendMessage", params=params)).status_code == 422


@pytest.mark.parametrize("name", PAGE_NAMES)
def test_every_input_has_a_label_and_news_is_announced(name):
    page = (PAGES / name).read_text()

    for field in re.findall(r'<input id="(\w+)"', page):
        assert f'<label for="{field}">' in page
    assert 'role="log" aria-live="polite"' in page
    assert 'role="alert"' in page


@pytest.mark.parametrize("name", PAGE_NAMES)
def test_pages_keep_to_the_content_security_policy(name):
    """No script, style or handler inline; nothing from another place."""
    page = (PAGES / name).read_text()

    assert not re.search(r"<script(?![^>]*\bsrc=)", page)
    assert not re.search(r"<style|\sstyle=|\son\w+=|https?://", page)


def test_the_scripts_are_small():
    assert sum(len(f.read_text().splitlines()) for f in PAGES.glob("*.js")) <= 150
