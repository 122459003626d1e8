#!/bin/sh
# From nothing to a promoted candidate, and to one that is stopped: sets up, then takes the two demonstration candidates
# through every stage in a workspace of their own under demo/.
set -eu

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd -P)
"$root/scripts/setup.sh"
cd "$root"
exec "$root/.venv/bin/python" -m fixtures.demo.tour "$@"
