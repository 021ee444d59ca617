"""``make docs``: writes what the documents repeat of the code."""

from pathlib import Path

from salon.app.manual import settings


def main() -> None:
    Path("docs/reference/settings.md").write_text(settings(), encoding="utf-8")


main()
