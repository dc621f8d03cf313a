//! Structures and numbers of the kernel's interface that libc lacks, and nothing else.
//!
//! Sources: `include/uapi/linux/if_xdp.h`, `bpf.h`, `capability.h`, `securebits.h`. The rest of AF_XDP is in libc.

use std::mem::size_of;

/// Socket option: packets that one `sendto` transmits in copy mode (Linux 6.17; 32 before).
pub const XDP_MAX_TX_SKB_BUDGET: libc::c_int = 9;

/// Commands of bpf(2).
pub const BPF_PROG_TEST_RUN: libc::c_int = 10;
/// See [`InfoByFd`].
pub const BPF_OBJ_GET_INFO_BY_FD: libc::c_int = 15;
/// See [`LinkCreate`].
pub const BPF_LINK_CREATE: libc::c_int = 28;
/// Attach type of an XDP program.
pub const BPF_XDP: u32 = 37;
/// XDP mode flags of `if_link.h`: in the network stack, or in the driver.
pub const XDP_FLAGS_SKB_MODE: u32 = 1 << 1;
/// See [`XDP_FLAGS_SKB_MODE`].
pub const XDP_FLAGS_DRV_MODE: u32 = 1 << 2;

/// `union bpf_attr`, member `link_create`: as far as XDP needs it (Linux 5.9).
#[repr(C)]
#[derive(Default)]
pub struct LinkCreate {
    /// Descriptor of a loaded program.
    pub program: u32,
    /// Interface index.
    pub target: u32,
    /// [`BPF_XDP`].
    pub attach_type: u32,
    /// `XDP_FLAGS_*`.
    pub flags: u32,
}

/// `union bpf_attr`, member `info` (Linux 4.13).
#[repr(C)]
#[derive(Default)]
pub struct InfoByFd {
    /// Descriptor of what is asked about.
    pub fd: u32,
    /// Bytes that the kernel may write.
    pub bytes: u32,
    /// Address for them.
    pub info: u64,
}

/// `struct bpf_link_info`, as far as XDP has it (Linux 5.9).
#[repr(C)]
#[derive(Default)]
pub struct LinkInfo {
    /// `BPF_LINK_TYPE_*`.
    pub link_type: u32,
    /// Number of the link.
    pub id: u32,
    /// Number of the program.
    pub program: u32,
    /// What follows is aligned to 8 bytes.
    pub padding: u32,
    /// Interface; 0 when the link was detached, or the interface is gone.
    pub ifindex: u32,
    /// The structure is a multiple of 8 bytes.
    pub rest: u32,
}

/// `union bpf_attr`, member `test`: as far as Linux 5.11.
#[repr(C)]
#[derive(Default)]
pub struct TestRun {
    /// Descriptor of a loaded program.
    pub program: u32,
    /// Out: what the program returned.
    pub returned: u32,
    /// Bytes of the packet.
    pub data_in_bytes: u32,
    /// Room for the packet afterwards.
    pub data_out_bytes: u32,
    /// Address of the packet.
    pub data_in: u64,
    /// Address for the packet afterwards, or 0.
    pub data_out: u64,
    /// Times to run it.
    pub repeat: u32,
    /// Out: nanoseconds of one run.
    pub duration_ns: u32,
    /// Bytes of a context (`struct xdp_md`), in and out: none.
    pub context_in_bytes: u32,
    /// See `context_in_bytes`.
    pub context_out_bytes: u32,
    /// Address of the context, or 0.
    pub context_in: u64,
    /// Address for the context, or 0.
    pub context_out: u64,
    /// `BPF_F_TEST_*`.
    pub flags: u32,
    /// Processor to run on.
    pub cpu: u32,
    /// Packets per batch with live frames.
    pub batch_size: u32,
    /// The union is a multiple of 8 bytes.
    pub padding: u32,
}

/// `_LINUX_CAPABILITY_VERSION_3`: sets of 64 bits.
pub const CAPABILITY_VERSION: u32 = 0x2008_0522;
/// User 0 has no capabilities for being user 0.
pub const SECBIT_NOROOT: u32 = 1;

/// `struct __user_cap_header_struct`.
#[repr(C)]
pub struct CapabilityHeader {
    /// [`CAPABILITY_VERSION`].
    pub version: u32,
    /// Thread id; 0 is the caller.
    pub thread: i32,
}

/// `struct __user_cap_data_struct`: 32 bits of each set.
#[repr(C)]
#[derive(Default)]
pub struct CapabilityHalf {
    /// What the thread may do.
    pub effective: u32,
    /// What it can make effective.
    pub permitted: u32,
    /// What it can make ambient.
    pub inheritable: u32,
}

/// What capget(2) and capset(2) take.
#[repr(C)]
#[derive(Default)]
pub struct CapabilitySets {
    /// Capabilities 0 to 31.
    pub low: CapabilityHalf,
    /// Capabilities 32 to 63.
    pub high: CapabilityHalf,
}

// include/uapi/linux/capability.h
const _: () = assert!(size_of::<CapabilityHeader>() == 8);
const _: () = assert!(size_of::<CapabilitySets>() == 24);

// include/uapi/linux/bpf.h: offsets of the last fields, rounded up to 8.
const _: () = assert!(size_of::<LinkCreate>() == 16);
const _: () = assert!(size_of::<TestRun>() == 80);
const _: () = assert!(size_of::<InfoByFd>() == 16);
const _: () = assert!(std::mem::offset_of!(LinkInfo, ifindex) == 16);

// include/uapi/linux/if_xdp.h: libc follows the newest kernel; these are the sizes that all of them take.
const _: () = assert!(size_of::<libc::sockaddr_xdp>() == 16);
const _: () = assert!(size_of::<libc::xdp_ring_offset>() == 32);
const _: () = assert!(size_of::<libc::xdp_mmap_offsets>() == 128);
const _: () = assert!(size_of::<libc::xdp_umem_reg>() == 32);
const _: () = assert!(size_of::<libc::xdp_statistics>() == 48);
