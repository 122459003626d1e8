#!/bin/sh
# Runs the tests of this project on two workers. Arguments go on to pytest:
#
#   scripts/test.sh
#   scripts/test.sh -n 8
#   scripts/test.sh tests/engines -k walk_forward
set -eu

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd -P)
"$root/scripts/setup.sh"
cd "$root"

paths=tests
workers='-n 2'
for argument in "$@"; do
    case $argument in
        -n* | --numprocesses*) workers= ;;
        tests | tests/*) paths= ;;
    esac
done
# gates do without hypothesis's plugin (half a second a process, see pyproject.toml); the project's own tests have it
# shellcheck disable=SC2086  # both are lists of words
exec "$root/.venv/bin/python" -m pytest -p _hypothesis_pytestplugin $paths $workers "$@"
