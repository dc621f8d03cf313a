//! Effective capabilities of the calling thread (capabilities(7)).

use std::fs;

use napi_derive::napi;

// Bit numbers of include/uapi/linux/capability.h.
/// Drop capabilities from the bounding set, set securebits.
pub const SETPCAP: u32 = 8;
const NET_ADMIN: u32 = 12;
const NET_RAW: u32 = 13;
const IPC_LOCK: u32 = 14;
const SYS_ADMIN: u32 = 21;
const SYS_NICE: u32 = 23;
const SYS_RESOURCE: u32 = 24;
const PERFMON: u32 = 38;
const BPF: u32 = 39;

/// What the calling thread may do. CAP_SYS_ADMIN implies `bpf` and `perfmon` for the kernel; here each is
/// reported as its own bit says.
#[napi(object)]
pub struct Capabilities {
    /// Open AF_XDP sockets.
    pub net_raw: bool,
    /// Attach XDP programs, bind AF_XDP sockets to them.
    pub net_admin: bool,
    /// Load BPF programs and create maps.
    pub bpf: bool,
    /// Load programs whose offsets into a packet are not constants, as the XDP program's are.
    pub perfmon: bool,
    /// Lock memory without a limit.
    pub ipc_lock: bool,
    /// Real-time and nice values.
    pub sys_nice: bool,
    /// Raise resource limits.
    pub sys_resource: bool,
    /// All of the above that concern BPF, and more.
    pub sys_admin: bool,
}

/// Effective capabilities of the calling thread; all false where /proc cannot be read.
#[napi]
pub fn capabilities() -> Capabilities {
    let bits = effective().unwrap_or(0);
    let has = |bit: u32| bits >> bit & 1 == 1;
    Capabilities {
        net_raw: has(NET_RAW),
        net_admin: has(NET_ADMIN),
        bpf: has(BPF),
        perfmon: has(PERFMON),
        ipc_lock: has(IPC_LOCK),
        sys_nice: has(SYS_NICE),
        sys_resource: has(SYS_RESOURCE),
        sys_admin: has(SYS_ADMIN),
    }
}

fn effective() -> Option<u64> {
    let status = fs::read_to_string("/proc/thread-self/status").ok()?;
    let bits = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
    u64::from_str_radix(bits.trim(), 16).ok()
}
