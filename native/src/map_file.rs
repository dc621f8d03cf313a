//! Files under parts of the arena: what is in them outlives the process, however it ends.
//!
//! A page of such a file is the page cache's own: a store of a worker is in the file at once, and a process that is
//! killed takes nothing back. Nothing is written "out" but by the kernel, and on a tmpfs not even that.
//!
//! Whoever maps a file must be its only user ([`try_lock`]), and have its blocks reserved ([`reserve_file`]): a page
//! without a block behind it is a SIGBUS in whoever touches it.

use std::io;

use napi_derive::napi;

use crate::{
    error::{Result, argument, last, system},
    layout::PAGE,
    memory::{Mapping, Memory},
};

/// Bytes of a huge page on x86-64 and, with pages of 4 KiB, on AArch64.
const HUGE_PAGE: usize = 2 << 20;

/// Most bytes of a file that a number of JavaScript names exactly.
const MOST_FILE_BYTES: f64 = 9_007_199_254_740_991.0;

/// Maps `bytes` bytes of a file, from `fileOffset` on, in place of the arena's memory at `offset` (mmap(2), MAP_SHARED and
/// MAP_FIXED). Both offsets and the length are multiples of 4096. All pages are there when it returns. The mapping stays as
/// long as the arena, also when `fd` is closed.
///
/// Throws `ERR_NATIVE_ARGUMENT` for what does not lie in the arena, and the errno of mmap.
#[napi(ts_args_type = "memory: Uint8Array, offset: number, bytes: number, fd: number, fileOffset: number")]
pub fn map_file(memory: Memory, offset: f64, bytes: f64, fd: i32, file_offset: f64) -> Result<()> {
    let region = memory.region("mapped file", offset, bytes, PAGE)?;
    if !region.bytes.is_multiple_of(PAGE as usize) {
        return Err(argument(
            "mapped file: length",
            bytes,
            format_args!("a multiple of {PAGE}"),
        ));
    }
    let file_offset = whole("fileOffset", file_offset)?;
    if file_offset % i64::from(PAGE) != 0 {
        return Err(argument(
            "fileOffset",
            file_offset,
            format_args!("a multiple of {PAGE}"),
        ));
    }
    // SAFETY: whole pages inside the arena, checked above. The caller maps before anybody uses them, as the arena's
    // other parts promise of theirs; the mapping is forgotten, so it lasts as long as the arena.
    let mapping = unsafe { Mapping::over(region.address, region.bytes, fd, file_offset) }
        .map_err(|error| system(format_args!("mapping {region} of a file"), &error, ""))?;
    std::mem::forget(mapping);
    Ok(())
}

/// Gives a file blocks for `bytes` bytes from its start (fallocate(2)), so that no page of a mapping lacks one.
///
/// Throws `ENOSPC` when there is no room.
#[napi]
pub fn reserve_file(fd: i32, bytes: f64) -> Result<()> {
    let bytes = whole("bytes", bytes)?;
    // SAFETY: numbers alone are passed. A descriptor that is no file's is an errno.
    let errno = unsafe { libc::posix_fallocate(fd, 0, bytes) };
    if errno == 0 {
        return Ok(());
    }
    let advice = if errno == libc::ENOSPC {
        "give its file system more room"
    } else {
        ""
    };
    Err(system(
        format_args!("reserving {bytes} bytes of a file"),
        &io::Error::from_raw_os_error(errno),
        advice,
    ))
}

/// Takes the lock of an open file for as long as its descriptor is open (flock(2)).
///
/// Returns false when somebody else has it.
#[napi]
pub fn try_lock(fd: i32) -> Result<bool> {
    // SAFETY: numbers alone are passed.
    if unsafe { libc::flock(fd, libc::LOCK_EX | libc::LOCK_NB) } == 0 {
        return Ok(true);
    }
    if io::Error::last_os_error().kind() == io::ErrorKind::WouldBlock {
        return Ok(false);
    }
    Err(last("locking a file", |_| ""))
}

/// Where in a huge page a byte of the arena lies. A file's pages can be huge ones where the place in the file is the same.
#[napi(ts_args_type = "memory: Uint8Array, offset: number")]
pub fn huge_page_offset(memory: Memory, offset: f64) -> Result<f64> {
    let region = memory.region("huge page", offset, 1.0, 1)?;
    Ok((region.address % HUGE_PAGE) as f64)
}

fn whole(name: &str, value: f64) -> Result<i64> {
    if value.fract() == 0.0 && (0.0..=MOST_FILE_BYTES).contains(&value) {
        return Ok(value as i64);
    }
    Err(argument(name, value, "a whole number of bytes"))
}
