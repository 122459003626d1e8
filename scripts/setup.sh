#!/bin/sh
# Makes .venv with the locked packages and this project in it. Does nothing when it is up to date.
# The one place that installs: test.sh, quickstart.sh and .ci/run call it.
#
#   scripts/setup.sh                                    any Python >= 3.11 found
#   STAGEGATE_PYTHON=/path/to/python scripts/setup.sh   this one
#
# After a change of the dependencies in pyproject.toml the lock is made again by
#   uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 --generate-hashes \
#       --no-emit-index-url --no-header --no-annotate -o requirements.lock
set -eu

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd -P)
venv=$root/.venv
stamp=$venv/stagegate.stamp
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1

fail() {
    printf 'setup: %s\n' "$1" >&2
    exit 1
}

recent() { # recent PYTHON: it runs and is >= 3.11
    "$1" -I -c 'import sys; sys.exit(sys.version_info < (3, 11))' </dev/null >/dev/null 2>&1
}

find_python() { # sets python
    if [ -n "${STAGEGATE_PYTHON:-}" ]; then
        recent "$STAGEGATE_PYTHON" || fail "STAGEGATE_PYTHON is $STAGEGATE_PYTHON, which is no Python >= 3.11 that runs"
        python=$STAGEGATE_PYTHON
        return
    fi
    for python in python3.11 python3.12 python3.13 python3.14 python3 python; do
        if recent "$python"; then
            return
        fi
    done
    fail 'no Python >= 3.11 found. Install one (Debian and Ubuntu: apt install python3 python3-venv), or set STAGEGATE_PYTHON to its path'
}

wanted() { # what .venv must have been made from: the lock and the project's metadata
    "$venv/bin/python" -I -c '
import hashlib, sys
print(hashlib.sha256(b"".join(hashlib.sha256(open(path, "rb").read()).digest() for path in sys.argv[1:])).hexdigest())
' "$root/requirements.lock" "$root/pyproject.toml" </dev/null
}

make_venv() {
    find_python
    version=$("$python" -I -c 'import sys; print("%d.%d" % sys.version_info[:2])' </dev/null)
    "$python" -I -c 'import ensurepip, venv' </dev/null 2>/dev/null ||
        fail "Python $version has no venv module. Install it (Debian and Ubuntu: apt install python$version-venv), then repeat"
    printf 'setup: making .venv with Python %s\n' "$version"
    "$python" -I -m venv --clear "$venv" </dev/null
}

install_packages() {
    printf 'setup: installing the packages of requirements.lock into .venv\n'
    "$venv/bin/python" -I -m pip install --quiet --require-hashes -r "$root/requirements.lock" </dev/null ||
        fail 'the packages could not be installed; the lines above say why. A firewall or proxy is the usual cause: set PIP_INDEX_URL to an index that this machine reaches'
    "$venv/bin/python" -I -m pip install --quiet --no-deps --no-build-isolation --editable "$root" </dev/null ||
        fail 'the project itself could not be installed; the lines above say why'
}

recent "$venv/bin/python" || make_venv
if [ ! -f "$stamp" ] || [ "$(cat "$stamp")" != "$(wanted)" ]; then
    rm -f "$stamp"
    install_packages
    wanted >"$stamp"
    printf 'setup: ready\n'
fi
