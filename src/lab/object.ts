/** The lab's XDP programs, native/bpf/decap.bpf.c: where the object is and how a backend gets its own copy. */
import { join } from "node:path";
import ipaddr from "ipaddr.js";
import { packageRoot } from "./paths.ts";

const MARKER = Buffer.from("guideway-decap-1");

/** Where the build puts the object. */
export function decapObject(): string {
  return join(packageRoot(), "build", "decap.bpf.o");
}

/**
 * A copy of the object that decapsulates only what is addressed to these two addresses. They go right behind the
 * marker in its read-only data: 16 bytes marker, 4 bytes IPv4, 16 bytes IPv6.
 */
export function addressedObject(object: Buffer, v4: string, v6: string): Buffer {
  const marker = object.indexOf(MARKER);
  if (marker < 0 || object.indexOf(MARKER, marker + 1) >= 0) {
    throw new Error("the marker of struct endpoint is not in the XDP object exactly once");
  }
  const copy = Buffer.from(object);
  copy.set(ipaddr.parse(v4).toByteArray(), marker + MARKER.length);
  copy.set(ipaddr.parse(v6).toByteArray(), marker + MARKER.length + 4);
  return copy;
}
