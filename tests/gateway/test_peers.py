"""Whose address counts, behind proxies or not."""

import pytest

from salon.gateway.peers import Peers, is_loopback


@pytest.mark.parametrize(
    ("trusted", "peer", "header", "remote"),
    [
        ((), "9.9.9.9", "1.1.1.1", "9.9.9.9"),
        (("10.0.0.0/8",), "9.9.9.9", "1.1.1.1", "9.9.9.9"),
        (("10.0.0.0/8",), "10.0.0.1", None, "10.0.0.1"),
        (("10.0.0.0/8",), "10.0.0.1", "1.1.1.1", "1.1.1.1"),
        (("10.0.0.0/8",), "10.0.0.1", "6.6.6.6, 1.1.1.1", "1.1.1.1"),
        (("10.0.0.0/8",), "10.0.0.1", "6.6.6.6, 1.1.1.1, 10.0.0.2", "1.1.1.1"),
        (("10.0.0.0/8",), "10.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.3"),
        (("10.0.0.0/8",), "10.0.0.1", "6.6.6.6, unknown", "10.0.0.1"),
        (("10.0.0.0/8",), "10.0.0.1", "6.6.6.6, unknown, 10.0.0.2", "10.0.0.2"),
        (("::1",), "::1", "2001:db8::1", "2001:db8::1"),
        (("10.0.0.0/8",), "", "1.1.1.1", ""),
    ],
)
def test_the_last_address_that_no_proxy_of_ours_has(trusted, peer, header, remote):
    assert Peers(trusted).remote(peer, header) == remote


def test_a_proxy_that_is_no_address_is_refused():
    with pytest.raises(ValueError, match="proxy"):
        Peers(["proxy"])


def test_loopback():
    assert is_loopback("127.0.0.1")
    assert is_loopback("::1")
    assert not is_loopback("10.0.0.1")
    assert not is_loopback("")
