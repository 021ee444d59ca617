"""``python -m salon``."""

from salon.cli.main import run

run()
