#!/usr/bin/env bash
# Runs every fuzz target of the module for FUZZ_TIME (60s), one after the other.
set -euo pipefail
cd "$(dirname "$0")/.."
time=${FUZZ_TIME:-60s}
found=0
while IFS=: read -r file name; do
  found=$((found + 1))
  echo "fuzz $name in $(dirname "$file") for $time"
  go test "./$(dirname "$file")" -run '^$' -fuzz "^$name\$" -fuzztime "$time" -fuzzminimizetime 5x
done < <(git ls-files '*_test.go' | xargs grep -oE '^func Fuzz[A-Za-z0-9_]+' | sed 's/func //')
[ "$found" -gt 0 ] || { echo "no fuzz target found" >&2; exit 1; }
echo "$found fuzz targets, no finding"
