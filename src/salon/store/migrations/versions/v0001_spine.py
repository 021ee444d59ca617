"""The first schema: people, conversations, events, pictures, files.

Version 1 *is* the metadata of ``salon.store.schema``. From version 2 on, each version
spells out its own changes, and this one is frozen to the tables of then.
"""

from alembic import op

from salon.store.schema import metadata

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    metadata.create_all(op.get_bind())
