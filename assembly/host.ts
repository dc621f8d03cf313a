// What the WebAssembly module asks of its host: two system calls, each at most once per batch and port.

/** Makes the kernel transmit what lies in a socket's TX ring (sendto). @returns 0 or an errno */
// @ts-ignore: decorator
@external("host", "kick")
export declare function kick(socket: u32): u32;

/** Makes the kernel take frames from a socket's FILL ring (recvfrom). @returns 0 or an errno */
// @ts-ignore: decorator
@external("host", "wake")
export declare function wake(socket: u32): u32;
