#!/usr/bin/env bash
# Runs the harness in an image, with the models and the results of this machine, as the user who calls it.
set -euo pipefail

usage() {
    cat <<'TEXT'
usage: docker/run_perf_docker.sh [-d IMAGE] [-o GROUP] [-p PERF_DIR] [-m MODELS] [--gpus GPUS] [--engine ENGINE]
                                 [-- HARNESS FLAGS...]
  -d, --docker_image IMAGE  the image to run (default: ep-perf)
  -o, --option GROUP        which models: `offline` (default, in the image), `selected-models` (with -m), or a folder
                            of PERF_DIR/models
  -p, --perf_dir PATH       a checkout whose harness runs instead of the image's; its result/ takes the results
  -m, --model_path PATH     a model list (.json), a folder of models, or an .onnx file; mounted read-only where it is
      --gpus GPUS           auto (default: all where this machine has an NVIDIA driver), none, all, or 0,1
      --cdi                 hand GPUs over by CDI with docker too (podman always does)
      --engine ENGINE       docker or podman (default: CONTAINER_ENGINE, else the first that is installed)
Flags after -- are the harness's own, unchanged. Results: PERF_DIR/result/GROUP, owned by the caller.
TEXT
}

home=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=docker/model_group.sh
source "$home/docker/model_group.sh"
# shellcheck source=docker/engine.sh
source "$home/docker/engine.sh"

image=ep-perf group=offline perf_dir='' models='' gpus=auto cdi='' engine=${CONTAINER_ENGINE:-}
while [[ $# -gt 0 ]]; do
    case $1 in
        -d | --docker_image) image=$(value_of "$@"); shift 2 ;;
        -o | --option) group=$(value_of "$@"); shift 2 ;;
        -p | --perf_dir) perf_dir=$(value_of "$@"); shift 2 ;;
        -m | --model_path) models=$(value_of "$@"); shift 2 ;;
        --gpus) gpus=$(value_of "$@"); shift 2 ;;
        --cdi) cdi=yes; shift ;;
        --engine) engine=$(value_of "$@"); shift 2 ;;
        -h | --help) usage; exit 0 ;;
        --) shift; break ;;
        *) refuse "unknown argument '$1'; the harness's own flags follow after --" ;;
    esac
done

engine=$(engine_of "$engine")
results=$home
if [[ -n $perf_dir ]]; then
    [[ -f $perf_dir/benchmark_wrapper.py ]] || refuse "-p '$perf_dir' has no benchmark_wrapper.py; name a checkout of the harness"
    perf_dir=$(realpath -- "$perf_dir")
    results=$perf_dir
fi
models=$(models_of "$group" "$models" "$results")
results=$results/result/$group
mkdir -p -- "$results"

run=("$engine" run --rm --user "$(id -u):$(id -g)" --env HOME=/tmp)
if [[ -t 0 && -t 1 ]]; then
    run+=(--interactive --tty)
fi
# Rootless podman maps the caller to root inside: keep the number instead, so that the results are the caller's.
if [[ $engine == podman && $(id -u) -ne 0 ]]; then
    run+=(--userns=keep-id)
fi

if [[ $gpus == auto ]]; then
    gpus=none
    if [[ -e /dev/nvidiactl ]]; then
        gpus=all
    fi
fi
if [[ $gpus != none ]]; then
    [[ $gpus =~ ^(all|[A-Za-z0-9-]+(,[A-Za-z0-9-]+)*)$ ]] || refuse "--gpus '$gpus' must be auto, none, all, or a list such as 0,1"
    # NVML numbers processes as the host does: in a namespace of its own the harness could not find its workers.
    run+=(--pid=host)
    if [[ $engine == podman || -n $cdi ]]; then
        IFS=, read -ra devices <<<"$gpus"
        for device in "${devices[@]}"; do
            run+=(--device "nvidia.com/gpu=$device")
        done
    elif [[ $gpus == all ]]; then
        run+=(--gpus all)
    else
        run+=(--gpus "\"device=$gpus\"") # docker reads the value as CSV: the quotes keep the commas
    fi
fi

# mount SOURCE TARGET [readonly]
mount() {
    [[ $1 != *,* ]] || refuse "'$1' has a comma in its name, which $engine cannot mount; rename it"
    run+=(--mount "type=bind,source=$1,target=$2${3:+,$3}")
}

flags=(-o /result)
mount "$results" /result
# The lease that keeps two runs from measuring at once is this machine's, not the container's.
if [[ -d /run/lock && -w /run/lock ]]; then
    mount /run/lock /run/lock
fi
if [[ -n $perf_dir ]]; then
    mount "$perf_dir" /perf readonly
    run+=(--env EP_PERF_DIR=/perf)
fi
if [[ -n $models ]]; then
    # The same path inside: a model list may name its models absolutely, and errors name a file that exists here.
    folder=$models
    [[ -d $models ]] || folder=$(dirname -- "$models")
    case $folder/ in
        // | /bin/* | /dev/* | /etc/* | /lib*/* | /opt/ | /opt/ep-perf/* | /opt/ort/* | /perf/* | /proc/* | /result/* | /sbin/* | \
            /sys/* | /tmp/ | /usr/*)
            refuse "-m '$models': mounting $folder would hide the image's own; copy the models into a folder of their own"
            ;;
    esac
    mount "$folder" "$folder" readonly
    flags+=(-m "$models")
fi

exec "${run[@]}" "$image" "${flags[@]}" "$@"
