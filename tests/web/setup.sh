#!/usr/bin/env bash
# Installs what tests read pages and exports with: Debian's chromium, and the npm packages of package-lock.json.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

wanted=()
command -v chromium >/dev/null || wanted+=(chromium)
command -v npm >/dev/null || wanted+=(nodejs npm)
if ((${#wanted[@]})); then
    if [[ $(id -u) != 0 ]]; then
        echo "tests/web/setup.sh: ${wanted[*]} not found; as root: apt-get install ${wanted[*]}" >&2
        exit 2
    fi
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${wanted[@]}" fonts-dejavu-core
fi

if ! cmp -s package-lock.json node_modules/.installed; then
    npm ci --ignore-scripts --no-audit --no-fund
    # its own install script does this, and no install script is run here
    chmod u+x node_modules/@microsoft/sarif-multitool-linux/Sarif.Multitool
    cp package-lock.json node_modules/.installed
fi
