// The journal: when one is kept, every packet's record goes there before the packet itself is shown to
// anyone, so that a reader who finds a packet in a TX ring finds its record too.

import { add } from "./counters";
import { journal, journalRecords } from "./instance";
import {
  COUNTER_JOURNAL_LOST,
  JOURNAL_CONSUMER,
  JOURNAL_PRODUCER,
  JOURNAL_RECORDS,
  LINE,
  PACKET_BYTES,
} from "./layout";
import { Packet } from "./records";

/** Appends a record; one that finds the journal full is lost and counted. */
export function record(packet: Packet): void {
  const producer = load<u32>(journal, JOURNAL_PRODUCER);
  if (producer - atomic.load<u32>(journal + JOURNAL_CONSUMER) >= journalRecords) {
    add(COUNTER_JOURNAL_LOST, 1);
    return;
  }
  const from = changetype<usize>(packet);
  const to = journal + JOURNAL_RECORDS + (producer & (journalRecords - 1)) * PACKET_BYTES;
  for (let i: usize = 0; i < LINE; i += 16) v128.store(to + i, v128.load(from + i));
  atomic.store<u32>(journal + JOURNAL_PRODUCER, producer + 1);
}
