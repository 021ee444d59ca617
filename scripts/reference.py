"""``make docs``: writes docs/reference/settings.md and openapi.json from the code."""

import json
from pathlib import Path

from salon.app.settings import Settings

OUT = Path("docs/reference")


def settings() -> str:
    """The settings as a table."""
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


def main() -> None:
    (OUT / "settings.md").write_text(settings(), encoding="utf-8")
    from salon.app.wiring import openapi

    (OUT / "openapi.json").write_text(json.dumps(openapi(), indent=1), encoding="utf-8")


main()
