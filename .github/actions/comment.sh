#!/usr/bin/env bash
# comment.sh PULL_REQUEST NAME FILE: edits the one comment that bears NAME's mark, or writes it. A run that left no FILE
# leaves the comment as it was.
set -euo pipefail

pull_request=$1 name=$2 file=$3
if [[ ! -f $file ]]; then
    echo "comment.sh: the run left no $file: the comment stays as it was"
    exit 0
fi
mark="<!-- $name -->"
body=$(printf '%s\n' "$mark" && head -c 60000 -- "$file")
found=$(gh api --paginate "repos/$GH_REPO/issues/$pull_request/comments" \
    --jq ".[] | select(.body | startswith(\"$mark\")) | .id" | head -n 1)
if [[ -n $found ]]; then
    gh api --method PATCH "repos/$GH_REPO/issues/comments/$found" --raw-field "body=$body" --silent
else
    gh api --method POST "repos/$GH_REPO/issues/$pull_request/comments" --raw-field "body=$body" --silent
fi
