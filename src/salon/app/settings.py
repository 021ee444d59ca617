"""Settings: the only module that reads the environment.

Order of precedence: command line > environment ``SALON_…`` > defaults. Unknown
``SALON_…`` variables are an error, because a misspelt setting is silent otherwise.
"""

import os
import secrets
from pathlib import Path

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from salon.errors import StartupError

LOOPBACK = ("127.0.0.1", "::1", "localhost")


class Settings(BaseSettings):
    """What can be set, with defaults; each ``SALON_NAME`` in the environment."""

    model_config = SettingsConfigDict(env_prefix="SALON_", extra="forbid")

    host: str = Field("127.0.0.1", description="address to listen on")
    port: int = Field(8080, ge=0, le=65535, description="port; 0 takes a free one")
    data: Path = Field(
        default_factory=lambda: Path(_data_folder()),
        description="the folder of everything",
    )
    node: str = Field("", description="this server's name; default: kept in the data")
    kafka: str = Field(
        "", description="bootstrap servers of a Kafka; empty: the embedded broker"
    )
    database: str = Field("", description="SQLAlchemy URL; empty: SQLite in the data")
    public_url: str = Field(
        "", description="how people reach it, e.g. https://chat.org"
    )
    origins: str = Field("", description="further allowed origins, comma-separated")
    stomp_port: int = Field(
        0, ge=0, le=65535, description="also STOMP over plain TCP on this port; 0: no"
    )
    proxies: str = Field(
        "", description="trusted proxies, addresses or networks, comma-separated"
    )
    guests: bool | None = Field(
        None, description="guest pages; default: only when listening on loopback"
    )
    pictures: bool = Field(True, description="start a picture worker beside the server")
    picture_model: Path | None = Field(
        None,
        description="a diffusers folder or .safetensors file; default: Salon's own",
    )
    picture_threads: int = Field(1, ge=1, le=64, description="threads of the worker")
    message_rate: float = Field(10.0, gt=0, description="messages a second per user")
    message_burst: int = Field(30, ge=1, description="messages at once per user")
    connections_per_ip: int = Field(1000, ge=1, description="sockets from one address")
    connections: int = Field(20_000, ge=1, description="sockets in all")
    log_level: str = Field("info", description="debug, info, warning or error")

    @field_validator("node")
    @classmethod
    def _plain(cls, value: str) -> str:
        if value and not all(c.isalnum() or c in "-_" for c in value):
            raise ValueError("letters, digits, - and _ only")
        return value

    @property
    def guests_allowed(self) -> bool:
        """Guests come in without an account only where just this machine can."""
        return self.host in LOOPBACK if self.guests is None else self.guests

    @property
    def database_url(self) -> str:
        return self.database or f"sqlite:///{self.data / 'salon.db'}"


def load(**given: object) -> Settings:
    """The settings; ``given`` (not ``None``) comes from the command line.

    Raises:
        StartupError: theirs; names the setting and what is wrong with it.
    """
    known = {f"SALON_{name.upper()}" for name in Settings.model_fields}
    own = {"SALON_REQUIRE_ENGINES"}  # of the tests
    for name in os.environ:
        if name.startswith("SALON_") and name not in known | own:
            raise StartupError(
                f"{name} is no setting of Salon. `salon settings` lists them."
            )
    try:
        return Settings(**{k: v for k, v in given.items() if v is not None})  # type: ignore[arg-type]
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        raise StartupError(
            f"The setting {name} is wrong: {first['msg']}. (SALON_{name.upper()})"
        ) from error


def node_name(settings: Settings) -> str:
    """This server's name: set, or made once and kept in the data folder."""
    if settings.node:
        return settings.node
    kept = settings.data / "node"
    if not kept.exists():
        kept.write_text(f"n{secrets.token_hex(4)}\n")
    return kept.read_text().strip()


def child_environment() -> dict[str, str]:
    """What a child process inherits: everything but our own settings."""
    return {k: v for k, v in os.environ.items() if not k.startswith("SALON_")}


def _data_folder() -> str:
    from platformdirs import user_data_dir

    return user_data_dir("salon", appauthor=False)
