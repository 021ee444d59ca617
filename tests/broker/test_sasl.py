"""SASL: PLAIN and SCRAM against their RFCs, and a stranger at the socket."""

import asyncio
import base64
import hashlib
import hmac
from pathlib import Path
from typing import Any

import pytest

from salon.broker.errors import SettingError
from salon.broker.protocol.versions import (
    API_VERSIONS,
    METADATA,
    SASL_AUTHENTICATE,
    SASL_HANDSHAKE,
)
from salon.broker.sasl import AuthenticationFailed, Scram, Users, begin
from salon.broker.server import Broker
from tests.broker.conftest import config
from tests.broker.wire import Wire

ALL_TOPICS_V1 = (-1).to_bytes(4, "big", signed=True)
USERS = Users({"ann": "pencil", "b,o=b": "secret"})


def converse(scram: Any, name: str, password: str, digest: str) -> bytes:
    """The client's side, from RFC 5802; returns what the server proves."""
    sent = name.replace("=", "=3D").replace(",", "=2C")
    first_bare = f"n={sent},r=abc"
    server_first = scram.step(f"n,,{first_bare}".encode()).decode()
    parts = dict(p.split("=", 1) for p in server_first.split(","))
    salt, rounds = base64.b64decode(parts["s"]), int(parts["i"])
    salted = hashlib.pbkdf2_hmac(digest, password.encode(), salt, rounds)
    client_key = hmac.digest(salted, b"Client Key", digest)
    stored_key = hashlib.new(digest, client_key).digest()
    without_proof = f"c=biws,r={parts['r']}"
    message = f"{first_bare},{server_first},{without_proof}".encode()
    signature = hmac.digest(stored_key, message, digest)
    proof = bytes(a ^ b for a, b in zip(client_key, signature, strict=True))
    final = f"{without_proof},p={base64.b64encode(proof).decode()}"
    answer: bytes = scram.step(final.encode())
    server_key = hmac.digest(salted, b"Server Key", digest)
    expected = base64.b64encode(hmac.digest(server_key, message, digest))
    assert answer == b"v=" + expected, "the server proves that it knows the user"
    return answer


@pytest.mark.parametrize("digest", ["sha256", "sha512"])
@pytest.mark.parametrize(("name", "password"), [("ann", "pencil"), ("b,o=b", "secret")])
def test_scram_lets_a_user_in_and_proves_itself(digest: str, name: str, password: str):
    scram = Scram(USERS, digest)
    converse(scram, name, password, digest)

    assert scram.done
    assert scram.user == name


@pytest.mark.parametrize(("name", "password"), [("ann", "pen"), ("nobody", "pencil")])
def test_scram_refuses_a_wrong_password_and_an_unknown_name_alike(
    name: str, password: str
):
    scram = Scram(USERS, "sha256")
    with pytest.raises(AuthenticationFailed, match="wrong name or password"):
        converse(scram, name, password, "sha256")

    assert not scram.done


def test_an_unknown_name_has_a_salt_that_does_not_change():
    keys = [USERS.scram_keys("nobody", "sha256").salt for _ in range(2)]

    assert keys[0] == keys[1] != USERS.scram_keys("nobody else", "sha256").salt


@pytest.mark.parametrize(
    "token", [b"", b"n,,", b"\xff", b"p=x,,n=ann,r=a", b"n,,r=a", b"n,a=bob,n=ann,r=a"]
)
def test_scram_messages_that_are_none_are_refused(token: bytes):
    with pytest.raises(AuthenticationFailed):
        Scram(USERS, "sha256").step(token)


def test_scram_holds_the_client_to_its_channel_binding_and_nonce():
    for binding, nonce in (("eSws", None), ("biws", "other")):
        scram = Scram(USERS, "sha256")
        first = scram.step(b"n,,n=ann,r=abc").decode()
        parts = dict(p.split("=", 1) for p in first.split(","))
        salted = hashlib.pbkdf2_hmac(
            "sha256", b"pencil", base64.b64decode(parts["s"]), int(parts["i"])
        )
        client_key = hmac.digest(salted, b"Client Key", "sha256")
        stored = hashlib.sha256(client_key).digest()
        final = f"c={binding},r={nonce or parts['r']}"
        signature = hmac.digest(
            stored, f"n=ann,r=abc,{first},{final}".encode(), "sha256"
        )
        proof = bytes(a ^ b for a, b in zip(client_key, signature, strict=True))
        with pytest.raises(AuthenticationFailed):
            scram.step(f"{final},p={base64.b64encode(proof).decode()}".encode())


@pytest.mark.parametrize(
    ("token", "right"),
    [
        (b"\0ann\0pencil", True),
        (b"ann\0ann\0pencil", True),
        (b"bob\0ann\0pencil", False),
        (b"\0ann\0pen", False),
        (b"\0nobody\0", False),
        (b"ann pencil", False),
        (b"\0\xff\0x", False),
    ],
)
def test_plain_takes_one_name_and_its_password(token: bytes, right: bool):
    plain = begin("PLAIN", USERS)
    if right:
        plain.step(token)
    else:
        with pytest.raises(AuthenticationFailed):
            plain.step(token)

    assert plain.done is right


@pytest.mark.parametrize(
    ("text", "mode", "words"),
    [
        ("ann:pencil", 0o644, "chmod 600"),
        ("ann", 0o600, "line 1"),
        ("# nobody\n", 0o600, "nobody is in it"),
        (None, 0o600, "No such file"),
    ],
)
def test_a_users_file_is_refused_with_what_is_wrong(
    tmp_path: Path, text: str | None, mode: int, words: str
):
    path = tmp_path / "users"
    if text is not None:
        path.write_text(text)
        path.chmod(mode)
    with pytest.raises(SettingError, match=words):
        Users.load(path)


def sasl_config(tmp_path: Path) -> Any:
    users = tmp_path / "users"
    users.write_text("ann:pencil\n")
    users.chmod(0o600)
    return config(
        tmp_path / "data",
        **{
            "listeners": "SASL_PLAINTEXT://127.0.0.1:0",
            "salon.sasl.users.file": users,
            "sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-256",
            "connection.failed.authentication.delay.ms": 0,
        },
    )


async def test_a_stranger_may_only_ask_for_versions_and_authenticate(tmp_path: Path):
    async with Broker.open(sasl_config(tmp_path)) as broker:
        async with await Wire.connect(broker.port) as wire:
            wire.send(API_VERSIONS, 0, b"")
            await wire.receive()
            wire.send(METADATA, 1, ALL_TOPICS_V1)
            assert await wire.reader.read() == b""
        async with await Wire.connect(broker.port) as wire:
            shaken = await wire.ask(SASL_HANDSHAKE, 1, mechanism="PLAIN")
            wire.send_produce("t", b"x")
            assert await wire.reader.read() == b""

    assert shaken.error_code == 0
    assert set(shaken.mechanisms) == {"PLAIN", "SCRAM-SHA-256"}


async def test_after_authentication_requests_pass_also_when_they_were_sent_early(
    tmp_path: Path,
):
    async with (
        Broker.open(sasl_config(tmp_path)) as broker,
        await Wire.connect(broker.port) as wire,
    ):
        await wire.ask(SASL_HANDSHAKE, 1, mechanism="PLAIN")
        answer = await wire.ask(SASL_AUTHENTICATE, 2, auth_bytes=b"\0ann\0pencil")
        wire.send(METADATA, 1, ALL_TOPICS_V1)
        await wire.receive()
        late = await wire.ask(SASL_HANDSHAKE, 1, mechanism="PLAIN")

        assert answer.error_code == 0
        assert late.error_code == 34  # ILLEGAL_SASL_STATE
        assert broker.metrics.meter("successful-authentication-total").count == 1


async def test_a_refusal_is_told_and_then_the_connection_ends(tmp_path: Path):
    async with Broker.open(sasl_config(tmp_path)) as broker:
        async with await Wire.connect(broker.port) as wire:
            await wire.ask(SASL_HANDSHAKE, 1, mechanism="PLAIN")
            answer = await wire.ask(SASL_AUTHENTICATE, 2, auth_bytes=b"\0ann\0pen")
            assert await wire.reader.read() == b""
        async with await Wire.connect(broker.port) as wire:
            unknown = await wire.ask(SASL_HANDSHAKE, 1, mechanism="GSSAPI")
            assert await wire.reader.read() == b""
        while broker.network.quotas.total:
            await asyncio.sleep(0)

    assert answer.error_code == 58  # SASL_AUTHENTICATION_FAILED
    assert unknown.error_code == 33  # UNSUPPORTED_SASL_MECHANISM


async def test_a_handshake_of_version_0_is_followed_by_bare_tokens(tmp_path: Path):
    async with (
        Broker.open(sasl_config(tmp_path)) as broker,
        await Wire.connect(broker.port) as wire,
    ):
        await wire.ask(SASL_HANDSHAKE, 0, mechanism="PLAIN")
        token = b"\0ann\0pencil"
        wire.writer.write(len(token).to_bytes(4, "big") + token)
        assert await wire.reader.readexactly(4) == bytes(4)
        wire.send(METADATA, 1, ALL_TOPICS_V1)
        await wire.receive()
