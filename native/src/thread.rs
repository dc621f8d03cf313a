//! The calling thread.

use napi_derive::napi;

use crate::error::{Result, argument, last};

/// Binds the calling thread to one processor.
///
/// Throws `EINVAL` when the processor does not exist or is not in the process's cpuset.
#[napi]
pub fn pin_thread(cpu: u32) -> Result<()> {
    if cpu >= libc::CPU_SETSIZE as u32 {
        return Err(argument("cpu", cpu, format_args!("below {}", libc::CPU_SETSIZE)));
    }
    // SAFETY: a set of bits, all zero; the index was checked; the kernel only reads it. Thread 0 is the caller.
    let status = unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(cpu as usize, &mut set);
        libc::sched_setaffinity(0, size_of_val(&set), &set)
    };
    if status != 0 {
        return Err(last(
            format_args!("pinning a thread to processor {cpu}"),
            |_| "`taskset -p $$` shows the processors that this process may use",
        ));
    }
    Ok(())
}
