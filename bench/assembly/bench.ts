// Entry of what the benchmarks have compiled: parts of the data plane in loops of their own, and the kernel's side of rings in
// memory. It is bound to an arena as the data plane is.

export { attach } from "../../assembly/instance";
export { enter, evict, find, follow, setTime, sweepOnce, writeKeys } from "./conntrack";
export { collect, feed } from "./kernel";
export { consume, produce } from "./rings";
