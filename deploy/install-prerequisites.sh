#!/usr/bin/env bash
# Installs, on Debian and its relatives, what building and running Groundswell needs beside Rust and Go; elsewhere it
# says what to install. It starts no service and touches no PostgreSQL cluster that is there: Debian's packages would
# do both, so while they are installed service starts are refused and no "main" cluster is made.
#   --check   only says what is missing; status 1 if anything is
#   --dry-run says what it would run
set -euo pipefail

mode=install
case "${1:-}" in
  "") ;;
  --check) mode=check ;;
  --dry-run) mode=dry-run ;;
  *) echo "usage: $0 [--check|--dry-run]" >&2; exit 2 ;;
esac
root=$(cd "$(dirname "$0")/.." && pwd)

has() { command -v "$1" >/dev/null 2>&1; }

# Debian keeps the server programs out of PATH.
has_postgres() {
  has postgres && return 0
  local program
  for program in /usr/lib/postgresql/*/bin/postgres; do
    [ -x "$program" ] && return 0
  done
  return 1
}

packages=()
has git || packages+=(git)
has make || packages+=(make)
# libc6-dev: gcc alone cannot link a program.
has cc || packages+=(gcc libc6-dev)
has_postgres || packages+=(postgresql)
has prometheus || packages+=(prometheus)
# Only a test needs it: the Graphite provider is asked against the real one.
has graphite-manage || packages+=(graphite-web)
# So do these: a pooler before the hub's database, and programs whose clock is wrong.
has pgbouncer || [ -x /usr/sbin/pgbouncer ] || packages+=(pgbouncer)
has faketime || packages+=(faketime)

# Rust and Go come from their own installers: distributions carry older ones than we are written for.
wrong=()
rust=$(sed -n 's/^channel = "\(.*\)"/\1/p' "$root/rust-toolchain.toml")
if ! has cargo; then
  wrong+=("Rust $rust is missing: install it with rustup, https://rustup.rs")
elif ! (cd "$root" && cargo --version >/dev/null 2>&1); then
  wrong+=("Rust $rust cannot be used here: run \`rustup toolchain install $rust --profile minimal --component clippy,rustfmt\`")
fi
go_wanted=$(sed -n 's/^go \([0-9]*\.[0-9]*\).*/\1/p' "$root/deploy/sandbox/go.mod")
if ! has go; then
  wrong+=("Go $go_wanted or newer is missing: install it from https://go.dev/dl")
else
  go_has=$(GOTOOLCHAIN=local go env GOVERSION 2>/dev/null | sed 's/^go//')
  if [ "$(printf '%s\n%s\n' "$go_wanted" "$go_has" | sort -V | head -n 1)" != "$go_wanted" ]; then
    wrong+=("Go $go_has is too old, $go_wanted or newer is needed: install it from https://go.dev/dl")
  fi
fi

say_wrong() {
  local line
  for line in "${wrong[@]}"; do echo "$line" >&2; done
}

if [ ${#packages[@]} -eq 0 ]; then
  say_wrong
  [ ${#wrong[@]} -eq 0 ] || exit 1
  exit 0
fi

if [ "$mode" = check ]; then
  echo "missing packages: ${packages[*]}" >&2
  say_wrong
  exit 1
fi

if ! has apt-get; then
  say_wrong
  cat >&2 <<TEXT
This system has no apt-get. Please install, with its own package manager:
  PostgreSQL 14 or newer, the server programs (initdb, postgres)   Debian: postgresql   Fedora: postgresql-server   Homebrew: postgresql
  Prometheus 2.40 or newer (the program prometheus in PATH)         Debian: prometheus   Fedora: golang-github-prometheus   Homebrew: prometheus
  Graphite's web application (the program graphite-manage, a test)   Debian: graphite-web   elsewhere: pip install graphite-web whisper
  PgBouncer 1.18 or newer and libfaketime (the program faketime), for tests   Debian: pgbouncer, faketime
  git, GNU make, a C compiler (cc)
Missing here, by Debian's names: ${packages[*]}
TEXT
  exit 1
fi

as_root=()
if [ "$(id -u)" -ne 0 ]; then
  if has sudo; then
    as_root=(sudo)
  else
    echo "not root and no sudo: run this once as root, then again \`make\`:" >&2
    echo "  $root/deploy/install-prerequisites.sh" >&2
    exit 1
  fi
fi

run() {
  if [ "$mode" = dry-run ]; then
    echo "+ ${as_root[*]} $*"
  else
    "${as_root[@]}" "$@"
  fi
}
wants() { printf '%s\n' "${packages[@]}" | grep -qx "$1"; }

policy=/usr/sbin/policy-rc.d
no_cluster=/etc/postgresql-common/createcluster.d/groundswell-install.conf
undo=()
take_back() {
  local path
  for path in "${undo[@]}"; do run rm -f "$path"; done
}
trap take_back EXIT

# 101 is policy-rc.d's "not allowed". A policy that is there already is the administrator's and stays.
if [ ! -e "$policy" ]; then
  undo+=("$policy")
  run sh -c "printf '#!/bin/sh\nexit 101\n' > $policy && chmod 755 $policy"
fi
if wants postgresql; then
  undo+=("$no_cluster")
  run mkdir -p "$(dirname "$no_cluster")"
  run sh -c "echo 'create_main_cluster = false' > $no_cluster"
fi
echo "installing ${packages[*]}"
run env DEBIAN_FRONTEND=noninteractive apt-get update -q
run env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "${packages[@]}"
# The package enables a unit that would start at the next boot; ours is started by hand, for a demo or a test.
if wants prometheus && has systemctl; then
  run systemctl disable prometheus.service || true
fi
say_wrong
[ ${#wrong[@]} -eq 0 ] || exit 1
