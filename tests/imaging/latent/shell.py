"""Commands run as a person runs them."""

from pathlib import Path
from typing import Any

import typer
from typer.testing import CliRunner

from salon.errors import StartupError


class Shell:
    """Runs the commands of one app."""

    def __init__(self, app: typer.Typer) -> None:
        self._app = app

    def _run(self, words: tuple[str | Path, ...]) -> Any:
        return CliRunner().invoke(self._app, [str(word) for word in words])

    def done(self, *words: str | Path) -> str:
        """What a command says that succeeds."""
        result = self._run(words)
        assert result.exit_code == 0, (result.output, result.exception)
        return " ".join(result.output.split())

    def refusal(self, *words: str | Path) -> str:
        """What a command says that does not."""
        result = self._run(words)
        if result.exit_code == 2:
            return " ".join(result.output.replace("│", " ").split())
        said = (result.output, result.exception)
        assert isinstance(result.exception, StartupError), said
        return str(result.exception)
