//! The packet with a given sequence number, so that whoever gets it back can tell every byte of it.
//!
//! ```text
//!   template                     │ source port │ template │ sequence u64 │ pattern …                     │
//!                                  flow                      little-endian  word i = (sequence + i) × C
//! ```
//!
//! The flow is sequence mod flows. Headers and checksums stay as in the template: use UDP with checksum 0.

use crate::error::{Result, argument};

const SEQUENCE_BYTES: usize = 8;
const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;
/// A source port has 16 bits.
const MOST_FLOWS: u32 = 1 << 16;

/// What does not change from packet to packet.
pub struct Template {
    /// The whole packet.
    pub bytes: Vec<u8>,
    /// Offset of the source port.
    port: usize,
    /// Offset of the sequence number.
    sequence: usize,
    flows: u32,
    /// How much further back both lie in what is received: the bytes of a tunnel's headers.
    shift: usize,
}

impl Template {
    /// Checks that everything lies inside the packet.
    pub fn new(bytes: Vec<u8>, port: u32, sequence: u32, flows: u32, shift: u32) -> Result<Self> {
        let (port, sequence) = (port as usize, sequence as usize);
        if flows == 0 || flows > MOST_FLOWS {
            return Err(argument("flows", flows, format_args!("1 to {MOST_FLOWS}")));
        }
        if port + 2 > sequence {
            return Err(argument(
                "portOffset",
                port,
                format_args!("before the payload at {sequence}"),
            ));
        }
        if sequence + SEQUENCE_BYTES > bytes.len() {
            let expected = format!(
                "{SEQUENCE_BYTES} bytes before the template's end at {}",
                bytes.len()
            );
            return Err(argument("payloadOffset", sequence, expected));
        }
        Ok(Self {
            bytes,
            port,
            sequence,
            flows,
            shift: shift as usize,
        })
    }

    /// Turns a copy of the template into the packet `sequence`.
    #[inline(always)]
    pub fn stamp(&self, packet: &mut [u8], sequence: u64) {
        packet[self.port..self.port + 2].copy_from_slice(&self.flow_port(sequence));
        let (number, pattern) = packet[self.sequence..].split_at_mut(SEQUENCE_BYTES);
        number.copy_from_slice(&sequence.to_le_bytes());
        for (index, part) in pattern.chunks_mut(8).enumerate() {
            part.copy_from_slice(&word(sequence, index)[..part.len()]);
        }
    }

    /// Whether a received packet is one of the first `sent`, unchanged from the source port on.
    #[inline(always)]
    pub fn matches(&self, packet: &[u8], sent: u64) -> bool {
        let start = self.sequence + self.shift;
        let (Some(port), Some(payload)) = (
            packet.get(self.port + self.shift..self.port + self.shift + 2),
            packet.get(start..self.bytes.len() + self.shift),
        ) else {
            return false;
        };
        let (number, pattern) = payload.split_at(SEQUENCE_BYTES);
        let sequence = number
            .iter()
            .rev()
            .fold(0u64, |value, byte| value << 8 | u64::from(*byte));
        sequence < sent
            && port == self.flow_port(sequence)
            && pattern
                .chunks(8)
                .enumerate()
                .all(|(index, part)| *part == word(sequence, index)[..part.len()])
    }

    fn flow_port(&self, sequence: u64) -> [u8; 2] {
        ((sequence % u64::from(self.flows)) as u16).to_be_bytes()
    }
}

/// Eight bytes of the pattern.
#[inline(always)]
fn word(sequence: u64, index: usize) -> [u8; 8] {
    sequence
        .wrapping_add(index as u64 + 1)
        .wrapping_mul(MULTIPLIER)
        .to_le_bytes()
}
