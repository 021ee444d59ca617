"""Alembic's entry: run the versions over the connection that the caller gives."""

from alembic import context

from salon.store.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,
    transaction_per_migration=False,
)
context.run_migrations()
