//! The opponents of `bench nic` (cargo feature `bench`): a native forwarding loop on one AF_XDP socket, which is the
//! limit that a WebAssembly worker on the same device is compared with, and a sender that feeds either and
//! checks what comes back.
//!
//! | module      | job                                                              |
//! |-------------|------------------------------------------------------------------|
//! | [`rings`]   | the two ends of a kernel ring                                     |
//! | [`forward`] | RX to TX with the MAC addresses swapped                           |
//! | [`payload`] | what the packet with a given sequence number contains             |
//! | [`sender`]  | the sending thread and its JavaScript object                      |

pub mod forward;
pub mod payload;
pub mod rings;
pub mod sender;
