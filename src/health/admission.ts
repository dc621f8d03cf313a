// Which checks may run at once. Three lanes share the places: targets that passed their last check, targets that did
// not, and programs. However many targets hang, those that answer are still asked in time; whoever waits, waits in
// the order of arrival, and the lanes take turns.

const LANES = ["passing", "failing", "exec"] as const;
export type Lane = (typeof LANES)[number];

export interface Limits {
  /** Checks at once, all lanes together. */
  total: number;
  /** Of these, such as failed the last time. */
  failing: number;
  exec: number;
}

/** First in, first out, without moving what is left. */
class Queue<T> {
  #items: T[] = [];
  #head = 0;

  get length(): number {
    return this.#items.length - this.#head;
  }

  push(item: T): void {
    this.#items.push(item);
  }

  shift(): T | undefined {
    const item = this.#items[this.#head++];
    if (this.#head >= 1024 && this.#head * 2 >= this.#items.length) {
      this.#items = this.#items.slice(this.#head);
      this.#head = 0;
    }
    return item;
  }
}

export class Admission<T> {
  readonly #limits: Record<Lane, number>;
  readonly #total: number;
  readonly #queues: Record<Lane, Queue<T>> = {
    passing: new Queue(),
    failing: new Queue(),
    exec: new Queue(),
  };
  readonly #running: Record<Lane, number> = { passing: 0, failing: 0, exec: 0 };
  /** The lane that is asked first next time. */
  #turn = 0;

  constructor({ total, failing, exec }: Limits) {
    this.#total = total;
    this.#limits = { passing: total, failing, exec };
  }

  get running(): number {
    return this.#running.passing + this.#running.failing + this.#running.exec;
  }

  get waiting(): number {
    return this.#queues.passing.length + this.#queues.failing.length + this.#queues.exec.length;
  }

  /** Queues for a place. */
  enter(item: T, lane: Lane): void {
    this.#queues[lane].push(item);
  }

  /** The next one that may run, and takes a place; undefined when nobody may. */
  next(): { item: T; lane: Lane } | undefined {
    if (this.running >= this.#total) return undefined;
    for (let step = 0; step < LANES.length; step++) {
      const lane = LANES[(this.#turn + step) % LANES.length]!;
      if (this.#queues[lane].length === 0 || this.#running[lane] >= this.#limits[lane]) continue;
      this.#turn = (this.#turn + step + 1) % LANES.length;
      this.#running[lane]++;
      return { item: this.#queues[lane].shift()!, lane };
    }
    return undefined;
  }

  /** Gives a place back. */
  leave(lane: Lane): void {
    this.#running[lane]--;
  }
}
