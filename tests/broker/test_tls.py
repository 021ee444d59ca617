"""TLS settings that cannot work are refused by name, before anything listens."""

from pathlib import Path

import pytest

from salon.broker.errors import SettingError
from salon.broker.server import Broker
from tests.broker.conftest import config

TLS = {"listeners": "SSL://127.0.0.1:0"}


async def test_a_key_store_that_is_not_there_is_named(tmp_path: Path):
    missing = config(
        tmp_path / "data", **TLS, **{"ssl.keystore.location": tmp_path / "none.pem"}
    )
    with pytest.raises(SettingError, match=r"ssl\.keystore\.location.*none\.pem"):
        async with Broker.open(missing):
            pass


async def test_a_key_store_of_something_else_is_named_and_the_folder_is_free_again(
    tmp_path: Path,
):
    other = tmp_path / "key.pem"
    other.write_text("no key")
    wrong = config(tmp_path / "data", **TLS, **{"ssl.keystore.location": other})
    for _ in range(2):
        with pytest.raises(SettingError, match=r"ssl\.keystore\.location"):
            async with Broker.open(wrong):
                pass
