//! Errors as JavaScript sees them: an `Error` whose `code` is stable and whose message says what to do.

use std::{fmt::Display, io};

use napi::Error;

/// The `code` of an error thrown by this addon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// `ERR_NATIVE_ARGUMENT`: an argument that cannot be right, whatever the machine.
    Argument,
    /// `ERR_NATIVE_NO_PROGRAM`: built without the XDP program.
    NoProgram,
    /// `ERR_NATIVE_BPF`: the XDP program or one of its maps was refused; the message has the kernel's words.
    Bpf,
    /// The name of the errno, as Node has it: `EPERM`, `EBUSY`, `ENODEV`, …
    Errno(i32),
}

impl AsRef<str> for Code {
    fn as_ref(&self) -> &str {
        match *self {
            Self::Argument => "ERR_NATIVE_ARGUMENT",
            Self::NoProgram => "ERR_NATIVE_NO_PROGRAM",
            Self::Bpf => "ERR_NATIVE_BPF",
            Self::Errno(errno) => errno_name(errno),
        }
    }
}

/// What every function of the addon returns.
pub type Result<T> = std::result::Result<T, Error<Code>>;

/// An argument out of its range: `name` with its `value`, and what was `expected`.
pub fn argument(name: &str, value: impl Display, expected: impl Display) -> Error<Code> {
    Error::new(Code::Argument, format!("{name} is {value}, expected {expected}"))
}

/// A refused system call: `what` was tried, why the kernel says no, and what to do about it.
pub fn system(what: impl Display, error: &io::Error, advice: &str) -> Error<Code> {
    let errno = error.raw_os_error().unwrap_or(libc::EIO);
    let separator = if advice.is_empty() { "" } else { "; " };
    Error::new(Code::Errno(errno), format!("{what}: {error}{separator}{advice}"))
}

/// [`system`] with the calling thread's errno.
pub fn last(what: impl Display, advice: impl FnOnce(i32) -> &'static str) -> Error<Code> {
    let error = io::Error::last_os_error();
    system(what, &error, advice(error.raw_os_error().unwrap_or(0)))
}

fn errno_name(errno: i32) -> &'static str {
    match errno {
        libc::EPERM => "EPERM",
        libc::ENOENT => "ENOENT",
        libc::EIO => "EIO",
        libc::ENXIO => "ENXIO",
        libc::E2BIG => "E2BIG",
        libc::EBADF => "EBADF",
        libc::EAGAIN => "EAGAIN",
        libc::ENOMEM => "ENOMEM",
        libc::EACCES => "EACCES",
        libc::EFAULT => "EFAULT",
        libc::EBUSY => "EBUSY",
        libc::EEXIST => "EEXIST",
        libc::ENODEV => "ENODEV",
        libc::EINVAL => "EINVAL",
        libc::EMFILE => "EMFILE",
        libc::ENFILE => "ENFILE",
        libc::ENOSPC => "ENOSPC",
        libc::ERANGE => "ERANGE",
        libc::ENOSYS => "ENOSYS",
        libc::ENOTSUP => "EOPNOTSUPP",
        libc::EAFNOSUPPORT => "EAFNOSUPPORT",
        libc::EPROTONOSUPPORT => "EPROTONOSUPPORT",
        libc::ECONNREFUSED => "ECONNREFUSED",
        libc::ENETDOWN => "ENETDOWN",
        libc::ENOBUFS => "ENOBUFS",
        libc::ENOTSOCK => "ENOTSOCK",
        libc::ENOPROTOOPT => "ENOPROTOOPT",
        _ => "ESYSTEM",
    }
}
