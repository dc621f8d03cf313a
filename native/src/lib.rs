//! Guideway's AF_XDP addon: what the balancer needs of Linux and JavaScript cannot do.
//!
//! It opens AF_XDP sockets and maps the kernel's rings *into* the arena (a shared `WebAssembly.Memory`),
//! loads and attaches the XDP program that steers packets to them, and lets a worker kick, wait, and be
//! pinned. It never touches a packet: the WebAssembly workers consume the rings themselves.
//!
//! | module         | job                                                         |
//! |----------------|-------------------------------------------------------------|
//! | [`memory`]     | the arena, its bounds, and what is mapped over parts of it   |
//! | [`map_file`]   | files under parts of it, that outlive the process            |
//! | [`ring`]       | one kernel ring at a given place in the arena                |
//! | [`socket`]     | AF_XDP sockets: open, close, statistics                      |
//! | [`xsk`]        | the socket calls under them                                  |
//! | [`wake`]       | kick, wait, events: the only calls of the packet loop        |
//! | [`program`]    | the XDP program, its maps and links                          |
//! | [`wildcards`]  | its maps of services with more than one address or port        |
//! | [`bpf`]        | the bpf(2) commands that aya has no function for             |
//! | [`thread`]     | pinning                                                     |
//! | `bench`        | opponents for `bench nic`, with the feature of that name     |
//! | [`capability`] | which privileges the calling thread has                      |
//! | [`privilege`]  | giving them up                                              |
//! | [`notify`]     | telling a service manager                                   |
//!
//! It loads without privileges and into several worker threads of one process; nothing happens until a
//! function is called. Every error names the thing, the value, the errno and what to do next, and has a
//! stable `code` ([`error::Code`]).

#[cfg(not(target_os = "linux"))]
compile_error!("AF_XDP is an interface of Linux: the addon builds nowhere else");

#[cfg(feature = "bench")]
pub mod bench;
pub mod bpf;
pub mod capability;
pub mod error;
pub mod interface;
pub mod kernel;
pub mod layout;
pub mod map_file;
pub mod memory;
pub mod notify;
pub mod object;
pub mod options;
pub mod privilege;
pub mod program;
pub mod refusal;
pub mod ring;
pub mod socket;
pub mod thread;
pub mod wake;
pub mod wildcards;
pub mod xsk;
