#!/bin/sh
# Runs a suite many times in a row and says how often it held: again.sh ui.mjs 20
# The environment is that of the suite (driver.mjs); one line a run.
set -u
suite=$1 runs=${2:-20} held=0 run=0
dir=$(cd "$(dirname "$0")" && pwd)
while [ "$run" -lt "$runs" ]; do
  run=$((run + 1))
  begun=$(date +%s)
  if said=$(timeout 900 node "$dir/$suite" 2>&1); then held=$((held + 1)); end=held; else end=failed; printf '%s\n' "$said" | grep -v '^ok' ; fi
  echo "run $run: $end, $(($(date +%s) - begun)) s"
done
echo "$held of $runs"
[ "$held" -eq "$runs" ]
