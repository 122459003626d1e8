#!/bin/sh
# Runs stages of a tag on the workstation: preflight, then each stage in order, stopping at the first that does not pass.
#
#   scripts/workstation_official_run.sh --tag TAG --stages s1,s2,s3 [--threads 8]
#       [--cost-multipliers 1.5,2.0] [--wf-shards 4] [--workspace DIR]
#
# --threads           total of compute threads, shared among the workers of s2 and s3 (default: 8)
# --cost-multipliers  what is judged: some of the frozen multipliers, 1.5 and 2.0 among them (default: all)
# --wf-shards         states the number of shards; must equal the freeze
#
# Exit status: 0 when every stage passed, else that of the preflight (4) or of the stage that stopped: 1 FAIL,
# 2 INCOMPLETE, 4 refused. s0 freezes a candidate and is run by hand; each packet is written before its stage.
set -eu

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd -P)
python=$root/.venv/bin/python

refuse() {
    printf 'official run: %s\n' "$1" >&2
    exit 4
}

tag= stages= threads=8 multipliers= shards= workspace=$root
while [ $# -gt 0 ]; do
    [ $# -ge 2 ] || refuse "$1 has no value; see the head of scripts/workstation_official_run.sh"
    case $1 in
        --tag) tag=$2 ;;
        --stages) stages=$2 ;;
        --threads) threads=$2 ;;
        --cost-multipliers) multipliers=$2 ;;
        --wf-shards) shards=$2 ;;
        --workspace) workspace=$2 ;;
        *) refuse "unknown option $1; see the head of scripts/workstation_official_run.sh" ;;
    esac
    shift 2
done
[ -n "$tag" ] || refuse '--tag is missing: --tag TAG'
[ -n "$stages" ] || refuse '--stages is missing: --stages s1,s2,s3'
for stage in $(printf '%s' "$stages" | tr ',' ' '); do
    case $stage in
        s1 | s2 | s3 | s4) ;;
        s0) refuse 's0 freezes a candidate and is run by hand: pytest gates/s0 --candidate FILE --decision-tag TAG --owner NAME' ;;
        *) refuse "$stage is no stage; --stages takes some of s1,s2,s3,s4" ;;
    esac
done
case $threads in
    '' | *[!0-9]* | 0*) refuse "--threads is '$threads', expected a number such as 8" ;;
esac

[ -d "$workspace" ] || refuse "there is no workspace $workspace"
workspace=$(CDPATH='' cd -- "$workspace" && pwd -P)

"$root/scripts/workstation_preflight.sh" --tag "$tag" --workspace "$workspace"
cd "$root"
for stage in $(printf '%s' "$stages" | tr ',' ' '); do
    set -- "gates/$stage" --decision-tag "$tag" --threads "$threads"
    case $stage in
        s2 | s3) set -- "$@" -n "$threads" ;;
    esac
    [ -z "$multipliers" ] || set -- "$@" --cost-multipliers "$multipliers"
    [ -z "$shards" ] || set -- "$@" --wf-shards "$shards"
    [ "$workspace" = "$root" ] || set -- "$@" --workspace "$workspace"
    printf '\n$ pytest %s\n' "$*"
    "$python" -m pytest "$@"
done
