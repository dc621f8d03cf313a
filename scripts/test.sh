#!/bin/sh
# The tests, after the set-up: all of them, or the files given (patterns work). Options go to `node --test`.
#
# One file at a time: many of them make network namespaces, measure times or take both processors of a small machine.
# Nothing runs forever: a test has its limit, and so has the whole.
set -eu
cd "$(dirname "$0")/.."
sh scripts/setup.sh

test_ms=180000
all=1800s
if [ "${GUIDEWAY_TEST:-}" = long ]; then
  test_ms=3600000
  all=4h
fi

files=
for argument in "$@"; do
  case $argument in -*) ;; *) files=given ;; esac
done
[ -n "$files" ] || set -- "$@" 'test/**/*.test.ts'

PATH=$PWD/node_modules/.bin:$PATH
exec timeout --foreground --kill-after=20s "$all" \
  node --test --test-concurrency=1 --test-timeout="$test_ms" --test-reporter=spec "$@" </dev/null
