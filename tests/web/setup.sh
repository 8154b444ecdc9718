#!/usr/bin/env bash
# Installs what tests read pages and exports with: the npm packages of package-lock.json. Chromium is Debian's: .ci/run.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

if ! type -P npm >/dev/null; then
    echo "tests/web/setup.sh: no npm: tests that read pages and exports are skipped; apt-get install nodejs npm chromium" >&2
    exit
fi
if ! cmp -s package-lock.json node_modules/.installed; then
    npm ci --ignore-scripts --no-audit --no-fund
    # its own install script does this, and no install script is run here
    chmod u+x node_modules/@microsoft/sarif-multitool-linux/Sarif.Multitool
    cp package-lock.json node_modules/.installed
fi
