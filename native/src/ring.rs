//! One ring of an AF_XDP socket, mapped at a given place in the arena.
//!
//! ```text
//!   slot (page-aligned, ring_bytes long)
//!   ├─ producer ─┬─ consumer ─┬─ flags ─┬─ descriptors, entries × 8 or 16 bytes ──┬─ rest of the page ─┤
//! ```
//!
//! The kernel alone knows where the four parts lie (`XDP_MMAP_OFFSETS`); the header has always been below a
//! page, so a slot is the descriptors and one page. Documentation/networking/af_xdp.rst.

use napi_derive::napi;

use crate::{
    error::{Result, argument, system},
    layout::{FRAME_DESCRIPTOR_BYTES, PACKET_DESCRIPTOR_BYTES, PAGE},
    memory::{Mapping, Memory},
    xsk,
};

/// The most entries of one ring: more would not fit the arena's 32-bit offsets beside anything else.
const MOST_ENTRIES: u32 = 1 << 20;

/// Where the parts of a mapped ring are: offsets into the arena, and the number of entries − 1.
#[napi(object)]
#[derive(Clone)]
pub struct Ring {
    /// Free-running index of the next entry to produce, u32.
    pub producer: u32,
    /// Free-running index of the next entry to consume, u32.
    pub consumer: u32,
    /// `XDP_RING_NEED_WAKEUP`, u32.
    pub flags: u32,
    /// First descriptor.
    pub descriptors: u32,
    /// Entries − 1.
    pub mask: u32,
}

/// The four rings, as the kernel numbers them.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Received packets, from the kernel.
    Rx,
    /// Packets to send, to the kernel.
    Tx,
    /// Empty frames, to the kernel.
    Fill,
    /// Sent frames, from the kernel.
    Completion,
}

impl Kind {
    /// As errors call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Rx => "RX ring",
            Self::Tx => "TX ring",
            Self::Fill => "FILL ring",
            Self::Completion => "COMPLETION ring",
        }
    }

    fn size_option(self) -> libc::c_int {
        match self {
            Self::Rx => libc::XDP_RX_RING,
            Self::Tx => libc::XDP_TX_RING,
            Self::Fill => libc::XDP_UMEM_FILL_RING,
            Self::Completion => libc::XDP_UMEM_COMPLETION_RING,
        }
    }

    fn page_offset(self) -> libc::off_t {
        match self {
            Self::Rx => libc::XDP_PGOFF_RX_RING,
            Self::Tx => libc::XDP_PGOFF_TX_RING,
            Self::Fill => libc::XDP_UMEM_PGOFF_FILL_RING as libc::off_t,
            Self::Completion => libc::XDP_UMEM_PGOFF_COMPLETION_RING as libc::off_t,
        }
    }

    fn descriptor_bytes(self) -> u32 {
        match self {
            Self::Rx | Self::Tx => PACKET_DESCRIPTOR_BYTES,
            Self::Fill | Self::Completion => FRAME_DESCRIPTOR_BYTES,
        }
    }
}

/// Bytes to reserve in the arena for a ring of `entries` descriptors of `descriptorBytes` (16 for RX and TX,
/// 8 for FILL and COMPLETION): whole pages.
#[napi]
pub fn ring_bytes(entries: u32, descriptor_bytes: u32) -> f64 {
    slot_bytes(entries, descriptor_bytes) as f64
}

fn slot_bytes(entries: u32, descriptor_bytes: u32) -> u64 {
    (u64::from(entries) * u64::from(descriptor_bytes)).next_multiple_of(u64::from(PAGE)) + u64::from(PAGE)
}

/// A ring that is wanted: which, how long, and where in the arena. Checked when built.
pub struct Slot {
    kind: Kind,
    entries: u32,
    offset: u32,
    bytes: usize,
    address: usize,
}

impl Slot {
    /// Checks place and size.
    pub fn new(memory: Memory, kind: Kind, entries: u32, offset: f64) -> Result<Self> {
        let name = kind.name();
        if !entries.is_power_of_two() || entries > MOST_ENTRIES {
            let expected = format!("a power of two up to {MOST_ENTRIES}");
            return Err(argument(&format!("{name}: entries"), entries, expected));
        }
        let bytes = slot_bytes(entries, kind.descriptor_bytes());
        let region = memory.region(name, offset, bytes as f64, PAGE)?;
        Ok(Self {
            kind,
            entries,
            offset: offset as u32,
            bytes: region.bytes,
            address: region.address,
        })
    }

    /// Which ring it is for.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Tells the socket how long the ring is: before [`Slot::map`].
    pub fn declare(&self, socket: libc::c_int) -> Result<()> {
        let result = xsk::set_option(socket, libc::SOL_XDP, self.kind.size_option(), &self.entries);
        result.map_err(|error| {
            let what = format!("creating the {} with {} entries", self.kind.name(), self.entries);
            system(what, &error, "fewer entries may fit")
        })
    }

    /// Maps the ring over its slot.
    ///
    /// # Safety
    ///
    /// Nobody uses the slot, and the arena outlives the mapping (see [`Mapping::over`]).
    pub unsafe fn map(
        &self,
        socket: libc::c_int,
        offsets: &libc::xdp_mmap_offsets,
    ) -> Result<(Ring, Mapping)> {
        let name = self.kind.name();
        let parts = match self.kind {
            Kind::Rx => &offsets.rx,
            Kind::Tx => &offsets.tx,
            Kind::Fill => &offsets.fr,
            Kind::Completion => &offsets.cr,
        };
        let bytes = parts.desc as usize + self.entries as usize * self.kind.descriptor_bytes() as usize;
        if bytes > self.bytes {
            let expected = format!(
                "at most {} bytes, as ringBytes() says: this kernel's rings are new to us",
                self.bytes
            );
            return Err(argument(name, format_args!("{bytes} bytes"), expected));
        }
        // SAFETY: the slot was checked to lie in the arena and is not exceeded; the rest is the caller's promise.
        let mapping = unsafe { Mapping::over(self.address, bytes, socket, self.kind.page_offset()) }
            .map_err(|error| system(format_args!("mapping the {name} into the arena"), &error, ""))?;
        let ring = Ring {
            producer: self.offset + parts.producer as u32,
            consumer: self.offset + parts.consumer as u32,
            flags: self.offset + parts.flags as u32,
            descriptors: self.offset + parts.desc as u32,
            mask: self.entries - 1,
        };
        Ok((ring, mapping))
    }
}
