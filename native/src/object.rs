//! The compiled XDP program that this addon carries, if the machine that built it had clang.

use napi_derive::napi;

use crate::error::{Code, Result};

include!(concat!(env!("OUT_DIR"), "/object.rs"));

/// Whether the addon was built with the XDP program. Without it everything works but `XdpProgram`.
#[napi]
pub fn has_program() -> bool {
    OBJECT.is_ok()
}

/// The ELF object.
///
/// # Errors
///
/// `ERR_NATIVE_NO_PROGRAM` with what was missing at build time and the command that installs it.
pub fn bytes() -> Result<&'static [u8]> {
    OBJECT.map_err(|missing| {
        napi::Error::new(
            Code::NoProgram,
            format!(
                "this addon was built without the XDP program: {missing}. It needs clang and the libbpf headers: \
                 `apt-get install clang libbpf-dev`, then build the addon again"
            ),
        )
    })
}
