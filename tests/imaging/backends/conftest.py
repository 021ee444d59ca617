"""Fixtures of the engines' tests."""

import socket

import pytest


@pytest.fixture
def no_network(monkeypatch) -> None:
    def refuse(*_args, **_more):
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
