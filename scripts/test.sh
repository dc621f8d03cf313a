#!/bin/sh
# The tests, after the set-up: all of them, or the files given (patterns work). Options go to `node --test`.
#
# First those that share a small machine well, two files at a time. Then, one at a time, those that run whole machines under
# load or measure times. Nothing runs forever: a test has its limit, and so has the whole.
set -eu
cd "$(dirname "$0")/.."
sh scripts/setup.sh

test_ms=180000
all=1800s
if [ "${GUIDEWAY_TEST:-}" = long ]; then
  test_ms=3600000
  all=4h
fi

PATH=$PWD/node_modules/.bin:$PATH
# Hundreds of processes load the same modules.
export NODE_COMPILE_CACHE="$PWD/build/compile-cache"
# $1: files at a time; the rest goes to node.
run() {
  files=$1
  shift
  timeout --foreground --kill-after=20s "$all" \
    node --test --test-concurrency="$files" --test-timeout="$test_ms" --test-reporter=spec "$@" </dev/null
}

for argument in "$@"; do
  case $argument in -*) ;; *) run 1 "$@"; exit ;; esac
done

alone='^test/((announce|bench|e2e)/|(health|lab)/load\.|native/bench\.)'
tests=$(find test -name '*.test.ts' | sort)
failed=0
# File names of this project have no blanks.
# shellcheck disable=SC2046
run 2 "$@" $(echo "$tests" | grep -Ev "$alone") || failed=$?
# shellcheck disable=SC2046
run 1 "$@" $(echo "$tests" | grep -E "$alone") || failed=$?
exit "$failed"
