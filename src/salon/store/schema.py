"""The tables, in SQLAlchemy Core.

Three families:

- *derived from the log*: ``conversations``, ``members``, ``events``, ``picture_jobs``
  (except its lease columns) and ``applied``. The owner writes them, a batch of
  commands per transaction; they can be rebuilt from the topic ``commands``.
- *ordinary rows*: users, credentials, logins, invites, settings, files. They are
  written durably (``Database.write(..., durable=True)``).
- *max-merged cursors*: ``members.read_seq`` and ``read_n``, which never go back.

Ids are 64-bit numbers (``salon.ids``), times milliseconds since the epoch.
The SQL stays within SQLite 3.40 and PostgreSQL 14.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

Id = BigInteger().with_variant(Integer(), "sqlite")

users = Table(
    "users",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=False),
    Column("handle", String(64), nullable=False),
    Column("handle_key", String(64), nullable=False, unique=True),
    Column("name", String(120), nullable=False),
    Column("role", String(16), nullable=False),
    Column("created", Id, nullable=False),
    Column("disabled", Boolean, nullable=False, default=False),
)

credentials = Table(
    "credentials",
    metadata,
    Column("user_id", Id, primary_key=True, autoincrement=False),
    Column("kind", String(16), primary_key=True),
    Column("secret_hash", String(256), nullable=False),
    Column("created", Id, nullable=False),
)

logins = Table(
    "logins",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=False),
    Column("user_id", Id, nullable=False, index=True),
    Column("token_hash", String(64), nullable=False, unique=True),
    Column("terminal", String(16), nullable=False),
    Column("created", Id, nullable=False),
    Column("last_seen", Id, nullable=False),
    Column("expires", Id, nullable=False),
)

invites = Table(
    "invites",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=False),
    Column("token_hash", String(64), nullable=False, unique=True),
    Column("inviter_id", Id, nullable=False),
    Column("created", Id, nullable=False),
    Column("expires", Id, nullable=False),
    Column("used_by", Id, nullable=True),
)

settings = Table(
    "settings",
    metadata,
    Column("key", String(64), primary_key=True),
    Column("value", Text, nullable=False),
)

conversations = Table(
    "conversations",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=False),
    Column("kind", String(16), nullable=False),
    Column("name", String(240), nullable=False),
    Column("owner_id", Id, nullable=False),
    Column("pair_key", String(48), nullable=True, unique=True),
    Column("last_seq", Id, nullable=False),
    Column("last_n", Id, nullable=False),
    Column("last_rev", Id, nullable=False, index=True),
    Column("created", Id, nullable=False),
    Column("ts", Id, nullable=False),
)

members = Table(
    "members",
    metadata,
    Column("conv_id", Id, primary_key=True, autoincrement=False),
    Column("user_id", Id, primary_key=True, autoincrement=False),
    Column("role", String(16), nullable=False),
    Column("joined_seq", Id, nullable=False),
    Column("visible_n", Id, nullable=False, default=0),
    Column("read_seq", Id, nullable=False, default=0),
    Column("read_n", Id, nullable=False, default=0),
    Column("left_seq", Id, nullable=True),
    Index("ix_members_user_id_conv_id", "user_id", "conv_id"),
)

events = Table(
    "events",
    metadata,
    Column("conv_id", Id, primary_key=True, autoincrement=False),
    Column("seq", Id, primary_key=True, autoincrement=False),
    Column("n", Id, nullable=True),
    Column("msg_id", Id, nullable=False, unique=True),
    Column("rev", Id, nullable=False, unique=True),
    Column("type", String(32), nullable=False),
    Column("sender_id", Id, nullable=False),
    Column("client_id", String(64), nullable=True),
    Column("target_seq", Id, nullable=True),
    Column("digest", LargeBinary(16), nullable=True),
    Column("body", LargeBinary, nullable=False),
    Column("ts", Id, nullable=False),
    UniqueConstraint("conv_id", "sender_id", "client_id"),
)

applied = Table(
    "applied",
    metadata,
    Column("consumer", String(32), primary_key=True),
    Column("partition", Integer, primary_key=True, autoincrement=False),
    Column("next_offset", Id, nullable=False),
    Column("term", Id, nullable=False),
    Column("parked", Text, nullable=True),
)

picture_jobs = Table(
    "picture_jobs",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=False),
    Column("conv_id", Id, nullable=False),
    Column("seq", Id, nullable=False),
    Column("user_id", Id, nullable=False),
    Column("prompt", Text, nullable=False),
    Column("negative", Text, nullable=False),
    Column("seed", Id, nullable=False),
    Column("steps", Integer, nullable=False),
    Column("guidance", Float, nullable=False),
    Column("state", String(16), nullable=False),  # queued leased done failed cancelled
    Column("created", Id, nullable=False),
    Column("deadline", Id, nullable=False),
    Column("ended", Id, nullable=True),
    # the lease: ordinary columns, not derived
    Column("attempt", Integer, nullable=False, default=0),
    Column("worker", String(64), nullable=True),
    Column("lease_until", Id, nullable=True),
    # the end
    Column("file_id", Id, nullable=True),
    Column("reason", Text, nullable=True),
    Index("ix_picture_jobs_state_created", "state", "created"),
    Index("ix_picture_jobs_conv_id_seq", "conv_id", "seq"),
)

files = Table(
    "files",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=False),
    Column("key", String(128), nullable=False, unique=True),
    Column("mime", String(64), nullable=False),
    Column("size", Id, nullable=False),
    Column("width", Integer, nullable=True),
    Column("height", Integer, nullable=True),
    Column("sha256", String(64), nullable=False),
    Column("created", Id, nullable=False),
)

file_links = Table(
    "file_links",
    metadata,
    Column("file_id", Id, primary_key=True, autoincrement=False),
    Column("conv_id", Id, primary_key=True, autoincrement=False),
    Column("seq", Id, primary_key=True, autoincrement=False),
)
