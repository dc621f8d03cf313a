// The connection table without packets: as the pipeline uses it, a batch at a time, and each batch's lines touched first. Keys
// are an array of u64 somewhere in the arena.

import { setClock } from "../../assembly/clock";
import { followEntry, insert, matchAway, matchHome, neighbour } from "../../assembly/conntrack";
import { lineOf, shardOf } from "../../assembly/hash";
import { counters, lineAt } from "../../assembly/instance";
import { BATCH, COUNTER_SWEPT, TRACK_EVICTED } from "../../assembly/layout";
import { sweep } from "../../assembly/sweep";
import { PROTOCOL_TCP } from "../../assembly/wire/ipv4";
import { ACK, SYN } from "../../assembly/wire/tcp";

/** What was read in order to have it in the cache: exported, so that the compiler keeps the reads. */
export let touched: u64 = 0;

/** A flow's key: like those of packets it is a bijection of what tells flows apart (splitmix64's). */
function keyOf(flow: u64): u64 {
  let key = flow * 0x9e3779b97f4a7c15;
  key = (key ^ (key >>> 30)) * 0xbf58476d1ce4e5b9;
  key = (key ^ (key >>> 27)) * 0x94d049bb133111eb;
  return key ^ (key >>> 31);
}

/** Writes the keys of flows `first`, `first` + 1 and so on. */
export function writeKeys(at: usize, first: u32, count: u32): void {
  for (let i: u32 = 0; i < count; i++) store<u64>(at + ((<usize>i) << 3), keyOf(<u64>first + i));
}

function homeOf(key: u64): usize {
  return lineAt(shardOf(key), lineOf(key));
}

function keyAt(keys: usize, i: u32): u64 {
  return load<u64>(keys + ((<usize>i) << 3));
}

/** The index behind the batch that begins at `i`. */
function batchEnd(i: u32, count: u32): u32 {
  return count - i < BATCH ? count : i + BATCH;
}

function touch(keys: usize, from: u32, end: u32): void {
  let sum = touched;
  for (let i = from; i < end; i++) sum ^= load<u64>(homeOf(keyAt(keys, i)));
  touched = sum;
}

function touchBoth(keys: usize, from: u32, end: u32): void {
  let sum = touched;
  for (let i = from; i < end; i++) {
    const line = homeOf(keyAt(keys, i));
    sum ^= load<u64>(line) ^ load<u64>(neighbour(line));
  }
  touched = sum;
}

/** Finds flows, and notes a packet of each. @returns how many were there and alive */
export function follow(keys: usize, count: u32): u32 {
  let hits: u32 = 0;
  for (let at: u32 = 0; at < count; ) {
    const end = batchEnd(at, count);
    touch(keys, at, end);
    for (; at < end; at++) {
      const key = keyAt(keys, at);
      const line = homeOf(key);
      let entry = matchHome(line, key);
      if (entry == 0) entry = matchAway(line, key);
      if (entry != 0 && followEntry(entry, ACK) != 0) hits++;
    }
  }
  return hits;
}

/** Looks for flows, in both lines. @returns how many were there */
export function find(keys: usize, count: u32): u32 {
  let found: u32 = 0;
  for (let at: u32 = 0; at < count; ) {
    const end = batchEnd(at, count);
    touchBoth(keys, at, end);
    for (; at < end; at++) {
      const key = keyAt(keys, at);
      const line = homeOf(key);
      if (matchHome(line, key) != 0 || matchAway(line, key) != 0) found++;
    }
  }
  return found;
}

/** Enters flows that are not there. @returns how many took another one's place */
function enterAll(keys: usize, count: u32, backend: u32): u32 {
  let evicted: u32 = 0;
  for (let at: u32 = 0; at < count; ) {
    const end = batchEnd(at, count);
    touchBoth(keys, at, end);
    for (; at < end; at++) {
      const key = keyAt(keys, at);
      if (insert(homeOf(key), key, 0, backend, PROTOCOL_TCP, SYN) == TRACK_EVICTED) evicted++;
    }
  }
  return evicted;
}

/** @returns how many found room */
export function enter(keys: usize, count: u32, backend: u32): u32 {
  return count - enterAll(keys, count, backend);
}

/** @returns how many found none, and took another one's place */
export function evict(keys: usize, count: u32, backend: u32): u32 {
  return enterAll(keys, count, backend);
}

/** Sets the clock, milliseconds. */
export function setTime(ms: f64): void {
  setClock(<u64>ms);
}

/** Sets the clock and sweeps what is due. @returns lines swept */
export function sweepOnce(ms: f64): u32 {
  if (!setClock(<u64>ms)) return 0;
  const before = load<u64>(counters, COUNTER_SWEPT);
  sweep();
  return <u32>(load<u64>(counters, COUNTER_SWEPT) - before);
}
