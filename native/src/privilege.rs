//! Giving privileges up for good (capabilities(7), prctl(2)).
//!
//! | set         | afterwards                                                | decides                        |
//! |-------------|-----------------------------------------------------------|--------------------------------|
//! | bounding    | what is kept; as it was without CAP_SETPCAP                | what any exec can ever gain     |
//! | permitted   | what is kept of what was permitted                        | what the thread can make effective |
//! | effective   | the same                                                  | what the thread may do          |
//! | inheritable | the same                                                  | what can be ambient             |
//! | ambient     | the same                                                  | what a new program starts with  |
//!
//! Besides, no_new_privs: no exec gains anything by set-uid or file capabilities. And, with CAP_SETPCAP, user 0 counts
//! for nothing any more (SECBIT_NOROOT): a new program of root's starts with the ambient set like anybody's.

use std::io;

use napi_derive::napi;

use crate::{
    capability::SETPCAP,
    error::{Code, Result, argument, system},
    kernel::{CAPABILITY_VERSION, CapabilityHeader, CapabilitySets, SECBIT_NOROOT},
};

/// Numbers of capabilities are below this: the sets have 64 bits.
const MOST: u32 = u64::BITS;

/// Takes all capabilities from the calling thread but those in `keep` (numbers of `linux/capability.h`), and the means
/// to get them back. Capabilities are per thread: for those of a whole process, call it in the main thread and then
/// execute the program anew.
///
/// Throws `ERR_NATIVE_ARGUMENT` for a number that no capability can have; `EPERM` when the system forbids it by a
/// rule of its own.
#[napi]
pub fn limit_capabilities(keep: Vec<u32>) -> Result<()> {
    let mut mask = 0u64;
    for capability in keep {
        if capability >= MOST {
            return Err(argument(
                "keep: a capability",
                capability,
                format_args!("a number below {MOST}"),
            ));
        }
        mask |= 1 << capability;
    }
    let mut sets = sets()?;
    if sets.effective() >> SETPCAP & 1 == 1 {
        limit_bounding(mask)?;
        // SAFETY: numbers only.
        check("setting securebits", unsafe {
            libc::prctl(
                libc::PR_SET_SECUREBITS,
                libc::c_ulong::from(SECBIT_NOROOT),
                0,
                0,
                0,
            )
        })?;
    }
    let kept = sets.permitted() & mask;
    sets.set_all(kept);
    let mut header = CapabilityHeader::of_caller();
    // SAFETY: both are locals of the kernel's layout; it reads them.
    check("setting capabilities", unsafe {
        libc::syscall(libc::SYS_capset, &raw mut header, &raw const sets) as libc::c_int
    })?;
    for capability in bits(kept) {
        ambient(libc::PR_CAP_AMBIENT_RAISE, capability)?;
    }
    // SAFETY: numbers only.
    check("setting no_new_privs", unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    })
}

/// Programs that the calling thread starts from now on have no capabilities. It keeps its own.
///
/// True for a user other than root, and for root after `limitCapabilities` with CAP_SETPCAP: otherwise root's programs
/// get what the bounding set leaves.
#[napi]
pub fn clear_ambient_capabilities() -> Result<()> {
    ambient(libc::PR_CAP_AMBIENT_CLEAR_ALL, 0)
}

fn ambient(operation: libc::c_int, capability: u32) -> Result<()> {
    // SAFETY: numbers only.
    check("changing ambient capabilities", unsafe {
        libc::prctl(
            libc::PR_CAP_AMBIENT,
            operation as libc::c_ulong,
            libc::c_ulong::from(capability),
            0,
            0,
        )
    })
}

/// Drops all but `mask` from the bounding set.
fn limit_bounding(mask: u64) -> Result<()> {
    for capability in bits(!mask) {
        // SAFETY: numbers only. It is -1 for numbers that this kernel does not know.
        let present = unsafe { libc::prctl(libc::PR_CAPBSET_READ, libc::c_ulong::from(capability), 0, 0, 0) };
        if present != 1 {
            continue;
        }
        // SAFETY: numbers only.
        check("dropping a capability from the bounding set", unsafe {
            libc::prctl(libc::PR_CAPBSET_DROP, libc::c_ulong::from(capability), 0, 0, 0)
        })?;
    }
    Ok(())
}

fn bits(mask: u64) -> impl Iterator<Item = u32> {
    (0..MOST).filter(move |bit| mask >> bit & 1 == 1)
}

/// The calling thread's sets.
fn sets() -> Result<CapabilitySets> {
    let mut header = CapabilityHeader::of_caller();
    let mut sets = CapabilitySets::default();
    // SAFETY: both are locals of the kernel's layout; it fills the second.
    check("reading capabilities", unsafe {
        libc::syscall(libc::SYS_capget, &raw mut header, &raw mut sets) as libc::c_int
    })?;
    Ok(sets)
}

fn check(what: &str, status: libc::c_int) -> std::result::Result<(), napi::Error<Code>> {
    if status == 0 {
        return Ok(());
    }
    Err(system(
        what,
        &io::Error::last_os_error(),
        "a security module or a seccomp filter may forbid it",
    ))
}

impl CapabilityHeader {
    fn of_caller() -> Self {
        Self {
            version: CAPABILITY_VERSION,
            thread: 0,
        }
    }
}

impl CapabilitySets {
    fn effective(&self) -> u64 {
        u64::from(self.high.effective) << 32 | u64::from(self.low.effective)
    }

    fn permitted(&self) -> u64 {
        u64::from(self.high.permitted) << 32 | u64::from(self.low.permitted)
    }

    fn set_all(&mut self, mask: u64) {
        for (half, bits) in [
            (&mut self.low, mask as u32),
            (&mut self.high, (mask >> 32) as u32),
        ] {
            half.effective = bits;
            half.permitted = bits;
            half.inheritable = bits;
        }
    }
}
