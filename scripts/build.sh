#!/bin/sh
# dist/: JavaScript and declarations for the installed command, which needs nothing of the sources.
set -eu
cd "$(dirname "$0")/.."
sh scripts/setup.sh
PATH=$PWD/node_modules/.bin:$PATH
rm -rf dist
tsc -p tsconfig.build.json
# tsc copies no declarations; src/native.ts refers to these.
mkdir -p dist/build
cp build/native.d.ts dist/build/
chmod +x dist/src/main.js
