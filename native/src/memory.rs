//! The arena as native code sees it: bounds, advice to the kernel, and mappings over parts of it.
//!
//! The arena is memory that other threads and the kernel write at any time, so no Rust reference into it is
//! ever made here: a [`Memory`] is an address and a length.

use std::{fmt, io, ptr};

use napi::{
    Status, ValueType,
    bindgen_prelude::{FromNapiValue, TypeName, ValidateNapiValue},
    sys,
};
use napi_derive::napi;

use crate::{
    error::{Result, argument, last},
    layout::PAGE,
};

/// Offsets of the arena are 32 bits wide.
const MOST_BYTES: usize = 1 << 32;

/// A `Uint8Array` over a `WebAssembly.Memory`: valid while the caller holds the array, that is, during one
/// call. What must outlive the call may keep the address only where it says how the memory is kept alive.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Memory {
    base: usize,
    bytes: usize,
}

impl Memory {
    /// The memory of an array whose owner keeps it.
    #[cfg(feature = "bench")]
    pub fn of(array: &napi::bindgen_prelude::Uint8Array) -> Self {
        Self {
            base: array.as_ptr() as usize,
            bytes: array.len(),
        }
    }

    /// Address of the first byte.
    pub fn base(self) -> usize {
        self.base
    }

    /// Checks that `bytes` bytes at `offset` lie inside, `offset` being a multiple of `align`.
    ///
    /// Both come from JavaScript as numbers; `name` is what the error calls them.
    pub fn region(self, name: &str, offset: f64, bytes: f64, align: u32) -> Result<Region> {
        let whole = |value: f64| value.fract() == 0.0 && (0.0..=MOST_BYTES as f64).contains(&value);
        if !whole(offset) || !(offset as usize).is_multiple_of(align as usize) {
            return Err(argument(
                &format!("{name}: offset"),
                offset,
                format_args!("a multiple of {align} inside the memory"),
            ));
        }
        if !whole(bytes) || bytes == 0.0 || offset as usize + bytes as usize > self.bytes {
            return Err(argument(
                &format!("{name}: length"),
                bytes,
                format_args!(
                    "1 to {} bytes at offset {offset}",
                    self.bytes.saturating_sub(offset as usize)
                ),
            ));
        }
        Ok(Region {
            address: self.base + offset as usize,
            bytes: bytes as usize,
        })
    }
}

impl FromNapiValue for Memory {
    unsafe fn from_napi_value(env: sys::napi_env, value: sys::napi_value) -> napi::Result<Self> {
        let (mut kind, mut bytes, mut data) = (0, 0, ptr::null_mut());
        // SAFETY: `env` and `value` are the caller's; the out pointers are locals, the others may be null.
        let status = unsafe {
            sys::napi_get_typedarray_info(
                env,
                value,
                &mut kind,
                &mut bytes,
                &mut data,
                ptr::null_mut(),
                ptr::null_mut(),
            )
        };
        if status != sys::Status::napi_ok || kind != sys::TypedarrayType::uint8_array || data.is_null() {
            let message = "memory: expected a Uint8Array over the whole arena".to_owned();
            return Err(napi::Error::new(Status::InvalidArg, message));
        }
        Ok(Self {
            base: data as usize,
            bytes,
        })
    }
}

impl TypeName for Memory {
    fn type_name() -> &'static str {
        "Uint8Array"
    }

    fn value_type() -> ValueType {
        ValueType::Object
    }
}

impl ValidateNapiValue for Memory {}

/// Bytes of the arena, checked to lie inside it.
#[derive(Clone, Copy)]
pub struct Region {
    /// Address of the first byte.
    pub address: usize,
    /// Never 0.
    pub bytes: usize,
}

impl fmt::Display for Region {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} bytes", self.bytes)
    }
}

/// Pages of a file or socket over part of the arena. Dropped, it is ordinary memory again, all zero.
///
/// Whoever keeps one keeps the arena: after the arena is unmapped its addresses may belong to somebody else.
#[derive(Debug)]
pub struct Mapping {
    address: usize,
    bytes: usize,
}

impl Mapping {
    /// Maps `bytes` bytes of `fd` from `offset` on at `address`, in place of the memory there.
    ///
    /// # Safety
    ///
    /// `address` is page-aligned, the whole pages from it that `bytes` reaches belong to the arena, and nobody
    /// uses them. The arena outlives the mapping, or the mapping is forgotten.
    pub unsafe fn over(
        address: usize,
        bytes: usize,
        fd: libc::c_int,
        offset: libc::off_t,
    ) -> io::Result<Self> {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_SHARED | libc::MAP_FIXED | libc::MAP_POPULATE;
        // SAFETY: the caller's promise: these pages are the arena's and unused.
        let mapped = unsafe { libc::mmap(address as *mut _, bytes, protection, flags, fd, offset) };
        if mapped == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        Ok(Self { address, bytes })
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED | libc::MAP_NORESERVE;
        // SAFETY: the same pages as in `over`, and the arena still exists, as promised there. Failure (no
        // memory for a page table) leaves the old mapping, which is harmless.
        unsafe { libc::mmap(self.address as *mut _, self.bytes, protection, flags, -1, 0) };
    }
}

/// Asks for huge pages in a part of the arena (`MADV_HUGEPAGE`): touch it afterwards.
///
/// Throws `EINVAL` on a kernel without transparent huge pages, which is no reason to stop.
#[napi(ts_args_type = "memory: Uint8Array, offset: number, bytes: number")]
pub fn advise_huge_pages(memory: Memory, offset: f64, bytes: f64) -> Result<()> {
    advise(memory, offset, bytes, libc::MADV_HUGEPAGE, "MADV_HUGEPAGE")
}

/// Leaves a part of the arena out of child processes (`MADV_DONTFORK`): copying the page tables of gigabytes
/// would block the process at every `spawn`.
#[napi(ts_args_type = "memory: Uint8Array, offset: number, bytes: number")]
pub fn dont_fork(memory: Memory, offset: f64, bytes: f64) -> Result<()> {
    advise(memory, offset, bytes, libc::MADV_DONTFORK, "MADV_DONTFORK")
}

fn advise(memory: Memory, offset: f64, bytes: f64, advice: libc::c_int, name: &str) -> Result<()> {
    let region = memory.region(name, offset, bytes, PAGE)?;
    // SAFETY: the region lies inside the arena, and neither advice changes what is in it.
    if unsafe { libc::madvise(region.address as *mut _, region.bytes, advice) } != 0 {
        return Err(last(format_args!("madvise({name}) of {region}"), |_| ""));
    }
    Ok(())
}

/// Raises the limit of locked memory as far as it goes. Best effort: with CAP_IPC_LOCK there is no limit
/// at all, and where both are refused the registration of the frames says so.
pub fn raise_memlock_limit() {
    let unlimited = libc::rlimit {
        rlim_cur: libc::RLIM_INFINITY,
        rlim_max: libc::RLIM_INFINITY,
    };
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: both structures are locals of the right type.
    unsafe {
        if libc::setrlimit(libc::RLIMIT_MEMLOCK, &unlimited) != 0
            && libc::getrlimit(libc::RLIMIT_MEMLOCK, &mut limit) == 0
        {
            limit.rlim_cur = limit.rlim_max;
            libc::setrlimit(libc::RLIMIT_MEMLOCK, &limit);
        }
    }
}
