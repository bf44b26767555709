#!/bin/sh
# Makes rules.yaml and dashboard.json of krins.yaml. slokit 1.9.0: `cargo install slokit --version 1.9.0 --locked`.
set -eu
cd "$(dirname "$0")"
slokit lint --strict -i krins.yaml
slokit generate -i krins.yaml -o rules.yaml
slokit dashboard -i krins.yaml -o dashboard.json
