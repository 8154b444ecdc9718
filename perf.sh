#!/usr/bin/env bash
# Sets the harness up on first use (.venv; the wrapper makes the offline models and the environments it needs), then
# validates and benchmarks every model on every EP that this machine can run. All flags go to benchmark_wrapper.py.
#   ./perf.sh --setup       only makes .venv, with the command .venv/bin/ep-perf;  ./perf.sh --setup=dev  adds what lint
#                           and tests need
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
python=${PYTHON:-python3}
venv=$here/.venv/bin/python

give_up() { # what failed and what to do: the run cannot be completed
    echo "error: $1" >&2
    exit 2
}

packages_of_a_run="numpy, onnx, onnxruntime, rich, nvidia-ml-py, shtab (about 210 MiB on disk)"

set_up() { # what: run or dev
    local stamp=$here/.venv/.ep-perf-$1 lock=harness wanted
    if [ "$1" = dev ]; then lock=harness-dev; fi
    wanted=$(sha256sum <"$here/locks/$lock.lock")
    if [ -x "$venv" ] && [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ]; then return; fi
    exec 9>"$here/.venv.lock"
    flock 9
    if [ "$1" = run ]; then
        echo "installing into .venv: $packages_of_a_run" >&2
    else
        echo "installing into .venv: the harness's packages and what lint and tests need (about 520 MiB on disk)" >&2
    fi
    if ! "$venv" -m pip --version >/dev/null 2>&1; then # none yet, or one that was left half made
        "$python" -m venv --clear "$here/.venv" >&2 ||
            give_up "$python cannot make .venv; on Debian and Ubuntu apt-get install python3-venv, then run this again"
    fi
    "$venv" -m pip install -qq --disable-pip-version-check --no-warn-script-location \
        --require-hashes -r "$here/locks/$lock.lock" >&2 ||
        give_up "pip could not install into .venv; behind a mirror set PIP_INDEX_URL, without a network PIP_NO_INDEX=1 and PIP_FIND_LINKS=DIR, then run this again"
    # import ep_perf and .venv/bin/ep-perf lead to this clone, as an editable install would, without its build tools.
    echo "$here" >"$("$venv" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/ep_perf.pth"
    cat >"$here/.venv/bin/ep-perf" <<PROGRAM # for sh and, from there, for Python, as pip writes it
#!/bin/sh
'''exec' "$venv" "\$0" "\$@"
' '''
from ep_perf.__main__ import main
raise SystemExit(main())
PROGRAM
    chmod +x "$here/.venv/bin/ep-perf"
    echo "$wanted" >"$stamp"
    exec 9>&-
}

install=yes
list=no
only=
mode=(-r both)
times=(-t 20)
inputs=(-i zoo)
before=
for flag in "$@"; do
    case "$before $flag" in
    "--rerun failed" | *" --rerun=failed" | *" --resume"*)
        mode=() times=() inputs=() ;; # an earlier run's are kept; its plan stands in its run.json
    esac
    before=$flag
    case "$flag" in
    --setup) only=run ;;
    --setup=dev) only=dev ;;
    --list) install=never list=yes ;;
    -h | --help) install=never ;;
    --no_install | --no-install) [ "$install" = never ] || install=no ;;
    -t* | --test_times* | --test-times* | --min_time* | --min-time*) times=() ;;
    -r* | --running_mode* | --running-mode*) mode=() ;;
    -i* | --input_data* | --input-data*) inputs=() ;;
    esac
done

if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    echo "error: $python is not there or older than 3.11; install Python 3.11 or set PYTHON=/path/to/python3.11" >&2
    exit 2
fi
if [ -n "$only" ]; then
    set_up "$only"
    exit
fi
if [ "$install" = yes ]; then set_up run; fi
if [ "$list" = yes ] && [ ! -x "$venv" ]; then
    echo "not set up yet: the first run installs into .venv $packages_of_a_run" >&2
fi
if [ ! -x "$venv" ]; then venv=$(command -v "$python"); fi
if [ "$install" = never ]; then # the standard library is enough, before anything is installed
    exec "$venv" "$here/benchmark_wrapper.py" "$@"
fi
exec "$venv" "$here/benchmark_wrapper.py" "${mode[@]}" "${inputs[@]}" "${times[@]}" "$@"
