// Entry of the data plane. The layout's constants are exported as globals, so that the controller can refuse
// a binary that was compiled from another layout.

export { mayEnter } from "./admission";
export { overcome } from "./forward/too-big";
export { lean } from "./frames";
export { foldDestination, slotHash } from "./hash";
export * from "./layout";
export { touched } from "./pipeline";
export { askVips } from "./policies";
export { abandon, emitExtras, pending } from "./ports";
export { findPrefix } from "./prefix-map";
export { classifyProbes } from "./probe";
export * from "./reasons";
export { refuseSource } from "./sources";
export { flowOf, steer } from "./steer";
export { findWildcard } from "./wildcards";
export { attach, busy, park, run, settle } from "./worker";
