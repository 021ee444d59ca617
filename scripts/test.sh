#!/usr/bin/env bash
# All tests, in three parts: the parallel ones, then what wants the machine for itself.
set -uo pipefail
cd "$(dirname "$0")/.."
export PATH="$PWD/.venv/bin:$PATH"
status=0
part() { echo "── $1"; shift; "$@" || status=1; }

part "style, types, imports" bash -c '
  ruff format --check --quiet src tests benchmarks examples scripts hatch_build.py &&
  ruff check --quiet src tests benchmarks examples scripts hatch_build.py &&
  mypy --no-error-summary &&
  lint-imports --no-cache >.stamps/imports.txt || { cat .stamps/imports.txt 2>/dev/null; exit 1; }'
part "the web page" bash -c 'cd web && npm --silent run lint && npm --silent run size && npm --silent run test'
part "units and contracts" python -m pytest -q -n 2 -m "not e2e and not browser and not faults and not kafka" tests
part "the whole program" python -m pytest -q -m "e2e or browser or faults or kafka" tests
exit $status
