"""Schema versions, by Alembic; forward only."""
