#!/usr/bin/env bash
# Proves the CPU flavour without a container engine's daemon: a base image made by debootstrap, the Dockerfile built on
# it by buildah (chroot isolation, vfs storage), and the harness run inside, as the image's user and as a stranger.
# Needs Debian or Ubuntu and root; installs buildah and debootstrap if they are missing. Leaves nothing behind.
#
# Package indexes are this machine's: PIP_* from the environment, /etc/pip.conf and the CA certificates are handed to
# the build, and DEBIAN_MIRROR to debootstrap.
set -euo pipefail

home=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
suite=bookworm

say() {
    printf 'image_test.sh: [%3d s] %s\n' "$SECONDS" "$*"
}

if [[ $(id -u) -ne 0 ]]; then
    say "must run as root: debootstrap makes a root file system and chroot isolation enters it" >&2
    exit 2
fi
missing=()
for program in buildah debootstrap; do
    type -P "$program" >/dev/null || missing+=("$program")
done
if ((${#missing[@]})); then
    say "installing ${missing[*]}"
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi

work=$(mktemp -d -t ep-perf-image.XXXXXX)
buildah=(buildah --root "$work/root" --runroot "$work/runroot" --storage-driver vfs)
clean_up() {
    "${buildah[@]}" rm --all >/dev/null 2>&1 || true
    "${buildah[@]}" rmi --all --force >/dev/null 2>&1 || true
    rm -rf -- "$work"
}
trap clean_up EXIT

say "making a $suite base image"
debootstrap --variant=minbase --include=ca-certificates "$suite" "$work/base" ${DEBIAN_MIRROR:+"$DEBIAN_MIRROR"} >"$work/debootstrap.log" 2>&1 || {
    tail -n 20 "$work/debootstrap.log" >&2
    exit 1
}
base=$("${buildah[@]}" from scratch)
"${buildah[@]}" add --quiet "$base" "$work/base" / >/dev/null
"${buildah[@]}" config --env PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin --cmd /bin/bash "$base"
"${buildah[@]}" commit --quiet --rm "$base" localhost/ep-perf-base >/dev/null
rm -rf -- "$work/base"

say "building the Dockerfile's cpu stage on it"
build=(--isolation chroot --format docker --layers=false --file "$home/docker/Dockerfile")
build+=(--ignorefile "$home/docker/Dockerfile.dockerignore" --target cpu --tag localhost/ep-perf)
build+=(--build-arg BASE_IMAGE=localhost/ep-perf-base)
for name in PIP_INDEX_URL PIP_EXTRA_INDEX_URL PIP_FIND_LINKS PIP_NO_INDEX; do
    if [[ -n ${!name:-} && ${!name} != /* ]]; then # a folder of this machine is not there during the build
        build+=(--build-arg "$name=${!name}")
    fi
done
if [[ -f /etc/pip.conf ]]; then
    build+=(--secret "id=pipconf,src=/etc/pip.conf")
fi
if [[ -d /etc/ssl/certs ]]; then # over those of the base image, which has them already: none are set up in between
    build+=(--volume /etc/ssl/certs:/etc/ssl/certs:ro)
fi
"${buildah[@]}" bud "${build[@]}" "$home"

# The health check stands in the image only in Docker's format, and runs what it says.
check=$("${buildah[@]}" inspect --type image --format '{{.Docker.Config.Healthcheck.Test}}' localhost/ep-perf)
[[ $check == '[CMD /opt/ep-perf/perf.sh --list]' ]] || {
    say "the image's health check is '$check'" >&2
    exit 1
}

image=$("${buildah[@]}" from localhost/ep-perf)
inside() {
    "${buildah[@]}" run --isolation chroot "$@"
}

say "the health check"
inside "$image" -- /opt/ep-perf/perf.sh --list

say "a run as the image's user"
inside "$image" -- /opt/ep-perf/docker/entrypoint.sh -o /tmp/own --models squeezenet -t 5 --launches 2 --strict

say "a run as a user whom the image does not know, as run_perf_docker.sh starts it"
inside --user 54321:54321 --env HOME=/tmp "$image" -- \
    /opt/ep-perf/docker/entrypoint.sh -o /tmp/strangers -e CPUExecutionProvider --models squeezenet -t 5 --launches 2 --strict
owners=$(inside "$image" -- stat -c %u /tmp/own/latest/cells.csv /tmp/strangers/latest/cells.csv)
[[ $owners == $'10001\n54321' ]] || {
    say "the results belong to ${owners//$'\n'/ and }" >&2
    exit 1
}
if commit=$(git -C "$home" rev-parse HEAD 2>/dev/null); then
    inside "$image" -- grep -q "$commit" /tmp/strangers/latest/run.json || {
        say "the results do not name commit $commit of the harness" >&2
        exit 1
    }
fi
inside "$image" -- cut -d, -f1-6 /tmp/strangers/latest/cells.csv

say "passed"
