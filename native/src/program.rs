//! The XDP program: one object for all interfaces, its maps, and where it is attached.
//!
//! Owned by the JavaScript object that `load` returns: when that is collected or the process ends, in whatever
//! way, the links close and the program is detached.

use std::{
    collections::BTreeMap,
    io,
    os::fd::{AsFd, OwnedFd},
};

use aya::{
    Ebpf, EbpfLoader, VerifierLogLevel,
    maps::{Array, HashMap, MapData, MapError, XskMap},
    programs::{ProgramError, Xdp},
};
use napi::Error;
use napi_derive::napi;

use crate::{
    bpf,
    error::{Code, Result, argument, system},
    interface,
    kernel::{XDP_FLAGS_DRV_MODE, XDP_FLAGS_SKB_MODE},
    layout::{MAX_WORKERS, SERVICE_FAMILY, SERVICE_NUMBER, SERVICE_OWN, SHARDS},
    memory::raise_memlock_limit,
    object,
    refusal::{attach_refused, load_refused, map_refused},
    wildcards::WildcardMaps,
};

const SERVICE_KEY_BYTES: usize = SERVICE_NUMBER as usize;
const SECRET_WORDS: usize = 4;
/// `struct interface` of the program: base u32, MAC address of six bytes, queues u16.
const INTERFACE_VALUE_BYTES: usize = 12;
const MOST_LOAD_ATTEMPTS: u32 = 20;

/// Sizes of the program's maps.
#[napi(object)]
pub struct ProgramSizes {
    /// Socket indices: interfaces × queues × MAX_WORKERS.
    pub sockets: u32,
    /// Services, address services included, places that answers come from, and addresses of the machine; as many prefixes
    /// of services.
    pub services: u32,
    /// Interfaces.
    pub interfaces: u32,
}

/// The loaded XDP program.
#[napi]
pub struct XdpProgram {
    sockets: XskMap<MapData>,
    services: HashMap<MapData, [u8; SERVICE_KEY_BYTES], u32>,
    pub(crate) wildcards: WildcardMaps,
    interfaces: HashMap<MapData, u32, [u8; INTERFACE_VALUE_BYTES]>,
    owners: Array<MapData, [u8; SHARDS as usize]>,
    secret: Array<MapData, [u64; SECRET_WORDS]>,
    links: BTreeMap<String, OwnedFd>,
    object: Ebpf,
}

#[napi]
impl XdpProgram {
    /// Loads the program and creates its maps. It is attached nowhere yet, and all shards belong to worker 0.
    ///
    /// Throws `ERR_NATIVE_NO_PROGRAM` when the addon was built without clang, `EPERM` without the
    /// capabilities, `ERR_NATIVE_BPF` with the verifier's words when this kernel refuses the program.
    #[napi(factory)]
    pub fn load(sizes: ProgramSizes) -> Result<Self> {
        let bytes = object::bytes()?;
        raise_memlock_limit();
        let mut object = EbpfLoader::new()
            .map_max_entries("sockets", at_least_one("sockets", sizes.sockets)?)
            .map_max_entries("services", at_least_one("services", sizes.services)?)
            .map_max_entries("wildcards", sizes.services)
            .map_max_entries("interfaces", at_least_one("interfaces", sizes.interfaces)?)
            .verifier_log_level(VerifierLogLevel::default())
            .load(bytes)
            .map_err(|error| load_refused("loading the XDP program", &error))?;
        for name in ["steer", "shard"] {
            verify(xdp(&mut object, name)?)
                .map_err(|error| load_refused(&format!("loading the XDP program {name:?}"), &error))?;
        }
        Ok(Self {
            sockets: map(&mut object, "sockets")?,
            services: map(&mut object, "services")?,
            wildcards: WildcardMaps {
                prefixes: map(&mut object, "wildcards")?,
                ports: map(&mut object, "ports")?,
            },
            interfaces: map(&mut object, "interfaces")?,
            owners: map(&mut object, "owners")?,
            secret: map(&mut object, "secret")?,
            links: BTreeMap::new(),
            object,
        })
    }

    /// Attaches the program to an interface, in the driver (`native`) or in the network stack (`generic`);
    /// `auto` prefers the driver. Returns the mode. It is detached by `detachAll` or by the end of the process.
    ///
    /// Throws `ENODEV` without such an interface, `EPERM` without CAP_NET_ADMIN, `EBUSY` or `EEXIST` when the
    /// interface has an XDP program, `EOPNOTSUPP` when the driver has no XDP and `native` was asked for.
    #[napi(
        ts_args_type = "interface: string, mode: 'auto' | 'native' | 'generic'",
        ts_return_type = "'native' | 'generic'"
    )]
    pub fn attach(&mut self, interface: String, mode: String) -> Result<&'static str> {
        if self.links.contains_key(&interface) {
            return Err(argument(
                "interface",
                &interface,
                "one that this program is not attached to",
            ));
        }
        let ifindex = interface::index_of(&interface)?;
        let modes: &[_] = match mode.as_str() {
            "auto" => &[("native", XDP_FLAGS_DRV_MODE), ("generic", XDP_FLAGS_SKB_MODE)],
            "native" => &[("native", XDP_FLAGS_DRV_MODE)],
            "generic" => &[("generic", XDP_FLAGS_SKB_MODE)],
            _ => {
                return Err(argument(
                    "mode",
                    format_args!("{mode:?}"),
                    "'auto', 'native' or 'generic'",
                ));
            }
        };
        let steer = xdp(&mut self.object, "steer")?;
        let program = steer
            .fd()
            .map_err(|error| load_refused("attaching the XDP program", &error))?;
        let mut failure = io::Error::from_raw_os_error(libc::EOPNOTSUPP);
        for (name, flags) in modes {
            match bpf::link_xdp(program.as_fd(), ifindex, *flags) {
                Ok(link) => {
                    self.links.insert(interface, link);
                    return Ok(name);
                }
                Err(error) => failure = error,
            }
            if let Some(libc::EPERM | libc::EBUSY | libc::EEXIST) = failure.raw_os_error() {
                break;
            }
        }
        Err(attach_refused(&interface, &mode, &failure))
    }

    /// Whether the program is still where `attach` put it. It is not when somebody has detached the link, or when the
    /// interface has gone or was made anew under the same name.
    #[napi]
    pub fn is_attached(&self, interface: String) -> Result<bool> {
        let Some(link) = self.links.get(&interface) else {
            return Ok(false);
        };
        bpf::link_ifindex(link.as_fd())
            .map(|ifindex| ifindex != 0 && interface::index_of(&interface).is_ok_and(|now| now == ifindex))
            .map_err(|error| {
                system(
                    format_args!("asking for the XDP program of {interface:?}"),
                    &error,
                    "",
                )
            })
    }

    /// Detaches the program from all interfaces: their packets go to the host again.
    #[napi]
    pub fn detach_all(&mut self) {
        self.links.clear();
    }

    /// Sets the machine's secret: 32 bytes, four little-endian 64-bit words. Flow keys change with it.
    #[napi]
    pub fn set_secret(&mut self, bytes: &[u8]) -> Result<()> {
        let (words, rest) = bytes.as_chunks::<8>();
        let words: [[u8; 8]; SECRET_WORDS] = match (words.try_into(), rest) {
            (Ok(words), []) => words,
            _ => {
                return Err(argument(
                    "secret",
                    format_args!("{} bytes", bytes.len()),
                    "32 bytes",
                ));
            }
        };
        let words = words.map(u64::from_le_bytes);
        self.secret
            .set(0, words, 0)
            .map_err(|error| map_refused("setting the secret", &error))
    }

    /// Adds or changes a service: `key` is the first 20 bytes of its SERVICE record (address 16, port 2 in
    /// network order, protocol, family); `number` its number, from 1. With SERVICE_RETURN in the family, the number
    /// is that of the service that a backend answers for from there. With SERVICE_OWN it is an address of this
    /// machine, and `number` the first port at which answers are not the host's, and in the high half how many.
    #[napi]
    pub fn set_service(&mut self, key: &[u8], number: u32) -> Result<()> {
        let key = service_key(key)?;
        let own = u32::from(key[SERVICE_FAMILY as usize]) & SERVICE_OWN != 0;
        if !own && (number == 0 || number > crate::layout::MAX_SERVICES) {
            return Err(argument(
                "number",
                number,
                format_args!("1 to {}", crate::layout::MAX_SERVICES),
            ));
        }
        self.services
            .insert(key, number, 0)
            .map_err(|error| map_refused("adding a service", &error))
    }

    /// Removes a service. Returns whether it was there.
    #[napi]
    pub fn delete_service(&mut self, key: &[u8]) -> Result<bool> {
        removed(self.services.remove(&service_key(key)?), "removing a service")
    }

    /// Says which worker owns each shard: 256 bytes, below MAX_WORKERS. In force for the next packet.
    #[napi]
    pub fn set_shard_owners(&mut self, owners: &[u8]) -> Result<()> {
        let owners: [u8; SHARDS as usize] = owners.try_into().map_err(|_| {
            argument(
                "owners",
                format_args!("{} bytes", owners.len()),
                format_args!("{SHARDS} bytes"),
            )
        })?;
        if let Some(worker) = owners.iter().find(|worker| u32::from(**worker) >= MAX_WORKERS) {
            return Err(argument(
                "owner of a shard",
                worker,
                format_args!("below {MAX_WORKERS}"),
            ));
        }
        self.owners
            .set(0, owners, 0)
            .map_err(|error| map_refused("setting the owners of the shards", &error))
    }

    /// Says where an interface's sockets start (index = `base` + queue × MAX_WORKERS + worker), and which MAC
    /// address, six bytes, packets must have for destination. All others are passed: on a segment that
    /// floods, a packet for the neighbour would be sent round in circles.
    #[napi]
    pub fn set_interface(&mut self, ifindex: u32, base: u32, queues: u16, mac: &[u8]) -> Result<()> {
        let mac: [u8; 6] = mac
            .try_into()
            .map_err(|_| argument("mac", format_args!("{} bytes", mac.len()), "6 bytes"))?;
        let mut value = [0; INTERFACE_VALUE_BYTES];
        value[..4].copy_from_slice(&base.to_ne_bytes());
        value[4..10].copy_from_slice(&mac);
        value[10..].copy_from_slice(&queues.to_ne_bytes());
        self.interfaces
            .insert(ifindex, value, 0)
            .map_err(|error| map_refused("adding an interface", &error))
    }

    /// Puts a socket at an index.
    #[napi]
    pub fn set_socket(&mut self, index: u32, fd: i32) -> Result<()> {
        self.sockets
            .set(index, fd, 0)
            .map_err(|error| map_refused(&format!("putting socket {fd} at index {index}"), &error))
    }

    /// Clears an index: packets for it go to the host. (A closed socket leaves by itself.)
    #[napi]
    pub fn clear_socket(&mut self, index: u32) -> Result<()> {
        self.sockets
            .unset(index)
            .map_err(|error| map_refused(&format!("clearing socket index {index}"), &error))
    }

    /// Runs a program once on a packet of at least 14 bytes, as if received by queue 0 of ifindex 1, and returns
    /// its value: of `steer` an XDP_* verdict (2 pass, 4 redirect), of `shard` 0x100 | shard for a packet that is
    /// for a VIP, else 0. For tests.
    #[napi(ts_args_type = "program: 'steer' | 'shard', packet: Uint8Array")]
    pub fn test_run(&mut self, program: String, packet: &[u8]) -> Result<u32> {
        let xdp = xdp(&mut self.object, &program)?;
        let fd = xdp
            .fd()
            .map_err(|error| load_refused("running the XDP program", &error))?;
        bpf::test_run(fd.as_fd(), packet).map_err(|error| {
            system(
                format_args!("running {program:?} on {} bytes", packet.len()),
                &error,
                "",
            )
        })
    }
}

/// Hands a program to the kernel's verifier, which gives up with EAGAIN whenever a signal is pending for the thread:
/// Node has many. libbpf tries five times for the same reason (PROG_LOAD_ATTEMPTS).
fn verify(program: &mut Xdp) -> std::result::Result<(), ProgramError> {
    let mut attempts = 1;
    loop {
        match program.load() {
            Err(ProgramError::LoadError { io_error, .. })
                if io_error.raw_os_error() == Some(libc::EAGAIN) && attempts < MOST_LOAD_ATTEMPTS =>
            {
                attempts += 1;
            }
            result => return result,
        }
    }
}

fn at_least_one(name: &str, value: u32) -> Result<u32> {
    if value == 0 {
        Err(argument(name, value, "at least 1"))
    } else {
        Ok(value)
    }
}

fn xdp<'a>(object: &'a mut Ebpf, name: &str) -> Result<&'a mut Xdp> {
    let program = object
        .program_mut(name)
        .and_then(|program| program.try_into().ok());
    program.ok_or_else(|| argument("program", format_args!("{name:?}"), "'steer' or 'shard'"))
}

fn map<M: TryFrom<aya::maps::Map, Error = MapError>>(object: &mut Ebpf, name: &str) -> Result<M> {
    let what = format!("opening the map {name:?}");
    let map = object
        .take_map(name)
        .ok_or_else(|| Error::new(Code::Bpf, format!("{what}: not in the object")))?;
    map.try_into().map_err(|error| map_refused(&what, &error))
}

fn service_key(bytes: &[u8]) -> Result<[u8; SERVICE_KEY_BYTES]> {
    bytes.try_into().map_err(|_| {
        argument(
            "key",
            format_args!("{} bytes", bytes.len()),
            format_args!("{SERVICE_KEY_BYTES} bytes"),
        )
    })
}

/// Whether something was removed, from what a map said.
pub fn removed(result: std::result::Result<(), MapError>, what: &str) -> Result<bool> {
    match result {
        Ok(()) => Ok(true),
        Err(MapError::KeyNotFound) => Ok(false),
        Err(MapError::SyscallError(error)) if error.io_error.raw_os_error() == Some(libc::ENOENT) => {
            Ok(false)
        }
        Err(error) => Err(map_refused(what, &error)),
    }
}
