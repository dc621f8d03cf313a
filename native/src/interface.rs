//! Network interfaces by name.

use std::{ffi::CString, io};

use crate::error::{Result, argument, system};

/// The index of the interface `name` in the calling thread's network namespace. Never 0.
///
/// # Errors
///
/// `ENODEV` when there is none.
pub fn index_of(name: &str) -> Result<u32> {
    let c_name = CString::new(name)
        .map_err(|_| argument("interface", format_args!("{name:?}"), "a name without NUL"))?;
    // SAFETY: the string is NUL-terminated and lives as long as the call.
    match unsafe { libc::if_nametoindex(c_name.as_ptr()) } {
        0 => {
            let error = io::Error::from_raw_os_error(libc::ENODEV);
            Err(system(
                format_args!("interface {name:?}"),
                &error,
                "`ip link` lists those of this network namespace",
            ))
        }
        index => Ok(index),
    }
}
