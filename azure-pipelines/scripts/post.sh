#!/usr/bin/env bash
# post.sh RESULT BRANCH COMMIT URL: posts each group's newest run below RESULT to the dashboard that EP_PERF_POST_URL names,
# signed in by EP_PERF_POST_PASSWORD or Azure's own variables, from this machine; URL is where the page can be read.
set -euo pipefail

for name in EP_PERF_POST_URL EP_PERF_POST_PASSWORD AZURE_CLIENT_ID AZURE_TENANT_ID AZURE_CLIENT_SECRET; do
    # Azure Pipelines leaves the name of a variable that nobody set where its value belongs.
    if [[ ${!name-} == "\$($name)" ]]; then unset "$name"; fi
done

result=$1 branch=$2 commit=$3 url=$4
home=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.." && pwd)

"$home/perf.sh" --setup=dev
for folder in "$result"/*/; do
    newest=$(find "$folder" -mindepth 2 -maxdepth 2 -name run.json -printf '%h\n' | sort | tail -n 1)
    [[ -n $newest ]] || continue
    "$home/.venv/bin/python" -m perf.post "$newest" --post --group "$(basename -- "$folder")" \
        --branch "$branch" --commit "$commit" --report_url "$url"
done
