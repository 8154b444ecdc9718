#!/usr/bin/env bash
# gate.sh IMAGE PREVIOUS CURRENT OUT: holds each group's newest run under CURRENT against its newest under PREVIOUS, in
# the image, or with an empty IMAGE on this machine, and leaves OUT/comparison_GROUP.csv and .md. Exit: 0 nothing is
# worse, 1 something is, 2 cannot compare, 3 error; the worst of all groups. A group without an earlier run has nothing
# to be worse than. That the versions of ONNX Runtime differ is what is being asked.
set -euo pipefail

image=$1 previous=$2 current=$3 out=$4
engine=${CONTAINER_ENGINE:-docker}
home=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.." && pwd)

# newest FOLDER GROUP: the folder of the group's newest run; run ids begin with the time, so the last by name.
newest() {
    find "$1" -path "*/$2/*/run.json" -printf '%h\n' 2>/dev/null | awk -F/ '{print $NF "\t" $0}' | sort | tail -n 1 | cut -f2-
}

# compare PROGRAM... OUT: $before against $now by that comparison, verdicts into OUT.
compare() {
    local verdicts=${*: -1}
    "${@:1:$#-1}" -p "$before" -c "$now" -o "$verdicts/comparison_$group.csv" --across ep_version --markdown
}

mkdir -p -- "$out" "$previous"
previous=$(realpath -- "$previous") current=$(realpath -- "$current") out=$(realpath -- "$out")
worst=0 groups=0
for folder in "$current"/*/; do
    group=$(basename -- "$folder")
    now=$(newest "$current" "$group")
    [[ -n $now ]] || continue
    groups=$((groups + 1))
    before=$(newest "$previous" "$group")
    if [[ -z $before ]]; then
        printf 'gate.sh: %s has no earlier good run: this one is the first to compare with\n' "$group"
        continue
    fi
    status=0
    if [[ -n $image ]]; then
        compare "$engine" run --rm --user "$(id -u):$(id -g)" --env HOME=/tmp \
            --mount "type=bind,source=$before,target=$before,readonly" \
            --mount "type=bind,source=$now,target=$now,readonly" \
            --mount "type=bind,source=$out,target=/out" \
            --entrypoint /opt/ep-perf/.venv/bin/python "$image" \
            /opt/ep-perf/comparison/comparison_script.py /out >"$out/comparison_$group.md" || status=$?
    else
        compare "$home/.venv/bin/python" "$home/comparison/comparison_script.py" "$out" \
            >"$out/comparison_$group.md" || status=$?
    fi
    tee -a "${GITHUB_STEP_SUMMARY:-/dev/null}" <"$out/comparison_$group.md"
    printf 'gate.sh: %s ended with %d (0 nothing worse, 1 worse, 2 cannot compare, 3 error)\n' "$group" "$status"
    if ((status > worst)); then
        worst=$status
    fi
done
if ((groups == 0)); then
    printf 'gate.sh: %s holds no run; the models did not run\n' "$current" >&2
    exit 2
fi
exit "$worst"
