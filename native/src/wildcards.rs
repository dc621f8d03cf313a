//! Services of more than one address or port, as the XDP program looks them up: `bpf/services.h`.

use aya::maps::{
    MapData,
    lpm_trie::{Key, LpmTrie},
};
use napi_derive::napi;

use crate::{
    error::{Result, argument},
    program::{XdpProgram, removed},
    refusal::map_refused,
};

/// `struct prefix_key`, `struct wildcard` and `struct port_key` of the program; keys without the count of their bits.
const PREFIX_KEY_BYTES: usize = 20;
const WILDCARD_VALUE_BYTES: usize = 16;
const PORT_KEY_BYTES: usize = 8;
/// Bits in front of an address, and of a port.
const FAMILY_BITS: u32 = 8;
const LIST_BITS: u32 = 48;

/// The maps.
pub struct WildcardMaps {
    /// What each prefix has.
    pub prefixes: LpmTrie<MapData, [u8; PREFIX_KEY_BYTES], [u8; WILDCARD_VALUE_BYTES]>,
    /// Blocks of ports, by id.
    pub ports: LpmTrie<MapData, [u8; PORT_KEY_BYTES], u32>,
}

/// What a prefix has.
#[napi(object)]
pub struct Wildcard {
    /// Of its ports.
    pub id: u32,
    /// Number of its services of TCP; 0 for none, as in the others.
    pub tcp_number: u32,
    /// Of those of UDP.
    pub udp_number: u32,
    /// Of its address service.
    pub address_number: u32,
}

#[napi]
impl XdpProgram {
    /// Adds or changes what a prefix has: `address` in network order, 4 or 16 bytes; `length` in bits; `id` of its ports,
    /// never used before. Packets see the old or the new, nothing between.
    #[napi]
    pub fn set_wildcard(&mut self, address: &[u8], length: u32, wildcard: Wildcard) -> Result<()> {
        let key = prefix_key(address, length)?;
        let mut value = [0; WILDCARD_VALUE_BYTES];
        value[..4].copy_from_slice(&wildcard.id.to_ne_bytes());
        value[4..8].copy_from_slice(&key.prefix_len().to_ne_bytes());
        for (at, number) in [
            (8, wildcard.tcp_number),
            (10, wildcard.udp_number),
            (12, wildcard.address_number),
        ] {
            let number = u16::try_from(number).map_err(|_| {
                argument(
                    "number",
                    number,
                    format_args!("0 to {}", crate::layout::MAX_SERVICES),
                )
            })?;
            value[at..at + 2].copy_from_slice(&number.to_ne_bytes());
        }
        self.wildcards
            .prefixes
            .insert(&key, value, 0)
            .map_err(|error| map_refused("adding a prefix", &error))
    }

    /// Removes a prefix. Returns whether it was there.
    #[napi]
    pub fn delete_wildcard(&mut self, address: &[u8], length: u32) -> Result<bool> {
        removed(
            self.wildcards.prefixes.remove(&prefix_key(address, length)?),
            "removing a prefix",
        )
    }

    /// Adds ports to those of an id: all that have the first `bits` bits of `first`.
    #[napi]
    pub fn add_ports(&mut self, id: u32, protocol: u8, first: u16, bits: u32) -> Result<()> {
        self.wildcards
            .ports
            .insert(&port_key(id, protocol, first, bits)?, 1, 0)
            .map_err(|error| map_refused("adding ports", &error))
    }

    /// Removes ports. Returns whether they were there.
    #[napi]
    pub fn delete_ports(&mut self, id: u32, protocol: u8, first: u16, bits: u32) -> Result<bool> {
        removed(
            self.wildcards.ports.remove(&port_key(id, protocol, first, bits)?),
            "removing ports",
        )
    }
}

fn prefix_key(address: &[u8], length: u32) -> Result<Key<[u8; PREFIX_KEY_BYTES]>> {
    let family = match address.len() {
        4 => 4,
        16 => 6,
        other => {
            return Err(argument(
                "address",
                format_args!("{other} bytes"),
                "4 or 16 bytes",
            ));
        }
    };
    let most = address.len() as u32 * 8;
    if length > most {
        return Err(argument("length", length, format_args!("0 to {most}")));
    }
    let mut data = [0; PREFIX_KEY_BYTES];
    data[0] = family;
    data[1..=address.len()].copy_from_slice(address);
    Ok(Key::new(FAMILY_BITS + length, data))
}

fn port_key(id: u32, protocol: u8, first: u16, bits: u32) -> Result<Key<[u8; PORT_KEY_BYTES]>> {
    if bits > u16::BITS {
        return Err(argument("bits", bits, "0 to 16"));
    }
    let mut data = [0; PORT_KEY_BYTES];
    data[..4].copy_from_slice(&id.to_ne_bytes());
    data[4] = protocol;
    data[6..].copy_from_slice(&first.to_be_bytes());
    Ok(Key::new(LIST_BITS + bits, data))
}
