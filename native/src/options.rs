//! What `openSocket` takes and returns, as JavaScript objects.

use napi_derive::napi;

use crate::ring::Ring;

/// Where the frames lie in the arena.
#[napi(object)]
pub struct Frames {
    /// First byte, a multiple of 4096.
    pub offset: f64,
    /// A multiple of `frameBytes`.
    pub bytes: f64,
    /// Bytes of one frame: 2048 or 4096. The kernel leaves the first 256 free for headers.
    pub frame_bytes: u32,
}

/// Arena offsets of the slots for a socket's rings, multiples of 4096, `ringBytes` long each.
#[napi(object)]
pub struct RingOffsets {
    /// Received packets.
    pub rx: f64,
    /// Packets to send.
    pub tx: f64,
    /// Empty frames: only of a queue's first socket.
    pub fill: Option<f64>,
    /// Sent frames: only of a queue's first socket.
    pub completion: Option<f64>,
}

/// Entries of each ring: powers of two.
#[napi(object)]
pub struct RingEntries {
    /// Received packets.
    pub rx: u32,
    /// Packets to send.
    pub tx: u32,
    /// Empty frames: only of a queue's first socket.
    pub fill: Option<u32>,
    /// Sent frames: only of a queue's first socket.
    pub completion: Option<u32>,
}

/// What `openSocket` opens.
#[napi(object)]
pub struct SocketOptions {
    /// Name of the interface.
    pub interface: String,
    /// Its receive queue, from 0.
    pub queue: u32,
    /// The frames; the same for all sockets of an arena.
    pub frames: Frames,
    /// Where the rings go.
    pub rings: RingOffsets,
    /// How long they are.
    pub entries: RingEntries,
    /// The queue's first socket, when this is not it.
    pub shared_with: Option<i32>,
    /// `auto` takes zero-copy where the driver has it. A socket that shares takes the mode of the first.
    #[napi(ts_type = "'auto' | 'zero-copy' | 'copy'")]
    pub mode: String,
    /// Busy-poll the queue for so many microseconds at every `kick` and `busyPoll` (SO_PREFER_BUSY_POLL). Best effort.
    pub busy_poll_us: Option<u32>,
}

/// An open AF_XDP socket.
#[napi(object)]
pub struct Socket {
    /// File descriptor, for `kick`, `wait`, `setSocket`, `closeSocket`.
    pub fd: i32,
    /// The mode that the kernel chose.
    #[napi(ts_type = "'zero-copy' | 'copy'")]
    pub mode: String,
    /// Received packets.
    pub rx: Ring,
    /// Packets to send.
    pub tx: Ring,
    /// Empty frames: only of a queue's first socket.
    pub fill: Option<Ring>,
    /// Sent frames: only of a queue's first socket.
    pub completion: Option<Ring>,
}

/// Counts of the kernel since the socket was opened (`struct xdp_statistics`).
#[napi(object)]
pub struct SocketStatistics {
    /// Packets lost for other reasons: too big for a frame, mostly.
    pub rx_dropped: f64,
    /// FILL entries that are no frame.
    pub rx_invalid_descriptors: f64,
    /// TX entries that are no frame.
    pub tx_invalid_descriptors: f64,
    /// Packets lost because the RX ring was full: the worker is too slow.
    pub rx_ring_full: f64,
    /// Times that the FILL ring was empty: frames are missing.
    pub rx_fill_ring_empty: f64,
    /// Times that the TX ring was empty when the kernel looked.
    pub tx_ring_empty: f64,
}
