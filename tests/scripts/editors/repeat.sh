#!/usr/bin/env bash
# repeat.sh [N] [SUITE...]: plays each suite over real editors N times in a row (20), and says how often each failed and how long it took.
set -uo pipefail
cd "$(dirname "$0")/../../.."
runs=${1:-20}
suites=("${@:2}")
[ ${#suites[@]} -gt 0 ] || suites=(neovim editors)
failed=0
for suite in "${suites[@]}"; do
  cargo test --locked --quiet -p krins-tests --test "$suite" --no-run || exit 1
  bad=0 begun=$SECONDS
  for run in $(seq "$runs"); do
    log=$(mktemp)
    if ! cargo test --locked --quiet -p krins-tests --test "$suite" >"$log" 2>&1; then
      bad=$((bad + 1))
      echo "$suite: run $run failed:"
      grep -E "^(not ok|skipped|thread|test result)|does not come|is not offered" "$log" | cut -c1-300
    fi
    rm -f "$log"
  done
  echo "$suite: $bad of $runs runs failed, $(((SECONDS - begun) / runs)) s each"
  failed=$((failed + bad))
done
exit $((failed > 0))
