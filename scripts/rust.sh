# Chooses the Rust toolchain; to be sourced in the project's directory. See choose_rust.

# rustup's own directory is not on the PATH until the next login after its installation.
PATH=$PATH:${CARGO_HOME:-${HOME:-}/.cargo}/bin

# Whether the compiler's version is at least the one given.
rust_is() {
  compiler=$(rustc --version 2>/dev/null | cut -d ' ' -f 2)
  [ -n "$compiler" ] && [ "$(printf '%s\n' "$1" "$compiler" | sort -V | head -n 1)" = "$1" ]
}

# Makes cargo use the version of rust-toolchain.toml: rustup's toolchain of that name, else the default toolchain when
# it has that very version, else downloaded. Where that fails, a newer compiler will do. When there is none it fails,
# and the last line that it prints says why. Sets RUSTUP_TOOLCHAIN where rustup would choose another one by itself.
choose_rust() {
  pinned=$(sed -n 's/^channel = "\(.*\)"$/\1/p' rust-toolchain.toml)
  if ! command -v cargo >/dev/null; then
    echo "there is no Rust"
    return 1
  fi
  if [ -n "${RUSTUP_TOOLCHAIN:-}" ] || ! command -v rustup >/dev/null; then
    rust_is "$pinned" && return
    echo "$(command -v rustc || echo rustc) is version ${compiler:-unknown}, $pinned is needed"
    return 1
  fi
  rustup run "$pinned" rustc --version >/dev/null 2>&1 && return
  RUSTUP_TOOLCHAIN=$(rustup default 2>/dev/null | cut -d ' ' -f 1)
  export RUSTUP_TOOLCHAIN
  [ -n "$RUSTUP_TOOLCHAIN" ] && rust_is "$pinned" && [ "$compiler" = "$pinned" ] && return
  rustup toolchain install "$pinned" --no-self-update --profile minimal -c rustfmt -c clippy
  rustup run "$pinned" rustc --version >/dev/null 2>&1 && unset RUSTUP_TOOLCHAIN && return
  [ -n "$RUSTUP_TOOLCHAIN" ] && rust_is "$pinned" && return
  unset RUSTUP_TOOLCHAIN
  echo "rustup cannot get version $pinned of Rust"
  return 1
}
