//! Telling a service manager how the process is doing: the protocol of sd_notify(3), one datagram per message.

use std::{
    io,
    os::{linux::net::SocketAddrExt, unix::net},
    time::Duration,
};

use napi_derive::napi;

use crate::error::{Result, argument, system};

/// A manager that is busy for longer loses a message, and nobody waits for it longer.
const PATIENCE: Duration = Duration::from_secs(1);

/// Sends `state` (lines `NAME=value`) to a datagram socket: a path, or an abstract name after `@`, as NOTIFY_SOCKET has
/// it. Waits at most a second, when the receiver's queue is full.
///
/// Throws `ERR_NATIVE_ARGUMENT` for an address that is neither, and the errno when nobody is there to take it:
/// `ENOENT`, `ECONNREFUSED`, `EACCES`, `EAGAIN`.
#[napi]
pub fn notify(address: String, state: String) -> Result<()> {
    let target = match address.as_bytes() {
        [b'@', name @ ..] if !name.is_empty() => net::SocketAddr::from_abstract_name(name),
        [b'/', ..] => net::SocketAddr::from_pathname(&address),
        _ => Err(io::ErrorKind::InvalidInput.into()),
    }
    .map_err(|_| {
        argument(
            "NOTIFY_SOCKET",
            format_args!("{address:?}"),
            "an absolute path or @name, at most 107 bytes",
        )
    })?;
    // The standard library opens it with SOCK_CLOEXEC and sends with MSG_NOSIGNAL.
    net::UnixDatagram::unbound()
        .and_then(|socket| {
            socket.set_write_timeout(Some(PATIENCE))?;
            socket.send_to_addr(state.as_bytes(), &target)
        })
        .map(drop)
        .map_err(|error| {
            system(
                format_args!("notifying {address}"),
                &error,
                "the service manager that set NOTIFY_SOCKET may be gone",
            )
        })
}
