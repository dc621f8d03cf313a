//! Compiles the XDP program with clang, when the machine can.
//!
//! Without clang or the libbpf headers the addon is built all the same: everything but the XDP program
//! works, and using that says what is missing.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

/// The compiled object, or what was missing on this machine.
pub type Object = Result<PathBuf, String>;

/// Compiles `bpf_dir/guideway.bpf.c` to `out_dir/guideway.bpf.o`.
///
/// # Panics
///
/// When clang and the headers are there and the program does not compile: a defect in it, not in the machine.
pub fn compile(bpf_dir: &Path, out_dir: &Path, arch: &str) -> Object {
    println!("cargo::rerun-if-env-changed=CLANG");
    let clang = env::var("CLANG").unwrap_or_else(|_| "clang".to_owned());

    // asm/types.h lies in Debian's directory of the architecture, which clang does not search for this target.
    let include = format!("/usr/include/{arch}-linux-gnu");
    let flags = [
        "-O2", "-g", "-target", "bpf", "-Wall", "-Werror", "-c", "-isystem", &include,
    ];

    let probe = out_dir.join("probe.c");
    fs::write(&probe, "#include <linux/bpf.h>\n#include <bpf/bpf_helpers.h>\n")
        .unwrap_or_else(|error| panic!("cannot write {}: {error}", probe.display()));
    let probed = Command::new(&clang)
        .args(flags)
        .arg(&probe)
        .arg("-o")
        .arg(out_dir.join("probe.o"))
        .output();
    let missing = match probed {
        Err(error) => Some(format!("{clang} could not be run ({error})")),
        Ok(output) if !output.status.success() => Some(format!(
            "{clang} could not compile an empty XDP program ({})",
            first_error(&output)
        )),
        Ok(_) => None,
    };
    if let Some(missing) = missing {
        println!("cargo::warning=built without the XDP program: {missing}");
        // A file that never exists: look for clang again at every build.
        println!(
            "cargo::rerun-if-changed={}",
            out_dir.join("clang-appeared").display()
        );
        return Err(missing);
    }

    let object = out_dir.join("guideway.bpf.o");
    let output = Command::new(&clang)
        .args(flags)
        .arg("-I")
        .arg(out_dir)
        .arg(bpf_dir.join("guideway.bpf.c"))
        .arg("-o")
        .arg(&object)
        .output()
        .unwrap_or_else(|error| panic!("{clang} could not be run: {error}"));
    assert!(
        output.status.success(),
        "the XDP program does not compile:\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(object)
}

fn first_error(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr);
    let line = text
        .lines()
        .find(|line| line.contains("error"))
        .or(text.lines().next());
    line.unwrap_or("no message").trim().to_owned()
}

/// `object.rs`: the constant `OBJECT`.
pub fn to_rust(object: &Object) -> String {
    let value = match object {
        Ok(path) => format!(
            "Ok(aya::include_bytes_aligned!({:?}))",
            path.display().to_string()
        ),
        Err(missing) => format!("Err({missing:?})"),
    };
    format!("static OBJECT: std::result::Result<&[u8], &str> = {value};\n")
}
