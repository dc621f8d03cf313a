#!/bin/sh
# All checks, after the set-up (which compiles the AssemblyScript and the addon). A failing one does not hide the others.
set -eu
cd "$(dirname "$0")/.."
. scripts/rust.sh
sh scripts/setup.sh
PATH=$PWD/node_modules/.bin:$PATH
failed=

check() {
  name=$1
  shift
  echo "── $name"
  "$@" || failed="$failed $name,"
}

check "format and lint" biome check --error-on-warnings
check types tsc
check "unused code and dependencies" knip
if choose_rust; then
  check "format of Rust" cargo fmt --manifest-path native/Cargo.toml --check
  check clippy cargo clippy --quiet --locked --manifest-path native/Cargo.toml --all-features -- -D warnings
else
  failed="$failed Rust,"
fi
check tests sh scripts/test.sh

if [ -n "$failed" ]; then
  echo "FAILED:${failed%,}"
  exit 1
fi
echo "All checks passed."
