#!/usr/bin/env bash
# last_good_run.sh WORKFLOW BRANCH PATTERN FOLDER: the artifacts of a workflow's last successful run on a branch. The
# folder stays empty where there is no such run: the first run of all has nothing to compare with.
set -euo pipefail

workflow=$1 branch=$2 pattern=$3 folder=$4
mkdir -p -- "$folder"
id=$(gh run list --workflow "$workflow" --branch "$branch" --status success --limit 1 --json databaseId --jq '.[].databaseId')
if [[ -z $id ]]; then
    printf 'last_good_run.sh: %s has no good run on %s yet\n' "$workflow" "$branch"
    exit 0
fi
if ! gh run download "$id" --pattern "$pattern" --dir "$folder"; then
    printf 'last_good_run.sh: run %s kept no artifact %s\n' "$id" "$pattern"
fi
