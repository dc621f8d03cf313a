//! The system calls of an AF_XDP socket, one function each, with errors that say what to do.
//!
//! Which errno means what is read from `net/xdp/xsk.c` and `xsk_buff_pool.c`.

use std::{
    io,
    os::fd::{FromRawFd, OwnedFd, RawFd},
    thread::sleep,
    time::Duration,
};

use crate::{
    error::{Result, argument, last, system},
    kernel::XDP_MAX_TX_SKB_BUDGET,
    layout::BATCH,
    memory::{Region, raise_memlock_limit},
};

/// Bytes that the kernel charges a socket in copy mode for one small packet in flight, rounded up: the send
/// buffer must hold a full TX ring of them, or a kick stops early with EAGAIN.
const CHARGED_BYTES: u32 = 4096;

/// Closing the last socket of a queue releases the queue a little later, on a kernel thread: so long a bind is tried
/// again before EBUSY is believed.
const RELEASE_PAUSE: Duration = Duration::from_millis(5);
const MOST_RELEASE_PAUSES: u32 = 40;

/// How packets reach the frames.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Zero-copy where the driver can, else copy: the kernel decides.
    Auto,
    /// The device writes the frames itself.
    ZeroCopy,
    /// The kernel copies.
    Copy,
}

impl Mode {
    /// From JavaScript's `'auto' | 'zero-copy' | 'copy'`.
    pub fn parse(text: &str) -> Result<Self> {
        match text {
            "auto" => Ok(Self::Auto),
            "zero-copy" => Ok(Self::ZeroCopy),
            "copy" => Ok(Self::Copy),
            _ => Err(argument(
                "mode",
                format_args!("{text:?}"),
                "'auto', 'zero-copy' or 'copy'",
            )),
        }
    }
}

/// What a socket is bound to.
pub struct Binding<'a> {
    /// Name of the interface, for errors.
    pub interface: &'a str,
    /// Its index.
    pub ifindex: u32,
    /// Receive queue.
    pub queue: u32,
    /// First socket of the queue, when this is a further one.
    pub shared_with: Option<RawFd>,
    /// Ignored when shared: the first socket decides.
    pub mode: Mode,
}

/// A new socket.
pub fn create() -> Result<OwnedFd> {
    // SAFETY: no pointers.
    match unsafe { libc::socket(libc::AF_XDP, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0) } {
        -1 => Err(last("opening an AF_XDP socket", |errno| match errno {
            libc::EPERM => {
                "it needs CAP_NET_RAW: run as root or give the service AmbientCapabilities=CAP_NET_RAW"
            }
            libc::EAFNOSUPPORT => "this kernel was built without CONFIG_XDP_SOCKETS",
            libc::EMFILE | libc::ENFILE => "`ulimit -n` limits the open files",
            _ => "",
        })),
        // SAFETY: a descriptor just opened, owned by nobody else.
        fd => Ok(unsafe { OwnedFd::from_raw_fd(fd) }),
    }
}

/// Registers the frames as the socket's UMEM. Headroom 0: the kernel itself leaves 256 bytes.
pub fn register_frames(socket: RawFd, frames: Region, frame_bytes: u32) -> Result<()> {
    raise_memlock_limit();
    let registration = libc::xdp_umem_reg {
        addr: frames.address as u64,
        len: frames.bytes as u64,
        chunk_size: frame_bytes,
        headroom: 0,
        flags: 0,
        tx_metadata_len: 0,
    };
    set_option(socket, libc::SOL_XDP, libc::XDP_UMEM_REG, &registration).map_err(|error| {
        let advice = match error.raw_os_error() {
            Some(libc::EPERM | libc::ENOBUFS) => {
                "locked memory is limited: give CAP_IPC_LOCK, or raise RLIMIT_MEMLOCK (LimitMEMLOCK=infinity)"
            }
            Some(libc::ENOMEM) => "configure fewer frames",
            _ => "",
        };
        system(format_args!("registering {} of frames", frames), &error, advice)
    })
}

/// Settings that make it faster and that older kernels may lack: best effort.
pub fn tune(socket: RawFd, tx_entries: u32, busy_poll_us: Option<u32>) {
    // Refused above the number of TX entries.
    let _ = set_option(
        socket,
        libc::SOL_XDP,
        XDP_MAX_TX_SKB_BUDGET,
        &BATCH.min(tx_entries),
    );
    let send_buffer = tx_entries.saturating_mul(CHARGED_BYTES).min(i32::MAX as u32 / 2);
    let _ = set_option(socket, libc::SOL_SOCKET, libc::SO_SNDBUFFORCE, &send_buffer);
    if let Some(microseconds) = busy_poll_us.filter(|microseconds| *microseconds > 0) {
        let _ = set_option(socket, libc::SOL_SOCKET, libc::SO_PREFER_BUSY_POLL, &1);
        let _ = set_option(socket, libc::SOL_SOCKET, libc::SO_BUSY_POLL, &microseconds);
        let _ = set_option(socket, libc::SOL_SOCKET, libc::SO_BUSY_POLL_BUDGET, &BATCH);
    }
}

/// Where the kernel puts the parts of the socket's rings.
pub fn ring_offsets(socket: RawFd) -> Result<libc::xdp_mmap_offsets> {
    // SAFETY: a structure of integers, for which all-zero is a value.
    let mut offsets: libc::xdp_mmap_offsets = unsafe { std::mem::zeroed() };
    let bytes = get_option(socket, libc::XDP_MMAP_OFFSETS, &mut offsets)
        .map_err(|error| system("reading XDP_MMAP_OFFSETS", &error, ""))?;
    if bytes < size_of_val(&offsets) {
        return Err(argument(
            "kernel",
            "older than 5.4",
            "Linux 5.15 or newer: its rings have no flags word",
        ));
    }
    Ok(offsets)
}

/// Binds the socket to its queue: from here on the XDP program can reach it.
pub fn bind(socket: RawFd, binding: &Binding<'_>) -> Result<()> {
    let flags = match (binding.shared_with, binding.mode) {
        (Some(_), _) => libc::XDP_SHARED_UMEM,
        (None, Mode::Auto) => libc::XDP_USE_NEED_WAKEUP,
        (None, Mode::ZeroCopy) => libc::XDP_USE_NEED_WAKEUP | libc::XDP_ZEROCOPY,
        (None, Mode::Copy) => libc::XDP_USE_NEED_WAKEUP | libc::XDP_COPY,
    };
    let address = libc::sockaddr_xdp {
        sxdp_family: libc::AF_XDP as u16,
        sxdp_flags: flags,
        sxdp_ifindex: binding.ifindex,
        sxdp_queue_id: binding.queue,
        sxdp_shared_umem_fd: binding.shared_with.unwrap_or(0) as u32,
    };
    let mut pauses = 0;
    loop {
        let bytes = size_of_val(&address) as libc::socklen_t;
        // SAFETY: the address is a local of the length given.
        if unsafe { libc::bind(socket, (&raw const address).cast(), bytes) } == 0 {
            return Ok(());
        }
        let error = io::Error::last_os_error();
        if error.raw_os_error() != Some(libc::EBUSY) || pauses == MOST_RELEASE_PAUSES {
            let what = format!(
                "binding an AF_XDP socket to queue {} of {}",
                binding.queue, binding.interface
            );
            return Err(system(
                what,
                &error,
                advice(binding, error.raw_os_error().unwrap_or(0)),
            ));
        }
        pauses += 1;
        sleep(RELEASE_PAUSE);
    }
}

fn advice(binding: &Binding<'_>, errno: i32) -> &'static str {
    match errno {
        libc::EBUSY => {
            "another socket has this queue: `ss --xdp -p` shows the process; stop it or take another queue"
        }
        libc::EPERM => {
            "it needs CAP_NET_RAW: run as root or give the service AmbientCapabilities=CAP_NET_RAW"
        }
        libc::ENODEV => "the interface is gone",
        libc::ENETDOWN => "zero-copy needs the interface up: `ip link set dev NAME up`",
        libc::EOPNOTSUPP if binding.mode == Mode::ZeroCopy => {
            "its driver has no zero-copy: use mode 'auto' or 'copy'"
        }
        libc::EINVAL | libc::EBADF if binding.shared_with.is_some() => {
            "sharedWith must be the first socket of the same queue, still open"
        }
        libc::EINVAL => "does it have this queue? `ethtool -l NAME` shows how many it has",
        _ => "",
    }
}

/// The mode that a bound socket has: `zero-copy` or `copy`.
pub fn mode_of(socket: RawFd) -> Result<&'static str> {
    let mut options = libc::xdp_options { flags: 0 };
    get_option(socket, libc::XDP_OPTIONS, &mut options)
        .map_err(|error| system("reading XDP_OPTIONS", &error, ""))?;
    Ok(if options.flags & libc::XDP_OPTIONS_ZEROCOPY != 0 {
        "zero-copy"
    } else {
        "copy"
    })
}

/// The kernel's counts.
pub fn statistics(socket: RawFd) -> Result<libc::xdp_statistics> {
    // SAFETY: a structure of integers, for which all-zero is a value.
    let mut counts: libc::xdp_statistics = unsafe { std::mem::zeroed() };
    get_option(socket, libc::XDP_STATISTICS, &mut counts).map_err(|error| {
        system(
            format_args!("reading the statistics of socket {socket}"),
            &error,
            "was it closed?",
        )
    })?;
    Ok(counts)
}

/// setsockopt(2) with a value of plain integers.
pub fn set_option<T>(socket: RawFd, level: libc::c_int, option: libc::c_int, value: &T) -> io::Result<()> {
    // SAFETY: the kernel reads size_of::<T>() bytes of a reference.
    let status = unsafe {
        libc::setsockopt(
            socket,
            level,
            option,
            (&raw const *value).cast(),
            size_of::<T>() as libc::socklen_t,
        )
    };
    if status == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// getsockopt(2) of an XDP option into a structure of plain integers. Returns the bytes that were written.
fn get_option<T>(socket: RawFd, option: libc::c_int, value: &mut T) -> io::Result<usize> {
    let mut bytes = size_of::<T>() as libc::socklen_t;
    // SAFETY: the kernel writes at most `bytes` bytes, into a T of integers, for which any bytes are a value.
    let status = unsafe {
        libc::getsockopt(
            socket,
            libc::SOL_XDP,
            option,
            (&raw mut *value).cast(),
            &mut bytes,
        )
    };
    if status == 0 {
        Ok(bytes as usize)
    } else {
        Err(io::Error::last_os_error())
    }
}
