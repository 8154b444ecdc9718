#!/usr/bin/env bash
# Unpacks Debian's own Slurm into a folder, for tests that start a controller and two nodes from it: nothing is
# installed, and no service is started. Does nothing where the folder holds it already, or the system has it.
#
#   tests/fleet/fetch_slurm.sh FOLDER
set -euo pipefail
folder=$(realpath --canonicalize-missing "${1:?give a folder}")
if [ -x "$folder/usr/sbin/slurmctld" ] || command -v slurmctld >/dev/null; then
  exit 0
fi
if ! command -v apt-get >/dev/null; then
  echo "fetch_slurm.sh: no apt-get: tests on Slurm are skipped; install slurmctld and slurmd" >&2
  exit
fi
packages=(slurmctld slurmd slurm-client slurm-wlm-basic-plugins libmunge2 libhwloc15 liblua5.1-0)
aside=$(mktemp -d)
trap 'rm -rf "$aside"' EXIT
chmod 755 "$aside"
cd "$aside"
# Lists of a slim image are empty, and those of an old one name versions that are gone.
if ! apt-get download -qq "${packages[@]}" 2>/dev/null && ! { apt-get update -qq && apt-get download -qq "${packages[@]}"; }; then
  echo "fetch_slurm.sh: no packages: tests on Slurm are skipped; apt-get install slurmctld slurmd slurm-client" >&2
  exit
fi
mkdir root
for package in ./*.deb; do
  dpkg-deb -x "$package" root
done
for name in slurmctld slurmd slurmstepd; do # as update-alternatives would link them
  ln -sf "$name-wlm" "root/usr/sbin/$name"
done
mkdir -p "$(dirname "$folder")"
rm -rf "$folder"
mv root "$folder"
