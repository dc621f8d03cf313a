//! Kick, wait, and events: the system calls of the packet loop.
//!
//! A call from JavaScript or WebAssembly costs about 60 ns before any work: once per batch, never per packet.
//! Numbers in, a number out; nothing here allocates.

use std::{io, ptr};

use napi_derive::napi;

use crate::{
    error::{Result, argument, last},
    layout::MAX_PORTS,
};

/// Most `sendto` calls of one kick. In copy mode one call sends 32 packets (64 with XDP_MAX_TX_SKB_BUDGET)
/// and then returns EAGAIN; what is left after these goes with the next kick.
const MOST_SENDS: u32 = 8;

/// Most sockets of one wait.
const MOST_SOCKETS: usize = MAX_PORTS as usize;

/// Tells the kernel that a socket's TX ring has packets. Call it when the ring's flags ask for it
/// (`RING_NEED_WAKEUP`), until the ring is empty.
///
/// Returns 0, or the errno that stopped it: EAGAIN (11) and EBUSY (16) mean that packets are left in the ring and
/// are worth another kick; ENETDOWN (100) that the interface is down; EBADF (9) that the socket is closed.
#[napi]
pub fn kick(fd: i32) -> i32 {
    let mut errno = 0;
    for _ in 0..MOST_SENDS {
        // SAFETY: no buffer and no address are passed. A closed descriptor is an errno like any other.
        let sent = unsafe { libc::sendto(fd, ptr::null(), 0, libc::MSG_DONTWAIT, ptr::null(), 0) };
        if sent >= 0 {
            return 0;
        }
        errno = last_errno();
        if errno != libc::EAGAIN && errno != libc::EBUSY && errno != libc::EINTR {
            break;
        }
    }
    errno
}

/// Lets the kernel receive what waits at the NIC queues of sockets, in this thread, for sockets that were opened with `busyPollUs`
/// (`recvfrom` on an AF_XDP socket, net/xdp/xsk.c: it takes no packet). Does nothing for others, and where the driver has no NAPI.
#[napi]
pub fn busy_poll(sockets: &[i32]) {
    for fd in sockets {
        // SAFETY: no buffer and no address are passed. Whatever it returns, the RX ring says what has come.
        unsafe {
            libc::recvfrom(
                *fd,
                ptr::null_mut(),
                0,
                libc::MSG_DONTWAIT,
                ptr::null_mut(),
                ptr::null_mut(),
            )
        };
    }
}

/// Waits until a socket has received, the event was signalled, or the time is over. Lets the kernel refill and
/// transmit on the way, as poll(2) on an AF_XDP socket does.
///
/// `sockets` are descriptors, at most 64, negative ones are skipped; `event` comes from `createEvent`, or is −1;
/// `timeoutUs` is in microseconds, 0 does not wait, a negative one waits for ever. The event is drained.
///
/// Returns the number of descriptors that are ready, the event among them; 0 when the time is over or a
/// signal came.
#[napi]
pub fn wait(sockets: &[i32], event: i32, timeout_us: i32) -> Result<u32> {
    if sockets.len() > MOST_SOCKETS {
        return Err(argument(
            "sockets",
            format_args!("{} long", sockets.len()),
            format_args!("at most {MOST_SOCKETS}"),
        ));
    }
    let mut polled = [libc::pollfd {
        fd: -1,
        events: libc::POLLIN,
        revents: 0,
    }; MOST_SOCKETS + 1];
    polled[0].fd = event;
    for (slot, fd) in polled[1..].iter_mut().zip(sockets) {
        slot.fd = *fd;
    }
    let timeout = libc::timespec {
        tv_sec: libc::time_t::from(timeout_us / 1_000_000),
        tv_nsec: libc::c_long::from(timeout_us % 1_000_000) * 1000,
    };
    let timeout = if timeout_us < 0 {
        ptr::null()
    } else {
        &raw const timeout
    };
    let count = sockets.len() as libc::nfds_t + 1;
    // SAFETY: `count` entries of a local array; the timeout is null or a local; the signal mask stays.
    let ready = unsafe { libc::ppoll(polled.as_mut_ptr(), count, timeout, ptr::null()) };
    if ready < 0 {
        if last_errno() == libc::EINTR {
            return Ok(0);
        }
        return Err(last("waiting for packets", |_| ""));
    }
    if polled[0].revents & libc::POLLIN != 0 {
        let mut count = 0u64;
        // SAFETY: an eventfd yields exactly eight bytes; it does not block.
        unsafe { libc::read(event, (&raw mut count).cast(), size_of::<u64>()) };
    }
    Ok(ready as u32)
}

/// A new event (eventfd(2)) that `wait` takes and `signalEvent` signals, from any thread of the process.
#[napi]
pub fn create_event() -> Result<i32> {
    // SAFETY: no pointers.
    match unsafe { libc::eventfd(0, libc::EFD_NONBLOCK | libc::EFD_CLOEXEC) } {
        -1 => Err(last("creating an event", |_| "`ulimit -n` limits the open files")),
        fd => Ok(fd),
    }
}

/// Wakes whoever waits with this event, now or next.
#[napi]
pub fn signal_event(fd: i32) -> Result<()> {
    let one = 1u64;
    // SAFETY: eight bytes of a local. A full counter (EAGAIN) is signalled already.
    let written = unsafe { libc::write(fd, (&raw const one).cast(), size_of::<u64>()) };
    if written < 0 && last_errno() != libc::EAGAIN {
        return Err(last(format_args!("signalling event {fd}"), |_| "was it closed?"));
    }
    Ok(())
}

/// Closes an event. Nobody may be waiting with it.
#[napi]
pub fn close_event(fd: i32) -> Result<()> {
    // SAFETY: the caller owns the descriptor, as createEvent gave it.
    if unsafe { libc::close(fd) } != 0 {
        return Err(last(
            format_args!("closing event {fd}"),
            |_| "was it closed before?",
        ));
    }
    Ok(())
}

fn last_errno() -> i32 {
    io::Error::last_os_error().raw_os_error().unwrap_or(0)
}
