#!/bin/sh
# The set-up: gets everything that a checkout needs, and costs next to nothing when all of it is there.
#
#   step      makes                                      from
#   system    Debian packages; without root, says which  missing_packages, below
#   packages  node_modules/, Node 26 among them          package-lock.json
#   wasm      build/*.wasm                               assembly/, bench/assembly/, asconfig.json
#   addon     build/guideway.node, build/native.d.ts     native/, assembly/layout.ts
#   lab       build/decap.bpf.o                          native/bpf/decap.bpf.c
#   gobgp     build/gobgpd, as root: only the lab runs it   scripts/gobgp.sh, scripts/gobgp/
#   bench     build/bench/guideway.node, only on demand: scripts/setup.sh bench
#
# A finished step leaves a stamp in build/.stamps: one hash over what it read and one over what it made. It is redone
# when one of them changes. Its stamp is removed before it starts, so an interrupted step is redone as well; what it
# read is hashed before it starts, so a change meanwhile is not lost.
#
# Without Rust, clang or Go it goes on: everything that works in memory works without the addon, the addon without the
# XDP program, and everything but the lab's routers without GoBGP. All it says goes to stderr. It writes nothing outside
# the project but by apt, npm, rustup, cargo and go.
#
# It runs before there is anything but a shell: POSIX sh.
set -eu
export LC_ALL=C
cd "$(dirname "$0")/.."
root=$PWD
stamps=build/.stamps
headers=/usr/include
machine=$(uname -m)
clang=${CLANG:-clang}
bench=${1:-}
. scripts/rust.sh
. scripts/gobgp.sh
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin

say() {
  printf 'setup: %s\n' "$*" >&2
}

has() {
  command -v "$1" >/dev/null
}

# ── Steps and their stamps ───────────────────────────────────────────────────────────────────────

# What a step reads: files, and words that are not in files.
inputs() {
  case $1 in
    packages) sha256sum package-lock.json ;;
    wasm) { find assembly bench/assembly -type f; echo asconfig.json scripts/setup.sh node_modules/assemblyscript/package.json; } | hash_files ;;
    addon | bench)
      echo "$machine $(compiles_bpf && command -v "$clang")"
      { find native -path native/target -prune -o -type f -print
        echo assembly/layout.ts rust-toolchain.toml scripts/setup.sh node_modules/@napi-rs/cli/package.json; } | hash_files ;;
    lab) echo "$machine $(command -v "$clang")"; echo native/bpf/decap.bpf.c scripts/setup.sh | hash_files ;;
    gobgp) echo "$machine"; { find scripts/gobgp -type f; echo scripts/gobgp.sh; } | hash_files ;;
  esac
}

# What a step makes. Of node_modules, the list that npm writes at the end.
outputs() {
  case $1 in
    packages) echo node_modules/.package-lock.json ;;
    wasm) echo build/dataplane.wasm build/dataplane.wat build/builder.wasm build/bench.wasm ;;
    addon) echo build/guideway.node build/native.d.ts ;;
    bench) echo build/bench/guideway.node ;;
    lab) echo build/decap.bpf.o ;;
    gobgp) echo build/gobgpd ;;
  esac | hash_files
}

hash_files() {
  sort | xargs sha256sum 2>&1
}

fresh() {
  [ -f "$stamps/$1" ] && [ "$(cat "$stamps/$1")" = "$(inputs "$1" | sha256sum; outputs "$1" | sha256sum)" ]
}

# step NAME DESCRIPTION ADVICE: does the step by make_NAME, unless it is fresh. Says when it fails.
step() {
  fresh "$1" && return
  rm -f "$stamps/$1"
  worked=yes
  read_before=$(inputs "$1" | sha256sum)
  log=$stamps/$1.log
  say "$2 ..."
  began=$(date +%s)
  if "make_$1" >"$log" 2>&1 </dev/null; then
    { echo "$read_before"; outputs "$1" | sha256sum; } >"$stamps/$1.new"
    mv "$stamps/$1.new" "$stamps/$1"
    say "$2: $(($(date +%s) - began)) s"
  else
    say "$2: FAILED after $(($(date +%s) - began)) s. $log ends with:"
    tail -n 20 "$log" | sed 's/^/  | /' >&2
    say "What to do: $3. Then run it again: what is done is not done twice."
    return 1
  fi
}

# ── System packages ──────────────────────────────────────────────────────────────────────────────

compiles_bpf() {
  has "$clang" && [ -e $headers/bpf/bpf_helpers.h ] && [ -e $headers/linux/bpf.h ]
}

# Debian's names of what is missing on this machine.
missing_packages() {
  has cc || echo gcc
  [ -e $headers/stdio.h ] || echo libc6-dev
  has "$clang" || echo clang
  [ -e $headers/bpf/bpf_helpers.h ] || echo libbpf-dev
  [ -e $headers/linux/bpf.h ] || echo linux-libc-dev
  has ip && has bridge || echo iproute2
  has ethtool || echo ethtool
  has tcpdump || echo tcpdump
  has openssl || echo openssl
  has sysctl || echo procps
  has unshare || echo util-linux
  # Only tests in the lab need it, as root. Debian starts it only where it is told to.
  [ "$(id -u)" != 0 ] || has iperf3 || echo iperf3
  # Only test/oracle needs it.
  [ -d /usr/lib/python3/dist-packages/scapy ] || echo python3-scapy
  missing_daemons
}

# Those of them that Debian starts once they are installed, and at every boot. Only the lab needs them, and it needs root.
missing_daemons() {
  [ "$(id -u)" = 0 ] || return 0
  has bird || echo bird2
  has nginx || echo nginx
}

# The lab starts its own, with its own configuration, in its own namespaces: these must never run outside. Where systemd
# runs, SYSTEMD_OFFLINE keeps it from starting what is just being installed (systemd's docs/ENVIRONMENT.md).
install_daemons() {
  # shellcheck disable=SC2086 # a list of words
  SYSTEMD_OFFLINE=1 apt-get -q -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 \
    install -y --no-install-recommends $daemons || return
  for daemon in $daemons; do
    update-rc.d "${daemon%2}" disable || return
  done
}

install_packages() {
  export DEBIAN_FRONTEND=noninteractive
  # An outdated or unreachable list matters only if the packages cannot be had.
  apt-get -q -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 update || true
  daemons=$(missing_daemons | xargs)
  others=$(printf '%s\n' $missing | grep -vxF "$(missing_daemons)" | xargs)
  # shellcheck disable=SC2086 # a list of words
  apt-get -q -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 install -y --no-install-recommends $others &&
    { [ -z "$daemons" ] || install_daemons; }
}

# Packages that apt could not install are tried again by `npm run setup` only: elsewhere it would cost its time-outs
# at every start.
system() {
  missing=$(missing_packages | xargs)
  [ -n "$missing" ] || return 0
  command="apt-get install -y --no-install-recommends $missing"
  if ! has apt-get; then
    say "missing, by Debian's names of the packages: $missing. Install them with this system's package manager."
  elif [ "$(id -u)" != 0 ]; then
    say "missing: $missing. Run: sudo $command"
  elif [ "${npm_lifecycle_event:-setup}" != setup ] && [ "$(cat $stamps/system 2>/dev/null)" = "$missing" ]; then
    say "still missing: $missing. apt could not install them last time; npm run setup tries again."
  else
    worked=yes
    say "Debian packages by apt: $missing ..."
    began=$(date +%s)
    if install_packages >$stamps/system.log 2>&1 </dev/null; then
      say "Debian packages: $(($(date +%s) - began)) s"
    else
      echo "$missing" >$stamps/system
      say "Debian packages: FAILED after $(($(date +%s) - began)) s. $stamps/system.log ends with:"
      tail -n 10 $stamps/system.log | sed 's/^/  | /' >&2
      say "What to do: see why this fails: $command. Going on without them."
    fi
  fi
}

# ── npm packages ─────────────────────────────────────────────────────────────────────────────────

# Whether node_modules holds just what package-lock.json wants, by the list that npm leaves there when it is done.
installed() {
  node -e '
    const { readFileSync } = require("node:fs");
    const [wanted, found] = ["", "node_modules/."].map((folder) =>
      JSON.parse(readFileSync(`${folder}package-lock.json`, "utf8")).packages);
    delete wanted[""];
    const same = (path) => (found[path] ? found[path].version === wanted[path]?.version : wanted[path]?.optional);
    process.exit([...Object.keys(wanted), ...Object.keys(found)].every(same) ? 0 : 1);
  ' 2>/dev/null && node_modules/.bin/node --version
}

make_packages() (
  # The Node that is about to be replaced must not run npm.
  PATH=$(printf '%s' "$PATH" | tr : '\n' | grep -vxF "$root/node_modules/.bin" | paste -sd : -)
  has npm || { echo "there is no npm"; return 1; }
  node -e 'process.exit(parseInt(process.versions.node) < 20 ? 1 : 0)' ||
    { echo "Node 20 or newer is needed, this is $(node --version || true)"; return 1; }
  installed && return
  # The package `node` fetches its binary in its install script; the other options undo what a user's settings or
  # `npm -s` would make of this.
  npm ci --ignore-scripts=false --include=dev --include=optional --engine-strict=false \
    --loglevel=notice --progress=false --no-audit --no-fund &&
    node_modules/.bin/node --version
)

# ── What is compiled ─────────────────────────────────────────────────────────────────────────────

# All of these write beside their target and rename: a running process keeps the file that it has opened.
replace() {
  for file in "$@"; do
    mv "$stamps/$file" "build/$file" || return
  done
}

make_wasm() {
  asc assembly/dataplane.ts --target dataplane --outFile $stamps/dataplane.wasm --textFile $stamps/dataplane.wat &&
    asc assembly/builder.ts --target builder --outFile $stamps/builder.wasm &&
    asc bench/assembly/bench.ts --target bench --outFile $stamps/bench.wasm &&
    replace dataplane.wasm dataplane.wat builder.wasm bench.wasm
}

# The lock of the set-up is closed for cargo, which has its own: a compiler server that it starts would keep it.
make_addon() {
  napi build --release --manifest-path native/Cargo.toml --config-path native/napi.json \
    --output-dir $stamps --dts native.d.ts -- --locked 9>&- &&
    replace guideway.node native.d.ts
}

# With the opponents that `bench nic` compares with. In a target directory of its own: napi keeps types of one build.
make_bench() {
  napi build --release --manifest-path native/Cargo.toml --config-path native/napi.json --features bench \
    --target-dir "$root/native/target/bench" --output-dir $stamps/opponents --dts native.d.ts -- --locked 9>&- &&
    mkdir -p build/bench && mv $stamps/opponents/guideway.node build/bench/guideway.node
}

addon() {
  fresh addon && { [ -z "$bench" ] || fresh bench; } && return
  if ! has cc || ! [ -e $headers/stdio.h ]; then
    say "no C compiler and library to link with: going on without the addon, which AF_XDP needs."
  elif ! choose_rust >$stamps/rust.log 2>&1 </dev/null; then
    say "$(tail -n 1 $stamps/rust.log): going on without the addon, which AF_XDP needs. To get Rust:" \
      "curl -sSf https://sh.rustup.rs | sh -s -- -y --profile minimal"
  else
    step addon "addon (Rust; a minute or two the first time)" "see the message above; the sources are in native/" ||
      without_addon
    [ -z "$bench" ] || step bench "addon for the benchmarks (Rust)" "see the message above" || exit 1
  fi
}

# The demo is better than nothing; tests that pass because they skip what did not compile are worse.
without_addon() {
  [ "${npm_lifecycle_event:-}" = start ] || exit 1
  rm -f build/guideway.node
  say "going on without the addon, which AF_XDP needs."
}

make_lab() {
  "$clang" -O2 -g -target bpf -I"$headers/$machine-linux-gnu" -c native/bpf/decap.bpf.c -o $stamps/decap.bpf.o &&
    replace decap.bpf.o
}

lab() {
  compiles_bpf || return 0
  step lab "the lab's XDP programs" "see the message above; the source is native/bpf/decap.bpf.c" || exit 1
}

# Only the lab runs it, which needs root, and not for the demo, which it would make wait. A build that failed is tried
# again by `npm run setup` only.
wants_gobgp() {
  [ "$(id -u)" = 0 ] && case ${npm_lifecycle_event:-setup} in setup | test* | check) ;; *) return 1 ;; esac
}

gobgp() {
  wants_gobgp || return 0
  fresh gobgp && return
  without="going on without GoBGP: tests of the lab's routers will fail."
  if [ "${npm_lifecycle_event:-setup}" != setup ] && [ -f $stamps/gobgp.failed ]; then
    say "GoBGP could not be built last time; npm run setup tries again. $without"
  elif step gobgp "GoBGP for the lab (Go; a minute or two the first time)" "see the message above"; then
    rm -f $stamps/gobgp.failed
  else
    : >$stamps/gobgp.failed
    say "$without"
  fi
}

# ── All of it ────────────────────────────────────────────────────────────────────────────────────

everything_fresh() {
  fresh packages && fresh wasm && fresh addon && { [ -z "$bench" ] || fresh bench; } && fresh lab &&
    { ! wants_gobgp || fresh gobgp; } && [ -z "$(missing_packages)" ]
}

mkdir -p $stamps
if everything_fresh; then
  [ "${npm_lifecycle_event:-setup}" != setup ] || say "everything is there"
  exit
fi

# One set-up at a time; the lock goes with the process.
if has flock; then
  exec 9>$stamps/lock
  flock -n 9 || { say "waiting for another set-up of this checkout to end ..."; flock 9; }
fi
started=$(date +%s)
worked=
system
step packages "npm packages" "see the message above; npm needs to reach its registry" || exit 1
PATH=$root/node_modules/.bin:$PATH
step wasm "WebAssembly modules" "see the message above; the sources are in assembly/" || exit 1
addon
lab
gobgp
[ -z "$worked" ] || say "ready after $(($(date +%s) - started)) s"
