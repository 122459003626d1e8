#!/bin/sh
# Renews requirements.lock from pyproject.toml, with uv from PATH: every package pinned and hashed, for every platform and
# every Python from 3.11. Further arguments go on to uv:
#
#   scripts/lock.sh                             keeps what still satisfies pyproject.toml
#   scripts/lock.sh --upgrade                   takes the newest of everything
#   scripts/lock.sh --upgrade-package numpy     takes the newest numpy
set -eu

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd -P)
if ! command -v uv >/dev/null; then
    printf 'lock: uv is not on PATH; install it (for one user: pipx install uv), then repeat\n' >&2
    exit 1
fi
cd "$root"
exec uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 --generate-hashes \
    --no-emit-index-url --no-header --no-annotate --quiet "$@" -o requirements.lock
