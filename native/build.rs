//! Build script: the arena's constants for Rust and C, and the XDP program.
//!
//! Reads `../assembly/layout.ts`, the one declaration of the arena, and writes into `OUT_DIR`:
//!
//! | file             | for                | content                                   |
//! |------------------|--------------------|-------------------------------------------|
//! | `layout.rs`      | `src/layout.rs`    | `pub const NAME: u32 = …;`                |
//! | `layout.h`       | `bpf/*.c`          | `#define NAME (…)`                        |
//! | `guideway.bpf.o` | `src/object.rs`    | the compiled XDP program                  |
//! | `object.rs`      | `src/object.rs`    | the object, or why there is none          |

// Failing is how a build script speaks to cargo.
#![allow(clippy::panic)]

#[path = "generate/layout.rs"]
mod layout;
#[path = "generate/program.rs"]
mod program;

use std::{env, fs, path::PathBuf};

fn main() {
    napi_build::setup();
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=generate");

    let crate_dir = PathBuf::from(variable("CARGO_MANIFEST_DIR"));
    let out_dir = PathBuf::from(variable("OUT_DIR"));

    let source = crate_dir.join("../assembly/layout.ts");
    println!("cargo::rerun-if-changed={}", source.display());
    let text = fs::read_to_string(&source)
        .unwrap_or_else(|error| panic!("cannot read {}: {error}", source.display()));
    let layout = layout::parse(&text).unwrap_or_else(|message| panic!("{}: {message}", source.display()));
    write(&out_dir.join("layout.rs"), &layout::to_rust(&layout));
    write(&out_dir.join("layout.h"), &layout::to_c(&layout));

    let bpf_dir = crate_dir.join("bpf");
    println!("cargo::rerun-if-changed={}", bpf_dir.display());
    let object = program::compile(&bpf_dir, &out_dir, &variable("CARGO_CFG_TARGET_ARCH"));
    write(&out_dir.join("object.rs"), &program::to_rust(&object));
}

/// An environment variable that cargo sets for every build script.
fn variable(name: &str) -> String {
    env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run this script by cargo"))
}

fn write(path: &PathBuf, text: &str) {
    fs::write(path, text).unwrap_or_else(|error| panic!("cannot write {}: {error}", path.display()));
}
