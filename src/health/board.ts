// Counters of the prober's thread in shared memory: it writes, the main thread reads, and no message is needed.
// A reader may see one counter before the other; they are statistics.

/** Upper bounds of the buckets of both histograms, milliseconds; the last one is without a bound. */
export const BUCKETS_MS = [
  0.25,
  0.5,
  1,
  2,
  3,
  4,
  5,
  7.5,
  10,
  15,
  20,
  30,
  50,
  75,
  100,
  150,
  200,
  300,
  500,
  750,
  1000,
  2000,
  5000,
  Number.POSITIVE_INFINITY,
] as const;

/** Words of 8 bytes before the histograms. */
const TOTALS = [
  "heartbeat",
  "passed",
  "failed",
  "inconclusive",
  "missed",
  "running",
  "waiting",
  "cpuUserUs",
  "cpuSystemUs",
  "worstLatenessMs",
] as const;
export type Total = (typeof TOTALS)[number];

/** Words of a row. `owner` is the id of the probe that the others are about. */
const FIELDS = ["owner", "checks", "failures", "inconclusive", "lastLatencyMs", "lastCheckAt"] as const;
export type Field = (typeof FIELDS)[number];

const ROW_WORDS = 8;
const ROW_BYTES = 8 * ROW_WORDS;
/** Twice as many as backends: a row is not used again at once. */
const MAX_ROWS = 1 << 17;

/** The two buffers, to hand to the other thread. */
export interface BoardBuffers {
  totals: SharedArrayBuffer;
  rows: SharedArrayBuffer;
}

export class Board {
  readonly buffers: BoardBuffers;
  readonly #totals: Float64Array<SharedArrayBuffer>;
  readonly #rows: Float64Array<SharedArrayBuffer>;

  constructor(buffers?: BoardBuffers) {
    this.buffers = buffers ?? {
      totals: new SharedArrayBuffer(8 * (TOTALS.length + 2 * BUCKETS_MS.length)),
      rows: new SharedArrayBuffer(0, { maxByteLength: MAX_ROWS * ROW_BYTES }),
    };
    this.#totals = new Float64Array(this.buffers.totals);
    this.#rows = new Float64Array(this.buffers.rows);
  }

  /** Makes room for rows below a number. @throws RangeError for more than 131,072 */
  reserve(rows: number): void {
    const { rows: buffer } = this.buffers;
    if (rows * ROW_BYTES > buffer.byteLength) buffer.grow(rows * ROW_BYTES);
  }

  total(name: Total): number {
    return this.#totals[TOTALS.indexOf(name)]!;
  }

  set(name: Total, value: number): void {
    this.#totals[TOTALS.indexOf(name)] = value;
  }

  add(name: Total, count = 1): void {
    const at = TOTALS.indexOf(name);
    this.#totals[at] = this.#totals[at]! + count;
  }

  raise(name: Total, value: number): void {
    if (value > this.total(name)) this.set(name, value);
  }

  /** Counts a time in a histogram. */
  observe(histogram: "lateness" | "latency", ms: number): void {
    let bucket = 0;
    while (ms > BUCKETS_MS[bucket]!) bucket++;
    const at = this.#histogramAt(histogram) + bucket;
    this.#totals[at] = this.#totals[at]! + 1;
  }

  /** Counts by bucket, not cumulative. */
  histogram(histogram: "lateness" | "latency"): number[] {
    const at = this.#histogramAt(histogram);
    return [...this.#totals.subarray(at, at + BUCKETS_MS.length)];
  }

  #histogramAt(histogram: "lateness" | "latency"): number {
    return TOTALS.length + (histogram === "lateness" ? 0 : BUCKETS_MS.length);
  }

  field(row: number, field: Field): number {
    return this.#rows[row * ROW_WORDS + FIELDS.indexOf(field)] ?? 0;
  }

  setField(row: number, field: Field, value: number): void {
    this.#rows[row * ROW_WORDS + FIELDS.indexOf(field)] = value;
  }

  addField(row: number, field: Field, count = 1): void {
    this.setField(row, field, this.field(row, field) + count);
  }

  /** Gives a row to a probe. One that it has already keeps its counts: a new thread goes on with them. */
  own(row: number, probe: number): void {
    if (this.field(row, "owner") === probe) return;
    this.#rows.fill(0, row * ROW_WORDS, (row + 1) * ROW_WORDS);
    this.setField(row, "owner", probe);
  }
}
