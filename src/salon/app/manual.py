"""The manual of settings, made from the settings; ``make docs`` writes it down."""

from salon.app.settings import Settings


def settings() -> str:
    """``docs/reference/settings.md``."""
    lines = [
        "# Settings",
        "",
        "Made by `make docs` from `src/salon/app/settings.py`. "
        "Command line > environment > default.",
        "",
        "| variable | default | what it is |",
        "|---|---|---|",
    ]
    for name, field in Settings.model_fields.items():
        default = "the user's data folder" if name == "data" else f"`{field.default}`"
        lines.append(f"| `SALON_{name.upper()}` | {default} | {field.description} |")
    return "\n".join(lines) + "\n"
