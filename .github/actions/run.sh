#!/usr/bin/env bash
# run.sh: `ep-perf run` as the action's inputs ask, given as variables; exports go into $OUT, annotations into the log.
# Ends as the run ends.
set -euo pipefail

home=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.." && pwd)
mkdir -p -- "$OUT"

mapfile -t words < <(xargs -n 1 printf '%s\n' <<<"$FLAGS") # quoted as in a shell, and nothing of it expanded
read -r -a paths <<<"$MODELS"
read -r -a eps <<<"$TARGETS"
for path in "${paths[@]}"; do words+=(-m "$path"); done
[[ ${#eps[@]} -eq 0 ]] || words+=(-e "${eps[@]}")
[[ -z $EXPECTED ]] || words+=(--expected "$EXPECTED")
[[ -z $AGAINST ]] || words+=(--against "$AGAINST")
[[ -z $SAVE_BASELINE ]] || words+=(--save_baseline "$SAVE_BASELINE")

status=0
"$home/perf.sh" "${words[@]}" -o "$RESULTS" --fail_on "$FAIL_ON" --export github \
    --export "junit=$OUT/cells.xml" --export "sarif=$OUT/cells.sarif" --export "html=$OUT/report.html" \
    --export "csv=$OUT/cells.csv" --export "markdown=$OUT/comment.md" \
    --export "github-summary=$OUT/summary.md" || status=$?
if [[ -f $OUT/summary.md ]]; then
    cat -- "$OUT/summary.md" >>"${GITHUB_STEP_SUMMARY:-/dev/null}"
fi
echo "status=$status" >>"${GITHUB_OUTPUT:-/dev/null}"
exit "$status"
