#!/usr/bin/env bash
# Runs every fuzz target of the module for FUZZ_TIME (60s), one after the other.
set -euo pipefail
cd "$(dirname "$0")/.."
time=${FUZZ_TIME:-60s}
found=0
log=$(mktemp)
trap 'rm -f "$log"' EXIT

# fuzz runs a target. Go before 1.27 now and then takes the end of the time for a failure (golang/go#75804): that
# names no input, and the target runs again, in full. A finding, or the same three times, is a failure.
fuzz() {
  for try in 1 2 3; do
    if go test "$1" -run '^$' -fuzz "^$2\$" -fuzztime "$time" -fuzzminimizetime 5x 2>&1 | tee "$log"; then return; fi
    if grep -q 'Failing input' "$log" || ! grep -qx ' *context deadline exceeded' "$log"; then return 1; fi
    echo "fuzz $2: the time was over, and no input failed (try $try of 3)"
  done
  return 1
}

while IFS=: read -r file name; do
  found=$((found + 1))
  echo "fuzz $name in $(dirname "$file") for $time"
  fuzz "./$(dirname "$file")" "$name" </dev/null
done < <(git ls-files '*_test.go' | xargs grep -oE '^func Fuzz[A-Za-z0-9_]+' | sed 's/func //')
[ "$found" -gt 0 ] || { echo "no fuzz target found" >&2; exit 1; }
echo "$found fuzz targets, no finding"
