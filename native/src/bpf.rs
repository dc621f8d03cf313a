//! The commands of bpf(2) that aya does not offer as needed: a link without its silent fallback to netlink
//! (which would leave the program attached after a crash), and test runs.

use std::{
    io,
    os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
};

use crate::kernel::{
    BPF_LINK_CREATE, BPF_OBJ_GET_INFO_BY_FD, BPF_PROG_TEST_RUN, BPF_XDP, InfoByFd, LinkCreate, LinkInfo,
    TestRun,
};

/// Attaches an XDP program to an interface. Closing the link detaches it, and so does the end of the process,
/// however it ends.
pub fn link_xdp(program: BorrowedFd<'_>, ifindex: u32, flags: u32) -> io::Result<OwnedFd> {
    let mut attr = LinkCreate {
        program: program.as_raw_fd() as u32,
        target: ifindex,
        attach_type: BPF_XDP,
        flags,
    };
    let fd = command(BPF_LINK_CREATE, &mut attr)?;
    // SAFETY: BPF_LINK_CREATE returns a descriptor that nobody else owns (close-on-exec by itself).
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// The interface that a link attaches its program to; 0 when somebody has detached it, or the interface is gone.
pub fn link_ifindex(link: BorrowedFd<'_>) -> io::Result<u32> {
    let mut info = LinkInfo::default();
    let mut attr = InfoByFd {
        fd: link.as_raw_fd() as u32,
        bytes: size_of::<LinkInfo>() as u32,
        info: &raw mut info as u64,
    };
    command(BPF_OBJ_GET_INFO_BY_FD, &mut attr)?;
    Ok(info.ifindex)
}

/// Runs an XDP program once on `packet`, which must have at least 14 bytes. Returns what the program returned.
pub fn test_run(program: BorrowedFd<'_>, packet: &[u8]) -> io::Result<u32> {
    let mut attr = TestRun {
        program: program.as_raw_fd() as u32,
        data_in: packet.as_ptr() as u64,
        data_in_bytes: packet.len() as u32,
        repeat: 1,
        ..TestRun::default()
    };
    command(BPF_PROG_TEST_RUN, &mut attr)?;
    Ok(attr.returned)
}

fn command<T>(command: libc::c_int, attr: &mut T) -> io::Result<libc::c_int> {
    // SAFETY: the kernel reads and writes at most size_of::<T>() bytes of `attr`, and what its addresses point at
    // outlives the call.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, &raw mut *attr, size_of::<T>()) };
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result as libc::c_int)
    }
}
