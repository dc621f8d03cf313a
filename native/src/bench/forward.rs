//! The limit: what native code does with one AF_XDP socket.

use std::time::{Duration, Instant};

use napi_derive::napi;

use crate::{
    bench::rings::Rings,
    error::{Result, argument},
    layout::BATCH,
    memory::Memory,
    options::{Frames, Socket},
    wake,
};

/// Longest wait for a packet: how late the end of the time may be noticed.
const WAIT_US: i32 = 1000;
/// Packets whose headers are loaded ahead.
const AHEAD: u32 = 8;

/// Forwards from RX to TX of one socket for `millis` milliseconds, MAC addresses swapped, in batches of 64, and
/// returns how many packets. Blocks the calling thread.
///
/// `socket` is the first of its queue, with frames in its FILL ring, and nobody else uses it. After `idleSpins`
/// passes without a packet the thread waits in ppoll(2), as a worker does.
#[napi(
    ts_args_type = "memory: Uint8Array, socket: Socket, frames: Frames, millis: number, idleSpins: number"
)]
pub fn native_forward(
    memory: Memory,
    socket: Socket,
    frames: Frames,
    millis: u32,
    idle_spins: u32,
) -> Result<f64> {
    let region = memory.region("frames", frames.offset, frames.bytes, 1)?;
    if socket.fd < 0 {
        return Err(argument("fd", socket.fd, "an open socket"));
    }
    let mut rings = Rings::new(memory, &socket)?;
    let end = Instant::now() + Duration::from_millis(u64::from(millis));
    let (mut forwarded, mut idle) = (0u64, 0u32);
    while Instant::now() < end {
        recycle(&mut rings);
        // SAFETY: the frames lie in the arena, and the addresses are the kernel's: inside them.
        let count = unsafe { pass(&mut rings, region.address as *mut u8) };
        forwarded += u64::from(count);
        if rings.tx.pending() > 0 && rings.tx.needs_wakeup() {
            wake::kick(rings.fd);
        }
        idle = if count > 0 { 0 } else { idle + 1 };
        if idle > idle_spins {
            wake::wait(&[rings.fd], -1, WAIT_US)?;
            idle = 0;
        }
    }
    recycle(&mut rings);
    Ok(forwarded as f64)
}

/// Moves sent frames from COMPLETION to FILL.
#[inline(always)]
fn recycle(rings: &mut Rings) {
    let count = rings.completion.available();
    if count == 0 {
        return;
    }
    let count = count.min(rings.fill.free());
    for index in 0..count {
        rings.fill.put(index, rings.completion.get(index));
    }
    rings.completion.release(count);
    rings.fill.submit(count);
}

/// One batch from RX to TX. Returns its size.
///
/// # Safety
///
/// `frames` is the address of the frames, and the descriptors of RX lie inside them.
#[inline(always)]
unsafe fn pass(rings: &mut Rings, frames: *mut u8) -> u32 {
    let available = rings.rx.available();
    if available == 0 {
        return 0;
    }
    let count = available.min(BATCH).min(rings.tx.free());
    for index in 0..count {
        if index + AHEAD < count {
            prefetch(frames.wrapping_add(rings.rx.get(index + AHEAD).address as usize));
        }
        let packet = rings.rx.get(index);
        // SAFETY: the packet lies inside the frames, and a frame has room for 12 bytes.
        unsafe { swap_macs(frames.add(packet.address as usize)) };
        rings.tx.put(index, packet);
    }
    rings.rx.release(count);
    rings.tx.submit(count);
    count
}

/// Exchanges the first six bytes with the next six: two loads, two stores.
///
/// # Safety
///
/// Twelve bytes at `packet` may be read and written.
#[inline(always)]
unsafe fn swap_macs(packet: *mut u8) {
    let (first, last) = (packet.cast::<u64>(), packet.wrapping_add(8).cast::<u32>());
    // SAFETY: the caller's promise; unaligned accesses are spelled so.
    unsafe {
        let low = u64::from_le(first.read_unaligned());
        let high = u64::from(u32::from_le(last.read_unaligned()));
        let source = low >> 48 | high << 16;
        first.write_unaligned((source | low << 48).to_le());
        last.write_unaligned(((low >> 16) as u32).to_le());
    }
}

#[inline(always)]
fn prefetch(address: *const u8) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a hint, which may point anywhere.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(address.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}
