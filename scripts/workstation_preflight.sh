#!/bin/sh
# Could a recorded run start on this machine, now? Cores, memory, disk, clean code tree, package lock, registry, no other
# run alive; with --tag also the freeze and everything it pins. One JSON document on standard output; exit 0, or 4 with the
# reasons on standard error. Changes nothing.
#
#   scripts/workstation_preflight.sh [--tag TAG] [--workspace DIR] [--min-free-gb GB]
set -eu

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd -P)
python=$root/.venv/bin/python
if [ ! -x "$python" ]; then
    printf 'preflight: there is no .venv; run ./scripts/setup.sh first\n' >&2
    exit 4
fi
exec "$python" -I -c 'import sys
sys.path.insert(0, sys.argv.pop(1))
from reports.run.preflight import main
sys.exit(main())' "$root" "$@"
