"""``salon settings``: what can be set, its default, and what it is now."""

from rich.console import Console
from rich.table import Table

from salon.app.settings import Settings, load


def settings() -> None:
    """What can be set in the environment, and what is set."""
    now = load()
    table = Table(box=None, pad_edge=False)
    for title in ("variable", "now", "what it is"):
        table.add_column(title)
    for name, field in Settings.model_fields.items():
        value = getattr(now, name)
        changed = name in now.model_fields_set
        shown = f"[bold]{value}[/bold]" if changed else str(value)
        table.add_row(f"SALON_{name.upper()}", shown, field.description or "")
    Console().print(table)
