"""``make measure``: how large the code's pieces are. Prints; nothing fails.

The question to each long piece is "is this one idea?".
"""

import ast
import statistics
from pathlib import Path


def main() -> None:
    files: list[tuple[int, str]] = []
    functions: list[tuple[int, str]] = []
    documented = public = 0
    for path in sorted(Path("src/salon").rglob("*.py")):
        source = path.read_text(encoding="utf-8")
        files.append((source.count("\n"), str(path)))
        for node in ast.walk(ast.parse(source)):
            if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                continue
            size = (node.end_lineno or node.lineno) - node.lineno + 1
            functions.append((size, f"{path}:{node.lineno} {node.name}"))
            if not node.name.startswith("_"):
                public += 1
                documented += ast.get_docstring(node) is not None
    for title, rows in (("modules", files), ("functions", functions)):
        sizes = sorted(size for size, _ in rows)
        print(
            f"{title}: {len(sizes)}, lines p50 {statistics.median(sizes):.0f}, "
            f"p90 {sizes[len(sizes) * 9 // 10]}, longest:"
        )
        for size, where in sorted(rows, reverse=True)[:8]:
            print(f"  {size:5} {where}")
    print(f"public functions with a docstring: {documented / public:.0%}")


main()
