#!/bin/sh
# an interpreter that answers a probe and runs no worker
case "$*" in *perf.worker.host*) echo "no worker runs here" >&2; exit 7;; esac
exec /srv/lab/ep-perf/.venv/bin/python "$@"
