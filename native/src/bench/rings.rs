//! The two ends of a kernel ring in the arena: free-running indices, acquire and release at the shared ones.

use std::{
    marker::PhantomData,
    sync::atomic::{AtomicU32, Ordering},
};

use crate::{
    error::{Result, argument},
    layout::RING_NEED_WAKEUP,
    memory::Memory,
    options::Socket,
    ring::Ring,
};

/// `struct xdp_desc`: one packet of RX and TX.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Packet {
    /// Offset into the frames.
    pub address: u64,
    /// Bytes.
    pub length: u32,
    /// `XDP_PKT_*`.
    pub options: u32,
}

// include/uapi/linux/if_xdp.h
const _: () = assert!(size_of::<Packet>() == 16);

/// What both ends know. `D` is the descriptor: [`Packet`], or `u64` for FILL and COMPLETION.
struct Shared<D> {
    producer: *const AtomicU32,
    consumer: *const AtomicU32,
    flags: *const AtomicU32,
    descriptors: *mut D,
    mask: u32,
}

impl<D> Shared<D> {
    fn new(memory: Memory, ring: &Ring) -> Result<Self> {
        let word = |offset: u32| -> Result<*const AtomicU32> {
            let region = memory.region("ring", f64::from(offset), 4.0, 4)?;
            Ok(region.address as *const AtomicU32)
        };
        let bytes = (f64::from(ring.mask) + 1.0) * size_of::<D>() as f64;
        let descriptors =
            memory.region("ring", f64::from(ring.descriptors), bytes, align_of::<D>() as u32)?;
        Ok(Self {
            producer: word(ring.producer)?,
            consumer: word(ring.consumer)?,
            flags: word(ring.flags)?,
            descriptors: descriptors.address as *mut D,
            mask: ring.mask,
        })
    }

    /// The descriptor at a free-running index.
    fn at(&self, index: u32) -> *mut D {
        self.descriptors.wrapping_add((index & self.mask) as usize)
    }
}

/// The end that takes: of RX and COMPLETION.
pub struct Consumer<D> {
    shared: Shared<D>,
    next: u32,
    descriptor: PhantomData<D>,
}

/// The end that gives: of TX and FILL.
pub struct Producer<D> {
    shared: Shared<D>,
    next: u32,
}

impl<D: Copy> Consumer<D> {
    fn new(memory: Memory, ring: &Ring) -> Result<Self> {
        let shared = Shared::new(memory, ring)?;
        // SAFETY: checked to lie in the arena, aligned; the kernel shares it as an atomic word.
        let next = unsafe { &*shared.consumer }.load(Ordering::Relaxed);
        Ok(Self {
            shared,
            next,
            descriptor: PhantomData,
        })
    }

    /// Entries to take.
    #[inline(always)]
    pub fn available(&self) -> u32 {
        // SAFETY: as in `new`.
        unsafe { &*self.shared.producer }
            .load(Ordering::Acquire)
            .wrapping_sub(self.next)
    }

    /// The entry `index` places on, below `available()`.
    #[inline(always)]
    pub fn get(&self, index: u32) -> D {
        // SAFETY: the mask keeps it in the ring, which was checked to lie in the arena; any bytes are a D.
        unsafe { self.shared.at(self.next.wrapping_add(index)).read() }
    }

    /// Gives `count` entries back.
    #[inline(always)]
    pub fn release(&mut self, count: u32) {
        self.next = self.next.wrapping_add(count);
        // SAFETY: as in `new`.
        unsafe { &*self.shared.consumer }.store(self.next, Ordering::Release);
    }
}

impl<D: Copy> Producer<D> {
    fn new(memory: Memory, ring: &Ring) -> Result<Self> {
        let shared = Shared::new(memory, ring)?;
        // SAFETY: checked to lie in the arena, aligned; the kernel shares it as an atomic word.
        let next = unsafe { &*shared.producer }.load(Ordering::Relaxed);
        Ok(Self { shared, next })
    }

    /// Entries that the other end has not taken.
    #[inline(always)]
    pub fn pending(&self) -> u32 {
        // SAFETY: as in `new`.
        self.next
            .wrapping_sub(unsafe { &*self.shared.consumer }.load(Ordering::Acquire))
    }

    /// Room for entries.
    #[inline(always)]
    pub fn free(&self) -> u32 {
        self.shared.mask + 1 - self.pending()
    }

    /// Writes the entry `index` places on, below `free()`.
    #[inline(always)]
    pub fn put(&mut self, index: u32, descriptor: D) {
        // SAFETY: the mask keeps it in the ring, which was checked to lie in the arena.
        unsafe { self.shared.at(self.next.wrapping_add(index)).write(descriptor) };
    }

    /// Hands over `count` written entries.
    #[inline(always)]
    pub fn submit(&mut self, count: u32) {
        self.next = self.next.wrapping_add(count);
        // SAFETY: as in `new`.
        unsafe { &*self.shared.producer }.store(self.next, Ordering::Release);
    }

    /// Whether the kernel wants a system call.
    #[inline(always)]
    pub fn needs_wakeup(&self) -> bool {
        // SAFETY: as in `new`.
        unsafe { &*self.shared.flags }.load(Ordering::Relaxed) & RING_NEED_WAKEUP != 0
    }
}

/// The four rings of a queue's first socket, and the socket.
pub struct Rings {
    /// Received packets.
    pub rx: Consumer<Packet>,
    /// Packets to send.
    pub tx: Producer<Packet>,
    /// Empty frames.
    pub fill: Producer<u64>,
    /// Sent frames.
    pub completion: Consumer<u64>,
    /// Descriptor, to kick and to wait.
    pub fd: i32,
}

// SAFETY: the pointers are into the arena, which whoever sends this keeps alive (see `Sender`), and are used from
// one thread at a time.
unsafe impl Send for Rings {}

impl Rings {
    /// Our end of the rings of `socket`, which nobody else may be using.
    pub fn new(memory: Memory, socket: &Socket) -> Result<Self> {
        let (Some(fill), Some(completion)) = (&socket.fill, &socket.completion) else {
            return Err(argument(
                "socket",
                socket.fd,
                "the first of its queue, with FILL and COMPLETION",
            ));
        };
        Ok(Self {
            rx: Consumer::new(memory, &socket.rx)?,
            tx: Producer::new(memory, &socket.tx)?,
            fill: Producer::new(memory, fill)?,
            completion: Consumer::new(memory, completion)?,
            fd: socket.fd,
        })
    }
}
