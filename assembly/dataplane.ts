// Entry of the data plane. The layout's constants are exported as globals, so that the controller can refuse
// a binary that was compiled from another layout.

export { mayEnter } from "./admission";
export { forwardAllNat } from "./forward/forward";
export { rehome } from "./forward/rehome";
export { overcome } from "./forward/too-big";
export { parseFragment4, parseFragment6 } from "./fragments";
export { lean } from "./frames";
export { foldDestination, slotHash } from "./hash";
export { deliverIcmpError, parseIcmpError } from "./icmp-error";
export * from "./layout";
export { parseExtended } from "./parse";
export { touched } from "./pipeline";
export { askVips } from "./policies";
export { emitExtras, pending } from "./ports";
export { findPrefix } from "./prefix-map";
export { classifyProbes } from "./probe";
export * from "./reasons";
export { parseReturn, parseReturnedError } from "./returns";
export { refuseSource } from "./sources";
export { flowOf, steer } from "./steer";
export { felt, touchOutcomes, touchServices, touchVips } from "./touch";
export { findWildcard } from "./wildcards";
export { abandon, attach, busy, park, run, settle } from "./worker";
