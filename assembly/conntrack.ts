// The connection table: 256 shards of 64-byte lines with seven ways (the drawing is in layout.ts, the rules
// are docs/datapath.md §3). A flow lives in its home line or, with its away bit set, in the neighbour.
//
// An entry is named by the address of its line plus its way: lines are 64 bytes, ways 0…6. 0 means none.
// Every function here is called by the owner of the shard only.

import { allTicks, tickOf } from "./clock";
import { add } from "./counters";
import { fingerprintOf, signatureOf } from "./hash";
import { backends, counters } from "./instance";
import {
  AGE_BITS,
  AGE_MASK,
  AGE_PER_TIMEOUT,
  BACKEND_BYTES,
  BACKEND_STATE,
  BACKEND_STATE_ACTIVE,
  BACKEND_STATE_DRAINING,
  COUNTER_BACKEND_BYTES,
  COUNTER_BACKENDS,
  COUNTER_ENTRIES,
  COUNTER_EVICTED,
  FLOW_CLOSING,
  FLOW_ESTABLISHED,
  FLOW_NEW,
  FLOW_UDP,
  LINE,
  LINE_AWAY,
  TRACK_EVICTED,
  TRACK_INSERTED,
  TRACK_INSERTED_AWAY,
  TRACK_REPLACED,
  WAY_BACKEND,
  WAY_FINGERPRINT,
  WAY_META,
  WAYS,
} from "./layout";
import { PROTOCOL_UDP } from "./wire/ipv4";
import { ACK, FIN, RST, SYN } from "./wire/tcp";

const ALL_WAYS: u32 = (1 << WAYS) - 1;

export function neighbour(line: usize): usize {
  return line ^ LINE;
}

export function lineOfEntry(entry: usize): usize {
  return entry & ~(<usize>LINE - 1);
}

function wayOf(entry: usize): u32 {
  return <u32>entry & (LINE - 1);
}

function bitOf(way: u32): u32 {
  return (<u32>1) << way;
}

/** Ways of a line, a bit each, whose flow has its home next door. */
function awayOf(line: usize): u32 {
  return load<u8>(line, LINE_AWAY);
}

function setAway(line: usize, ways: u32): void {
  store<u8>(line, <u8>ways, LINE_AWAY);
}

export function backendOf(entry: usize): u32 {
  return load<u16>(entry + wayOf(entry), WAY_BACKEND);
}

function setBackend(entry: usize, backend: u32): void {
  store<u16>(entry + wayOf(entry), <u16>backend, WAY_BACKEND);
}

function metaOf(entry: usize): u32 {
  return load<u8>(entry, WAY_META);
}

export function stateOf(entry: usize): u32 {
  return metaOf(entry) >>> AGE_BITS;
}

/** Ticks since the entry's last packet; exact, because the sweep leaves none unvisited for 64 ticks. */
function elapsed(meta: u32): u32 {
  return (tickOf(meta >>> AGE_BITS) - meta) & AGE_MASK;
}

export function isExpired(entry: usize): bool {
  return elapsed(metaOf(entry)) > AGE_PER_TIMEOUT;
}

/** The way among `ways` (a bit each) whose entry has this key, or 0. */
function matchAmong(line: usize, key: u64, ways: u32): usize {
  let candidates = <u32>i16x8.bitmask(i16x8.eq(v128.load(line), i16x8.splat(<i16>signatureOf(key)))) & ways;
  while (candidates != 0) {
    const way = ctz(candidates);
    if (
      load<u32>(line + (way << 2), WAY_FINGERPRINT) == fingerprintOf(key) &&
      load<u16>(line + (way << 1), WAY_BACKEND) != 0
    )
      return line + way;
    candidates &= candidates - 1;
  }
  return 0;
}

/** The entry of a key in its home line, live or not, or 0. */
export function matchHome(line: usize, key: u64): usize {
  return matchAmong(line, key, ~awayOf(line) & ALL_WAYS);
}

/** The entry of a key that overflowed into the neighbour of its home line, live or not, or 0. */
export function matchAway(line: usize, key: u64): usize {
  const next = neighbour(line);
  const away = awayOf(next);
  return away == 0 ? 0 : matchAmong(next, key, away);
}

/** Whether a packet begins a connection. */
function opens(tcpFlags: u32): bool {
  return (tcpFlags & (SYN | ACK | FIN | RST)) == SYN;
}

/**
 * Whether a packet may follow its entry: not expired, the backend takes packets, and it is not the old
 * entry of a client that uses its port again.
 */
export function isLive(entry: usize, tcpFlags: u32): bool {
  const meta = metaOf(entry);
  return (
    takesPackets(backendOf(entry)) &&
    elapsed(meta) <= AGE_PER_TIMEOUT &&
    !isReplaced(meta >>> AGE_BITS, tcpFlags)
  );
}

/** Whether a backend takes packets of its flows. */
export function takesPackets(backend: u32): bool {
  // States are numbered so that a range will do.
  const state = load<u32>(backends + backend * BACKEND_BYTES, BACKEND_STATE);
  return state - BACKEND_STATE_ACTIVE <= BACKEND_STATE_DRAINING - BACKEND_STATE_ACTIVE;
}

/** Whether a client uses a port again whose old connection is over. */
function isReplaced(state: u32, tcpFlags: u32): bool {
  return state == FLOW_CLOSING && opens(tcpFlags);
}

/**
 * Notes a packet of a flow if it may follow its entry: state, and age if that has changed.
 * @returns the backend, or 0 when the entry is not live
 */
export function followEntry(entry: usize, tcpFlags: u32): u32 {
  const backend = backendOf(entry);
  if (!takesPackets(backend)) return 0;
  const meta = metaOf(entry);
  const age = elapsed(meta);
  if (age > AGE_PER_TIMEOUT) return 0;
  const state = meta >>> AGE_BITS;
  if (isReplaced(state, tcpFlags)) return 0;
  const after = nextState(state, tcpFlags);
  if (after != state) {
    if (after == FLOW_CLOSING) countActive(backend, -1);
    setMeta(entry, after);
  } else if (age != 0) {
    setMeta(entry, state);
  }
  return backend;
}

/**
 * Notes a packet that a backend sends back to the client of a flow, if the flow is there and still the backend's. FIN and RST
 * close; nothing else changes the state, since only the client can show that it is where it says.
 * @param entry or 0
 * @returns whether it is
 */
export function followReturn(entry: usize, tcpFlags: u32, backend: u32): bool {
  if (entry == 0 || backendOf(entry) != backend || !takesPackets(backend)) return false;
  const meta = metaOf(entry);
  const age = elapsed(meta);
  if (age > AGE_PER_TIMEOUT) return false;
  const state = meta >>> AGE_BITS;
  const after = tcpFlags & (FIN | RST) ? FLOW_CLOSING : state;
  if (after != state) countActive(backend, -1);
  if (after != state || age != 0) setMeta(entry, after);
  return true;
}

function setMeta(entry: usize, state: u32): void {
  store<u8>(entry, <u8>((state << AGE_BITS) | (tickOf(state) & AGE_MASK)), WAY_META);
}

/** Changes the count of flows that are active on a backend. */
function countActive(backend: u32, by: i64): void {
  const at = counters + COUNTER_BACKENDS + backend * COUNTER_BACKEND_BYTES + 24;
  store<i64>(at, load<i64>(at) + by);
}

/** State after a packet, from the client's side alone. One of UDP has no flags. */
function nextState(state: u32, tcpFlags: u32): u32 {
  if (tcpFlags & (FIN | RST)) return FLOW_CLOSING;
  return state == FLOW_NEW && (tcpFlags & (SYN | ACK)) == ACK ? FLOW_ESTABLISHED : state;
}

/** Moves a flow to another backend. */
export function redirect(entry: usize, backend: u32): void {
  if (stateOf(entry) != FLOW_CLOSING) {
    countActive(backendOf(entry), -1);
    countActive(backend, 1);
  }
  setBackend(entry, backend);
}

/** Empties a way. */
export function remove(entry: usize): void {
  const line = lineOfEntry(entry);
  const backend = backendOf(entry);
  if (stateOf(entry) != FLOW_CLOSING) countActive(backend, -1);
  add(COUNTER_ENTRIES, -1);
  setBackend(entry, 0);
  setAway(line, awayOf(line) & ~bitOf(wayOf(entry)));
}

// Room for a new flow: all seven ways at once. Byte w of a vector is way w; byte 7 is the line's away byte and is masked.

/** The ways' meta bytes in the low half, and again in the high half. */
function metas(line: usize): v128 {
  return v128.load_splat<u64>(line, WAY_META);
}

function statesOf(metas: v128): v128 {
  return i8x16.shr_u(metas, AGE_BITS);
}

/** Ticks since each entry's last packet. */
function elapsedOf(metas: v128): v128 {
  const ticks = i8x16.swizzle(i32x4.splat(allTicks()), statesOf(metas));
  return v128.and(i8x16.sub(ticks, metas), i8x16.splat(<i8>AGE_MASK));
}

/** The first empty or expired way of a line, or 0. */
function freeWay(line: usize): usize {
  const empty = i16x8.bitmask(i16x8.eq(v128.load(line, WAY_BACKEND), i16x8.splat(0)));
  const expired = i8x16.bitmask(i8x16.gt_u(elapsedOf(metas(line)), i8x16.splat(<i8>AGE_PER_TIMEOUT)));
  const free = <u32>(empty | expired) & ALL_WAYS;
  return free == 0 ? 0 : line + ctz(free);
}

/** What the four states, a byte each, add to the ticks of an entry to make its score: established 0, the others 64. */
const SCORES: i32 = 0x40400040;

/** The entry that goes for a new flow: not established before established, then the oldest, then home first. */
function victim(line: usize): usize {
  const next = neighbour(line);
  const both = i64x2.replace_lane(metas(line), 1, load<i64>(next, WAY_META));
  const bonus = i8x16.swizzle(i32x4.splat(SCORES), statesOf(both));
  const scores = v128.and(i8x16.add(elapsedOf(both), bonus), i64x2.splat(0x00ffffffffffffff));
  let most = i8x16.max_u(
    scores,
    i8x16.shuffle(scores, scores, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7),
  );
  most = i8x16.max_u(most, i8x16.shuffle(most, most, 4, 5, 6, 7, 0, 1, 2, 3, 4, 5, 6, 7, 0, 1, 2, 3));
  most = i8x16.max_u(most, i8x16.shuffle(most, most, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3, 0, 1));
  most = i8x16.max_u(most, i8x16.shuffle(most, most, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0));
  const best = i8x16.eq(scores, i8x16.splat(<i8>i8x16.extract_lane_u(most, 0)));
  const way = ctz(<u32>i8x16.bitmask(best) & (ALL_WAYS | (ALL_WAYS << 8)));
  return way < 8 ? line + way : next + (way - 8);
}

/**
 * Enters a flow that has no live entry.
 * @param orphan its entry that is not live and not expired either, or 0
 * @returns TRACK_*
 */
export function insert(
  line: usize,
  key: u64,
  orphan: usize,
  backend: u32,
  protocol: u32,
  tcpFlags: u32,
): u32 {
  let entry = orphan;
  let track: u32 = TRACK_REPLACED;
  if (entry == 0) {
    entry = freeWay(line);
    track = TRACK_INSERTED;
    if (entry == 0) {
      entry = freeWay(neighbour(line));
      track = TRACK_INSERTED_AWAY;
      if (entry == 0) {
        entry = victim(line);
        track = TRACK_EVICTED;
        add(COUNTER_EVICTED, 1);
      }
    }
  }
  if (backendOf(entry) != 0) remove(entry);
  add(COUNTER_ENTRIES, 1);
  const at = lineOfEntry(entry);
  const way = wayOf(entry);
  const state: u32 = protocol == PROTOCOL_UDP ? FLOW_UDP : tcpFlags & (FIN | RST) ? FLOW_CLOSING : FLOW_NEW;
  if (at != line) setAway(at, awayOf(at) | bitOf(way));
  store<u16>(at + (way << 1), signatureOf(key));
  store<u32>(at + (way << 2), fingerprintOf(key), WAY_FINGERPRINT);
  setBackend(entry, backend);
  if (state != FLOW_CLOSING) countActive(backend, 1);
  setMeta(entry, state);
  return track;
}
