#!/usr/bin/env bash
# build_image.sh IMAGE CUDA_VERSION [ORT_BRANCH]: the pipelines' image, the TensorRT flavour on a CUDA version.
set -euo pipefail

image=$1 cuda=$2 branch=${3:-}
home=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.." && pwd)

flavour=$(python3 "$home/docker/versions.py" flavour "$cuda")
flags=(-i "$image" -f "$flavour")
if [[ -n $branch ]]; then
    flags+=(-b "$branch")
fi
exec "$home/docker/build_images.sh" "${flags[@]}"
