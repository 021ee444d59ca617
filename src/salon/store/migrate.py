"""Bring a database to the schema of this program, or refuse in words.

Alembic takes a third of a second to import, so a database that is already current is
recognised by one query and Alembic stays out of the start.
"""

from pathlib import Path

from sqlalchemy import Connection, inspect, text

from salon.errors import StartupError

HEAD = "0001"
"""The newest version in ``migrations/versions``; a test holds it to that."""

KNOWN = ("0001",)


def migrate(connection: Connection) -> bool:
    """Run the missing migrations; True if there were any.

    Raises:
        StartupError: the data were written by a newer Salon.
    """
    found = _version(connection)
    if found == HEAD:
        return False
    if found is not None and found not in KNOWN:
        raise StartupError(
            f"The data were written by a newer Salon (schema {found}; this program "
            f"knows {HEAD}). Start the newer Salon, or restore a backup."
        )
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
    return True


def _version(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(
        text("SELECT version_num FROM alembic_version")
    ).scalar_one_or_none()
