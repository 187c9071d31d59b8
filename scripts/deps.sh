#!/usr/bin/env bash
# Installs the programs that building and testing need, where they are missing and this user
# may; otherwise names them and what to run.
set -euo pipefail

# Users have no path to where servers lie.
export PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"

# program:package, for Debian and its kin
needed=(make:make gcc:gcc git:git python3:python3 redis-server:redis-server redis-cli:redis-tools mariadbd:mariadb-server)

missing=()
for pair in "${needed[@]}"; do
  command -v "${pair%%:*}" >/dev/null 2>&1 || missing+=("${pair##*:}")
done
if ! command -v go >/dev/null 2>&1; then
  echo "deps: Go is missing; install the version that go.mod names or newer: https://go.dev/doc/install" >&2
  exit 1
fi
[ ${#missing[@]} -eq 0 ] && exit 0

sudo=""
if [ "$(id -u)" -ne 0 ]; then
  command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null && sudo="sudo -n"
fi
if command -v apt-get >/dev/null 2>&1 && { [ "$(id -u)" -eq 0 ] || [ -n "$sudo" ]; }; then
  echo "deps: installing ${missing[*]}"
  export DEBIAN_FRONTEND=noninteractive
  # Tests start servers of their own; the packages' must not run.
  policy=/usr/sbin/policy-rc.d
  if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' | $sudo tee "$policy" >/dev/null
    $sudo chmod +x "$policy"
    trap '$sudo rm -f "$policy"' EXIT
  fi
  $sudo apt-get update -qq
  $sudo apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
  exit 0
fi
echo "deps: please install: ${missing[*]}" >&2
echo "deps: on Debian and its kin: sudo apt-get install ${missing[*]}" >&2
for p in "${missing[@]}"; do
  # Without a C compiler the tests still run, without -race; without the servers those of the tables
  # that need them are skipped.
  case "$p" in gcc|redis-*|mariadb-server) ;; *) exit 1 ;; esac
done
