# shellcheck shell=bash
# Sourced by the two run scripts: which models a group (-o) means, and how a wrong request ends.

# One line on standard error, exit 2: the request was wrong.
refuse() {
    printf '%s: %s\n' "$(basename -- "$0")" "$*" >&2
    exit 2
}

# value_of FLAG ARGUMENTS...: the value after a flag, or a refusal if it is missing.
value_of() {
    [[ $# -ge 2 ]] || refuse "$1 needs a value"
    printf '%s' "$2"
}

# models_of GROUP MODELS PERF_DIR: the absolute path to give to the harness, nothing for the offline set.
models_of() {
    local group=$1 models=$2 perf_dir=$3
    [[ $group =~ ^[A-Za-z0-9][A-Za-z0-9._-]*$ ]] \
        || refuse "-o '$group' must be one word of letters, digits, '.', '_' or '-': it names a folder under result/"
    if [[ -z $models && $group != offline ]]; then
        models=$perf_dir/models/$group
        [[ $group != selected-models ]] || refuse "-o selected-models needs -m PATH: a model list, a folder or an .onnx file"
        [[ -e $models ]] || refuse "-o $group: there is no $models; name the models with -m PATH"
    fi
    [[ -n $models ]] || return 0
    [[ -e $models ]] || refuse "-m '$models' does not exist; give a model list, a folder or an .onnx file"
    realpath -- "$models"
}
