"""``make bench``: every benchmark of this folder, one after another.

Each prints a table with the machine and the versions. Figures of different runs or
machines are not to be compared; ratios within one table are.
"""

import importlib
import pkgutil
import sys
from pathlib import Path


def main() -> None:
    wanted = set(sys.argv[1:])
    for module in pkgutil.iter_modules([str(Path(__file__).parent)]):
        if module.name.startswith("_") or (wanted and module.name not in wanted):
            continue
        loaded = importlib.import_module(f"benchmarks.{module.name}")
        if hasattr(loaded, "main"):
            print(f"\n## {module.name}: {(loaded.__doc__ or '').splitlines()[0]}\n")
            loaded.main()


if __name__ == "__main__":
    main()
