"""Build hook: puts the built web page into the wheel.

A checkout needs Node for this; the published wheel and sdist do not, because they
carry the built files. Skipped for editable installs (``make web`` builds there) and
where the files are already built.
"""

import shutil
import subprocess
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class WebBuild(BuildHookInterface):  # type: ignore[type-arg]
    """Runs ``npm ci && npm run build`` in ``web/`` before a wheel is packed."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        root = Path(self.root)
        if version == "editable" or (root / "src/salon/webapp/index.html").exists():
            return
        npm = shutil.which("npm")
        if npm is None:
            raise RuntimeError(
                "npm is needed to build the web page of a checkout: install Node 20 "
                "or newer, or run `make web`, which brings Node as a Python package."
            )
        for arguments in (["ci"], ["run", "build"]):
            subprocess.run([npm, *arguments], cwd=root / "web", check=True)
