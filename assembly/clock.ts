// Time is an input. Ages count in sixteenths of each state's timeout.

import { AGE_PER_TIMEOUT, FLOW_UDP, HEADER_TIMEOUTS } from "./layout";

/** Milliseconds by which the clock steps. */
const STEP_MS: u64 = 16;

/** Milliseconds, a multiple of STEP_MS. */
export let nowMs: u64 = 0;
/** Clock before the last advance. */
export let beforeMs: u64 = 0;
let isSet = false;

/** The ticks of the four states as the bytes of a word: one shift instead of a lookup. */
let ticks: u32 = 0;

/** Sets the clock. It never runs backwards, and what was before it was set first is no gap. @returns whether it advanced */
export function setClock(ms: u64): bool {
  ms -= ms % STEP_MS;
  if (ms <= nowMs) {
    isSet = true;
    return false;
  }
  beforeMs = isSet ? nowMs : ms;
  isSet = true;
  nowMs = ms;
  let packed: u32 = 0;
  for (let state: u32 = 0; state <= FLOW_UDP; state++) {
    packed |= (<u32>((ms * AGE_PER_TIMEOUT) / timeoutMs(state)) & 0xff) << (state << 3);
  }
  ticks = packed;
  return true;
}

/** Tick of a state, modulo 256; ages keep its low six bits. */
export function tickOf(state: u32): u32 {
  return ticks >>> (state << 3);
}

/** The ticks of the four states, a byte each. */
export function allTicks(): u32 {
  return ticks;
}

export function timeoutMs(state: u32): u32 {
  return load<u32>(HEADER_TIMEOUTS + (state << 2));
}
