"""The line that stands above every table: machine, system, versions."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path


def described(*packages: str) -> str:
    """The machine and the versions of ``packages`` in one line."""
    model = "unknown processor"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    found = [f"Python {platform.python_version()}"]
    for package in ("salon", *packages):
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            found.append(f"{package} (not installed)")
    return f"{os.cpu_count()} × {model}, Linux {platform.release()}; {', '.join(found)}"
