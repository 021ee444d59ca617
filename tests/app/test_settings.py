"""Settings: precedence, unknown names, wrong values."""

import pytest

from salon.app.settings import load
from salon.errors import StartupError


@pytest.fixture(autouse=True)
def bare(monkeypatch, tmp_path):
    import os

    for name in list(os.environ):
        if name.startswith("SALON_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("SALON_DATA", str(tmp_path))


def test_the_command_line_beats_the_environment(monkeypatch):
    monkeypatch.setenv("SALON_PORT", "9000")

    assert load().port == 9000
    assert load(port=9001).port == 9001


def test_a_misspelt_setting_is_an_error(monkeypatch):
    monkeypatch.setenv("SALON_PROT", "9000")

    with pytest.raises(StartupError, match="SALON_PROT is no setting"):
        load()


def test_a_wrong_value_names_its_setting(monkeypatch):
    monkeypatch.setenv("SALON_PORT", "high")

    with pytest.raises(StartupError, match="SALON_PORT"):
        load()


def test_guests_are_allowed_by_default_only_on_loopback():
    assert load().guests_allowed
    assert not load(host="0.0.0.0").guests_allowed
    assert load(host="0.0.0.0", guests=True).guests_allowed
