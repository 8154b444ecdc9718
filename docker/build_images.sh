#!/usr/bin/env bash
# Builds an image of the harness: a flavour of docker/versions.toml, with ONNX Runtime from the index or from source.
set -euo pipefail

usage() {
    cat <<'TEXT'
usage: docker/build_images.sh [-p DOCKERFILE] [-i IMAGE] [-b BRANCH] [-f FLAVOUR] [--engine ENGINE] [-- BUILD FLAGS...]
  -p, --perf_dockerfile_path PATH  the Dockerfile (default: docker/Dockerfile)
  -i, --image IMAGE                what the image will be named (default: ep-perf)
  -b, --branch BRANCH              build ONNX Runtime from source at this branch, tag or commit (default: the released
                                   wheel that docker/versions.toml names)
  -f, --flavour FLAVOUR            cpu, torch, cuda, trt10 (default) or trt11
      --engine ENGINE              docker or podman (default: CONTAINER_ENGINE, else the first that is installed)
Flags after -- go to the engine's build, e.g. --build-arg PIP_INDEX_URL=... or --secret id=pipconf,src=/etc/pip.conf
TEXT
}

home=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=docker/model_group.sh
source "$home/docker/model_group.sh"
# shellcheck source=docker/engine.sh
source "$home/docker/engine.sh"

dockerfile=$home/docker/Dockerfile image=ep-perf branch='' flavour=trt10 engine=${CONTAINER_ENGINE:-}
while [[ $# -gt 0 ]]; do
    case $1 in
        -p | --perf_dockerfile_path) dockerfile=$(value_of "$@"); shift 2 ;;
        -i | --image) image=$(value_of "$@"); shift 2 ;;
        -b | --branch) branch=$(value_of "$@"); shift 2 ;;
        -f | --flavour) flavour=$(value_of "$@"); shift 2 ;;
        --engine) engine=$(value_of "$@"); shift 2 ;;
        -h | --help) usage; exit 0 ;;
        --) shift; break ;;
        *) refuse "unknown argument '$1'; flags for the engine's build follow after --" ;;
    esac
done

[[ -f $dockerfile ]] || refuse "-p '$dockerfile' is not a file; leave it out for docker/Dockerfile"
engine=$(engine_of "$engine")
target=$(python3 "$home/docker/versions.py" target "$flavour")
listed=$(python3 "$home/docker/versions.py" arguments "$flavour" --branch "$branch")
build=("$engine" build --file "$dockerfile" --tag "$image" --target "$target")
if [[ $engine == podman ]]; then
    build+=(--format docker) # the OCI format has no HEALTHCHECK and no SHELL
fi
while IFS= read -r argument; do
    build+=(--build-arg "$argument")
done <<<"$listed"
exec "${build[@]}" "$@" "$home"
