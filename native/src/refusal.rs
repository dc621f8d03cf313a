//! What it means when the kernel refuses the XDP program, one of its maps, or its place on an interface.

use std::{error::Error as Cause, io};

use aya::maps::MapError;
use napi::Error;

use crate::{
    capability::{Capabilities, capabilities},
    error::{Code, argument, system},
};

/// What loading needs, for `AmbientCapabilities=` of a service.
const LOAD_ADVICE: &str =
    "it needs CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON: run as root or give the service those";

/// A refused load: a missing capability as such, anything else with all that the kernel said.
pub fn load_refused(what: &str, error: &(dyn Cause + 'static)) -> Error<Code> {
    let errno = causes(error)
        .filter_map(|cause| cause.downcast_ref::<io::Error>())
        .find_map(io::Error::raw_os_error);
    let Capabilities {
        perfmon, sys_admin, ..
    } = capabilities();
    match errno {
        Some(libc::EPERM) => system(what, &io::Error::from_raw_os_error(libc::EPERM), LOAD_ADVICE),
        // Without CAP_PERFMON the verifier takes no offset into a packet that is not a constant.
        Some(libc::EACCES) if !perfmon && !sys_admin => {
            system(what, &io::Error::from_raw_os_error(libc::EACCES), LOAD_ADVICE)
        }
        _ => Error::new(Code::Bpf, format!("{what}: {}", chain(error))),
    }
}

/// A refused attachment.
pub fn attach_refused(interface: &str, mode: &str, error: &io::Error) -> Error<Code> {
    let advice = match error.raw_os_error() {
        Some(libc::EPERM) => {
            "it needs CAP_NET_ADMIN: run as root or give the service AmbientCapabilities=CAP_NET_ADMIN"
        }
        Some(libc::EBUSY | libc::EEXIST) => {
            "the interface has an XDP program already: stop its process, or `ip link set dev NAME xdp off`"
        }
        Some(libc::EOPNOTSUPP) => "its driver has no XDP: use mode 'auto' or 'generic'",
        Some(libc::ENODEV) => "the interface is gone",
        Some(libc::ERANGE | libc::EINVAL | libc::ENOMEM | libc::ENOSPC) => {
            "the driver may need a smaller MTU or fewer queues for XDP: see `dmesg`"
        }
        _ => "",
    };
    system(
        format_args!("attaching the XDP program to {interface} ({mode})"),
        error,
        advice,
    )
}

/// A refused map operation, with the code of its errno where there is one.
pub fn map_refused(what: &str, error: &MapError) -> Error<Code> {
    match error {
        MapError::SyscallError(call) => {
            let advice = match call.io_error.raw_os_error() {
                Some(libc::E2BIG) => "the map is full: load the program with more",
                Some(libc::EPERM) => "it needs CAP_BPF",
                Some(libc::EBADF) => "was the socket closed?",
                Some(libc::ENOTSOCK | libc::EOPNOTSUPP) => "is it an AF_XDP socket?",
                _ => "",
            };
            system(what, &call.io_error, advice)
        }
        MapError::OutOfBounds { index, max_entries } => argument(
            &format!("{what}: the index"),
            index,
            format_args!("below {max_entries}: load the program with more"),
        ),
        _ => Error::new(Code::Bpf, format!("{what}: {}", chain(error))),
    }
}

fn causes<'a>(error: &'a (dyn Cause + 'static)) -> impl Iterator<Item = &'a (dyn Cause + 'static)> {
    std::iter::successors(Some(error), |error| {
        let error: &'a (dyn Cause + 'static) = *error;
        error.source()
    })
}

/// An error with its causes, each text once.
fn chain(error: &(dyn Cause + 'static)) -> String {
    let mut text = String::new();
    for cause in causes(error).map(ToString::to_string) {
        if !text.contains(&cause) {
            text += if text.is_empty() { "" } else { ": " };
            text += &cause;
        }
    }
    text
}
