#!/usr/bin/env bash
# post.sh RESULT BRANCH COMMIT URL: posts each group's newest run below RESULT to the dashboard that EP_PERF_POST_URL and
# EP_PERF_POST_PASSWORD name, from this machine; URL is where the page can be read.
set -euo pipefail

result=$1 branch=$2 commit=$3 url=$4
home=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.." && pwd)

"$home/perf.sh" --setup=dev
for folder in "$result"/*/; do
    newest=$(find "$folder" -mindepth 2 -maxdepth 2 -name run.json -printf '%h\n' | sort | tail -n 1)
    [[ -n $newest ]] || continue
    "$home/.venv/bin/python" -m perf.post "$newest" --post --group "$(basename -- "$folder")" \
        --branch "$branch" --commit "$commit" --report_url "$url"
done
