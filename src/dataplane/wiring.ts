// Queues and ports: which rings belong together, and what each worker polls.
//
//   queue  one (interface, queue): FILL and COMPLETION, shared by all workers
//   port   one per worker and queue: RX and TX; and one per pair of workers for hand-off: RX only

import * as L from "../../assembly/layout.ts";
import { GuidewayError } from "../errors.ts";
import type { Arena } from "./arena.ts";
import { describeRing, memoryRing, type Ring } from "./rings.ts";

export interface QueueRings {
  fill: Ring;
  completion: Ring;
}

/** What packets that come by a port are (PORT_KIND_* of layout.ts). */
export type PortKind = "traffic" | "self-test" | "probe";

const KINDS: Record<PortKind, number> = {
  traffic: L.PORT_KIND_TRAFFIC,
  "self-test": L.PORT_KIND_SELF_TEST,
  probe: L.PORT_KIND_PROBE,
};

export interface PortRings {
  rx: Ring;
  tx: Ring;
  /** Descriptor of the socket behind it; absent for memory. */
  socket?: number;
}

/** A port as the controller keeps it, for accounts and statistics. */
export interface WiredPort extends PortRings {
  worker: number;
  queue: number;
  kind: PortKind;
  /** Index of its record; NO_INTERFACE where nothing is forwarded by it. */
  interface: number;
}

export class Wiring {
  readonly #arena: Arena;
  readonly queues: (QueueRings & { limit: number })[] = [];
  readonly ports: WiredPort[] = [];
  readonly handoffs: { from: number; to: number; ring: Ring }[] = [];

  constructor(arena: Arena) {
    this.#arena = arena;
  }

  /**
   * @param limit most frames that workers give its FILL ring, for a queue that carries probes; 0 for its share of all. A queue
   * without a limit must be there too.
   * @returns the number of the queue
   */
  addQueue(rings: QueueRings, limit = 0): number {
    if (this.queues.length === L.MAX_QUEUES) {
      throw new GuidewayError(
        "QUEUES",
        `the interfaces have more than ${L.MAX_QUEUES} queues together: use fewer of them (ethtool -L)`,
      );
    }
    const index = this.queues.push({ ...rings, limit }) - 1;
    const at = this.#queueRecord(index);
    describeRing(this.#arena, at + L.QUEUE_FILL, rings.fill);
    describeRing(this.#arena, at + L.QUEUE_COMPLETION, rings.completion);
    this.#arena.setWord(at + L.QUEUE_LIMIT, limit);
    this.#arena.setWord(L.HEADER_QUEUE_COUNT, this.queues.length);
    return index;
  }

  /** @param interfaceIndex of the interface that packets are forwarded by through this port; NO_INTERFACE for none */
  addPort(
    worker: number,
    queue: number,
    interfaceIndex: number,
    rings: PortRings,
    kind: PortKind = "traffic",
  ): void {
    const at = this.#newPort(worker);
    describeRing(this.#arena, at + L.PORT_RX, rings.rx);
    describeRing(this.#arena, at + L.PORT_TX, rings.tx);
    this.#arena.setWord(at + L.PORT_QUEUE, this.#queueRecord(queue));
    this.#arena.setWord(at + L.PORT_SOCKET, rings.socket ?? L.NO_SOCKET);
    this.#arena.setWord(at + L.PORT_INTERFACE, interfaceIndex);
    this.#arena.setWord(at + L.PORT_KIND, KINDS[kind]);
    this.ports.push({ ...rings, worker, queue, kind, interface: interfaceIndex });
    if (interfaceIndex !== L.NO_INTERFACE) this.#setEgress(worker, interfaceIndex);
  }

  /** Connects two workers by a ring in which the first hands packets to the second. */
  addHandoff(from: number, to: number, at: number): void {
    const ring = memoryRing(at, L.HANDOFF_ENTRIES);
    const port = this.#newPort(to);
    describeRing(this.#arena, port + L.PORT_RX, ring);
    this.#arena.setWord(port + L.PORT_SOCKET, L.NO_SOCKET);
    this.#arena.setWord(port + L.PORT_INTERFACE, L.NO_INTERFACE);
    this.#arena.setWord(this.#arena.workerBlock(from) + L.WORKER_HANDOFF + to * 4, at);
    this.handoffs.push({ from, to, ring });
  }

  #queueRecord(index: number): number {
    return this.#arena.plan.regions.queues.offset + index * L.QUEUE_BYTES;
  }

  #newPort(worker: number): number {
    const block = this.#arena.workerBlock(worker);
    const index = this.#arena.word(block + L.WORKER_PORT_COUNT);
    if (index >= L.MAX_PORTS) {
      throw new GuidewayError(
        "PORTS",
        `worker ${worker} would need more than ${L.MAX_PORTS} ports (a socket on every queue of every interface, a ` +
          "hand-off ring from every other worker, and one for self-tests): use fewer workers, interfaces or queues (ethtool -L)",
      );
    }
    this.#arena.setWord(block + L.WORKER_PORT_COUNT, index + 1);
    return block + L.WORKER_PORTS + index * L.PORT_BYTES;
  }

  /** A worker's way out through an interface: spreads workers over the interface's queues. */
  #setEgress(worker: number, interfaceIndex: number): void {
    const block = this.#arena.workerBlock(worker);
    const at = block + L.WORKER_EGRESS + interfaceIndex;
    const own =
      this.ports.filter((port) => port.worker === worker && port.interface === interfaceIndex).length - 1;
    if (own === worker % (own + 1)) this.#arena.u8[at] = this.#arena.word(block + L.WORKER_PORT_COUNT) - 1;
  }
}
