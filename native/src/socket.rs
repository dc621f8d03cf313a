//! AF_XDP sockets whose rings and frames lie in the arena.
//!
//! One queue of one interface has a first socket, which brings the frames (the UMEM), the FILL and the
//! COMPLETION ring, and any number of further ones that share them (`sharedWith`), each with its own RX and
//! TX ring. All queues register the same frames, so a frame received on one may be sent on another.
//!
//! | state    | reached by             | then                                                              |
//! |----------|------------------------|-------------------------------------------------------------------|
//! | absent   |                        | `openSocket`                                                      |
//! | open     | `openSocket`           | any thread may kick, wait and use the rings; `closeSocket` once    |
//! | absent   | `closeSocket`          | its ring slots are zeroed memory: a late reader finds empty rings |
//!
//! Forbidden: closing a queue's first socket before those that share it (they lose FILL and COMPLETION), and
//! dropping the arena with sockets open (the kernel keeps writing frames until the process ends).
//!
//! Documentation/networking/af_xdp.rst; net/xdp/xsk.c for what returns which errno.

use std::{
    collections::BTreeMap,
    os::fd::{AsRawFd, OwnedFd},
    sync::{Mutex, MutexGuard, PoisonError},
};

use napi_derive::napi;

use crate::{
    error::{Result, argument},
    interface,
    layout::PAGE,
    memory::{Mapping, Memory, Region},
    options::{Frames, Socket, SocketOptions, SocketStatistics},
    ring::{Kind, Ring, Slot},
    xsk::{self, Binding},
};

/// What an open socket holds; dropping it gives the ring slots back to the arena, then closes it.
struct Open {
    memory: Memory,
    mappings: Vec<Mapping>,
    /// Held for its drop, after the mappings.
    _socket: OwnedFd,
}

/// Open sockets of the process. A descriptor belongs to the process, not to the JavaScript thread that opened it.
static OPEN: Mutex<BTreeMap<i32, Open>> = Mutex::new(BTreeMap::new());

fn open_sockets() -> MutexGuard<'static, BTreeMap<i32, Open>> {
    OPEN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Opens an AF_XDP socket on one queue of one interface and maps its rings into the arena.
///
/// `memory` is a `Uint8Array` over the whole arena, which must stay alive until `closeSocket`. The slots for
/// the rings must be unused: what is in them is replaced. Packets arrive once the socket is in the XDP
/// program's map and the FILL ring has frames.
///
/// Throws with `code` `ERR_NATIVE_ARGUMENT` for offsets and sizes that do not fit; `EPERM` without CAP_NET_RAW;
/// `ENODEV` without such an interface; `EBUSY` when another process has the queue; `EINVAL` for a queue that
/// does not exist; `EOPNOTSUPP` when the driver has no zero-copy. In copy mode the interface may be down.
#[napi(ts_args_type = "memory: Uint8Array, options: SocketOptions")]
pub fn open_socket(memory: Memory, options: SocketOptions) -> Result<Socket> {
    let frames = frames(memory, &options.frames)?;
    let slots = slots(memory, &options)?;
    let binding = Binding {
        interface: &options.interface,
        ifindex: interface::index_of(&options.interface)?,
        queue: options.queue,
        shared_with: options.shared_with,
        mode: xsk::Mode::parse(&options.mode)?,
    };

    let fd = xsk::create()?;
    let socket = fd.as_raw_fd();
    if options.shared_with.is_none() {
        xsk::register_frames(socket, frames, options.frames.frame_bytes)?;
    }
    for slot in &slots {
        slot.declare(socket)?;
    }
    xsk::tune(socket, options.entries.tx, options.busy_poll_us);
    let offsets = xsk::ring_offsets(socket)?;
    // Built before the first mapping: an early return gives the slots back.
    let mut open = Open {
        memory,
        mappings: Vec::with_capacity(slots.len()),
        _socket: fd,
    };
    let mut rings = Vec::with_capacity(slots.len());
    for slot in &slots {
        // SAFETY: the caller promises that the slots are unused and that the arena outlives the socket;
        // close_socket checks that it is the same arena.
        let (ring, mapping) = unsafe { slot.map(socket, &offsets) }?;
        rings.push((slot.kind(), ring));
        open.mappings.push(mapping);
    }
    xsk::bind(socket, &binding)?;
    let opened = Socket {
        fd: socket,
        mode: xsk::mode_of(socket)?.to_owned(),
        rx: take(&mut rings, Kind::Rx)?,
        tx: take(&mut rings, Kind::Tx)?,
        fill: take(&mut rings, Kind::Fill).ok(),
        completion: take(&mut rings, Kind::Completion).ok(),
    };
    open_sockets().insert(socket, open);
    Ok(opened)
}

fn take(rings: &mut Vec<(Kind, Ring)>, wanted: Kind) -> Result<Ring> {
    let index = rings.iter().position(|(kind, _)| *kind == wanted);
    index
        .map(|index| rings.swap_remove(index).1)
        .ok_or_else(|| argument("rings", "incomplete", "all that were asked for"))
}

fn frames(memory: Memory, frames: &Frames) -> Result<Region> {
    let region = memory.region("frames", frames.offset, frames.bytes, PAGE)?;
    if ![2048, 4096].contains(&frames.frame_bytes) {
        return Err(argument("frameBytes", frames.frame_bytes, "2048 or 4096"));
    }
    if !region.bytes.is_multiple_of(frames.frame_bytes as usize) {
        let expected = format!("a multiple of the frame size {}", frames.frame_bytes);
        return Err(argument("frames: length", frames.bytes, expected));
    }
    Ok(region)
}

/// The rings of the socket: RX and TX, and those of the queue for its first socket only.
fn slots(memory: Memory, options: &SocketOptions) -> Result<Vec<Slot>> {
    let (rings, entries) = (&options.rings, &options.entries);
    let mut slots = vec![
        Slot::new(memory, Kind::Rx, entries.rx, rings.rx)?,
        Slot::new(memory, Kind::Tx, entries.tx, rings.tx)?,
    ];
    let queue_rings = [
        (Kind::Fill, entries.fill, rings.fill),
        (Kind::Completion, entries.completion, rings.completion),
    ];
    for (kind, entries, offset) in queue_rings {
        match (entries, offset, options.shared_with) {
            (Some(entries), Some(offset), None) => slots.push(Slot::new(memory, kind, entries, offset)?),
            (None, None, Some(_)) => {}
            (_, _, None) => {
                return Err(argument(
                    kind.name(),
                    "missing",
                    "offset and entries for the first socket of a queue",
                ));
            }
            (_, _, Some(first)) => {
                let expected = format!("none: the queue's first socket, {first}, has it");
                return Err(argument(kind.name(), "given", expected));
            }
        }
    }
    Ok(slots)
}

/// Closes a socket. Its ring slots become zeroed memory of the arena again. No worker may be using it; sockets
/// that share a queue are closed before the queue's first.
///
/// `memory` is the arena that it was opened with: proof that it still exists.
#[napi(ts_args_type = "memory: Uint8Array, fd: number")]
pub fn close_socket(memory: Memory, fd: i32) -> Result<()> {
    let mut sockets = open_sockets();
    match sockets.get(&fd) {
        None => Err(argument(
            "fd",
            fd,
            "a socket that openSocket returned and that is still open",
        )),
        Some(open) if open.memory.base() != memory.base() => Err(argument(
            "memory",
            "another",
            "the Uint8Array over the arena that the socket was opened with",
        )),
        Some(_) => {
            sockets.remove(&fd);
            Ok(())
        }
    }
}

/// What the kernel has counted for a socket.
#[napi]
pub fn socket_statistics(fd: i32) -> Result<SocketStatistics> {
    let counts = xsk::statistics(fd)?;
    Ok(SocketStatistics {
        rx_dropped: counts.rx_dropped as f64,
        rx_invalid_descriptors: counts.rx_invalid_descs as f64,
        tx_invalid_descriptors: counts.tx_invalid_descs as f64,
        rx_ring_full: counts.rx_ring_full as f64,
        rx_fill_ring_empty: counts.rx_fill_ring_empty_descs as f64,
        tx_ring_empty: counts.tx_ring_empty_descs as f64,
    })
}
