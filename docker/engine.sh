# shellcheck shell=bash
# Sourced by the scripts that need a container engine, after model_group.sh.

# engine_of [NAME]: the engine asked for, else the first that is installed.
engine_of() {
    local asked=$1 candidate
    for candidate in ${asked:-docker podman}; do
        [[ $candidate == docker || $candidate == podman ]] || refuse "engine '$candidate' is neither docker nor podman"
        if type -P "$candidate" >/dev/null; then
            printf '%s' "$candidate"
            return
        fi
    done
    refuse "${asked:-docker or podman} is not installed here; install it, or use docker/run_perf_machine.sh"
}
