//! A thread that sends as fast as its socket takes, or at a given rate, and checks what comes back.
//!
//! | state    | reached by                              | then                                     |
//! |----------|-----------------------------------------|------------------------------------------|
//! | sending  | `startSender`                           | until its time is over or `stop`         |
//! | draining | the time is over                        | until nothing has come for 100 ms        |
//! | done     | drained, or `stop`                      | the socket may be closed after `stop`    |
//!
//! The frames of its arena are its own: the first half receives, the second half sends.

use std::{
    slice,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{JoinHandle, spawn},
    time::{Duration, Instant},
};

use napi::bindgen_prelude::Uint8Array;
use napi_derive::napi;

use crate::{
    bench::{
        payload::Template,
        rings::{Packet, Rings},
    },
    error::{Result, argument},
    layout::{BATCH, HEADROOM},
    memory::{Memory, Region},
    options::{Frames, Socket},
    thread, wake,
};

/// Silence after which nothing more is expected.
const SILENCE: Duration = Duration::from_millis(100);
/// Wait for a packet when there is nothing to send.
const WAIT_US: i32 = 1000;

/// What a sender sends.
#[napi(object)]
pub struct SenderOptions {
    /// The packet, Ethernet header first. Its bytes stay but for the port and the payload.
    pub template: Uint8Array,
    /// Offset of the source port.
    pub port_offset: u32,
    /// Offset of the payload: at least 8 bytes up to the template's end.
    pub payload_offset: u32,
    /// Source ports: 1 to 65536, one per packet in turn.
    pub flows: u32,
    /// Bytes of the headers that a tunnel has put in front of what comes back. Default 0.
    pub returned_shift: Option<u32>,
    /// Sends for so long.
    pub millis: u32,
    /// Packets per second; 0, the default, is as many as go.
    pub rate: Option<f64>,
    /// Processor to run on.
    pub cpu: Option<u32>,
}

/// Counts of a sender so far.
#[napi(object)]
pub struct SenderStatistics {
    /// Handed to the kernel.
    pub sent: f64,
    /// Came back.
    pub received: f64,
    /// Of those, not what was sent: changed, cut short, or never sent.
    pub corrupted: f64,
    /// Milliseconds from the first to the last packet sent.
    pub sending_ms: f64,
    /// Milliseconds from the first packet sent to the last one back.
    pub receiving_ms: f64,
    /// Whether the thread has ended.
    pub done: bool,
}

#[derive(Default)]
struct Counts {
    stop: AtomicBool,
    done: AtomicBool,
    sent: AtomicU64,
    received: AtomicU64,
    corrupted: AtomicU64,
    sending_us: AtomicU64,
    receiving_us: AtomicU64,
}

/// A running sender.
#[napi]
pub struct Sender {
    counts: Arc<Counts>,
    thread: Option<JoinHandle<()>>,
    /// Keeps the arena alive while the thread uses it.
    _memory: Uint8Array,
}

/// Starts a sender on a socket of an arena of its own. The socket is the first of its queue, its rings are empty
/// and nobody else uses it; the XDP program of its interface redirects what comes back to it.
#[napi(ts_args_type = "memory: Uint8Array, socket: Socket, frames: Frames, options: SenderOptions")]
pub fn start_sender(
    memory: Uint8Array,
    socket: Socket,
    frames: Frames,
    options: SenderOptions,
) -> Result<Sender> {
    let arena = Memory::of(&memory);
    let region = arena.region("frames", frames.offset, frames.bytes, 1)?;
    let template = Template::new(
        options.template.to_vec(),
        options.port_offset,
        options.payload_offset,
        options.flows,
        options.returned_shift.unwrap_or(0),
    )?;
    let room = frames.frame_bytes.saturating_sub(HEADROOM) as usize;
    if template.bytes.len() > room {
        return Err(argument(
            "template",
            template.bytes.len(),
            format_args!("at most {room} bytes"),
        ));
    }
    let counts = Arc::new(Counts::default());
    let mut run = Run {
        rings: Rings::new(arena, &socket)?,
        frames: region,
        frame_bytes: frames.frame_bytes as usize,
        free: Vec::new(),
        template,
        rate: options.rate.unwrap_or(0.0),
        counts: Arc::clone(&counts),
    };
    run.prepare();
    let (time, cpu) = (Duration::from_millis(u64::from(options.millis)), options.cpu);
    let thread = spawn(move || {
        // Slower where it is refused, not wrong.
        let _ = cpu.map(thread::pin_thread);
        run.work(time);
        run.counts.done.store(true, Ordering::Release);
    });
    Ok(Sender {
        counts,
        thread: Some(thread),
        _memory: memory,
    })
}

#[napi]
impl Sender {
    /// Counts so far.
    #[napi]
    pub fn stats(&self) -> SenderStatistics {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed) as f64;
        SenderStatistics {
            done: self.counts.done.load(Ordering::Acquire),
            sent: count(&self.counts.sent),
            received: count(&self.counts.received),
            corrupted: count(&self.counts.corrupted),
            sending_ms: count(&self.counts.sending_us) / 1000.0,
            receiving_ms: count(&self.counts.receiving_us) / 1000.0,
        }
    }

    /// Ends the thread, at the latest after a millisecond, and returns the last counts. May be called again.
    #[napi]
    pub fn stop(&mut self) -> SenderStatistics {
        self.counts.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A panicking thread has done its harm; its counts are still true.
            let _ = thread.join();
        }
        self.stats()
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The thread's own state.
struct Run {
    rings: Rings,
    frames: Region,
    frame_bytes: usize,
    /// Frames to send from, by address.
    free: Vec<u64>,
    template: Template,
    rate: f64,
    counts: Arc<Counts>,
}

impl Run {
    /// Gives the first half of the frames to the kernel and writes the template into the others.
    fn prepare(&mut self) {
        let count = self.frames.bytes / self.frame_bytes;
        let receiving = (count / 2).min(self.rings.fill.free() as usize);
        for frame in 0..receiving {
            self.rings
                .fill
                .put(frame as u32, (frame * self.frame_bytes) as u64);
        }
        self.rings.fill.submit(receiving as u32);
        for frame in count / 2..count {
            let address = (frame * self.frame_bytes) as u64 + u64::from(HEADROOM);
            let bytes = &self.template.bytes;
            // SAFETY: no ring has had this frame; the caller of `start_sender` holds the memory.
            unsafe { packet(self.frames, address, bytes.len()) }.copy_from_slice(bytes);
            self.free.push(address);
        }
    }

    fn work(&mut self, time: Duration) {
        let start = Instant::now();
        let mut last_received = start;
        let elapsed_us = |start: Instant| start.elapsed().as_micros() as u64;
        while !self.counts.stop.load(Ordering::Relaxed) {
            let sending = start.elapsed() < time;
            let sent = if sending { self.send(start) } else { 0 };
            if sent > 0 {
                self.counts.sending_us.store(elapsed_us(start), Ordering::Relaxed);
            }
            if self.rings.tx.pending() > 0 && self.rings.tx.needs_wakeup() {
                wake::kick(self.rings.fd);
            }
            self.reclaim();
            let received = self.receive();
            if received > 0 {
                last_received = Instant::now();
                self.counts
                    .receiving_us
                    .store(elapsed_us(start), Ordering::Relaxed);
            } else if !sending && last_received.elapsed() > SILENCE && start.elapsed() > time + SILENCE {
                return;
            }
            if sent == 0 && received == 0 {
                let _ = wake::wait(&[self.rings.fd], -1, if sending { 0 } else { WAIT_US });
            }
        }
    }

    /// Puts a batch into TX, as far as there are frames, room and permission by the rate. Returns its size.
    fn send(&mut self, start: Instant) -> u32 {
        let sent = self.counts.sent.load(Ordering::Relaxed);
        let mut count = BATCH.min(self.rings.tx.free()).min(self.free.len() as u32);
        if self.rate > 0.0 {
            let due = (start.elapsed().as_secs_f64() * self.rate) as u64;
            count = count.min(due.saturating_sub(sent).min(u64::from(BATCH)) as u32);
        }
        let length = self.template.bytes.len();
        for index in 0..count {
            let Some(address) = self.free.pop() else { break };
            // SAFETY: the frame is on the list of free ones; the `Sender` keeps the memory until this thread has ended.
            let packet = unsafe { packet(self.frames, address, length) };
            self.template.stamp(packet, sent + u64::from(index));
            self.rings.tx.put(
                index,
                Packet {
                    address,
                    length: length as u32,
                    options: 0,
                },
            );
        }
        // Before the packets can come back.
        self.counts.sent.store(sent + u64::from(count), Ordering::Relaxed);
        self.rings.tx.submit(count);
        count
    }

    /// Takes sent frames back.
    fn reclaim(&mut self) {
        let count = self.rings.completion.available();
        self.free
            .extend((0..count).map(|index| self.rings.completion.get(index)));
        self.rings.completion.release(count);
    }

    /// Checks what came and returns the frames. Returns how many packets.
    fn receive(&mut self) -> u32 {
        let count = self.rings.rx.available().min(self.rings.fill.free());
        if count == 0 {
            return 0;
        }
        let sent = self.counts.sent.load(Ordering::Relaxed);
        let mut corrupted = 0;
        for index in 0..count {
            let Packet { address, length, .. } = self.rings.rx.get(index);
            // SAFETY: RX gave the frame and FILL does not have it yet; the `Sender` keeps the memory.
            let packet = unsafe { packet(self.frames, address, length as usize) };
            if !self.template.matches(packet, sent) {
                corrupted += 1;
            }
            self.rings.fill.put(index, address);
        }
        self.rings.rx.release(count);
        self.rings.fill.submit(count);
        self.counts
            .received
            .fetch_add(u64::from(count), Ordering::Relaxed);
        self.counts.corrupted.fetch_add(corrupted, Ordering::Relaxed);
        count
    }
}

/// The bytes of a packet; none when it is not inside the frames, which the kernel never says.
///
/// # Safety
///
/// The frames are alive as long as the result, and the frame is the caller's alone: taken from a ring, not yet
/// put into one.
unsafe fn packet<'a>(frames: Region, address: u64, length: usize) -> &'a mut [u8] {
    let start = address as usize;
    if start > frames.bytes || length > frames.bytes - start {
        return &mut [];
    }
    // SAFETY: inside the frames; the rest is the caller's promise.
    unsafe { slice::from_raw_parts_mut((frames.address + start) as *mut u8, length) }
}
