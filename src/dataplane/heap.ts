// The table heap: blocks of any size in a fixed region, first fit. Only the controller allocates and frees.

import { LINE } from "../../assembly/layout.ts";
import { GuidewayError } from "../errors.ts";
import { alignUp, type Region } from "./plan.ts";

interface Gap {
  offset: number;
  bytes: number;
}

export class TableHeap {
  readonly #bytes: number;
  /** Free gaps in order of address, never touching each other. */
  #gaps: Gap[];
  readonly #blocks = new Map<number, number>();

  constructor(region: Region) {
    this.#bytes = region.bytes;
    this.#gaps = [{ offset: region.offset, bytes: region.bytes }];
  }

  /** Bytes in use. */
  get used(): number {
    return this.#bytes - this.#gaps.reduce((sum, gap) => sum + gap.bytes, 0);
  }

  /** Whether a block of this size can be allocated now. */
  hasRoom(bytes: number): boolean {
    const size = alignUp(bytes, LINE);
    return this.#gaps.some((gap) => gap.bytes >= size);
  }

  /**
   * Address of a block of at least `bytes`.
   * @throws GuidewayError TABLE_HEAP when no gap is large enough
   */
  allocate(bytes: number): number {
    const size = alignUp(bytes, LINE);
    const gap = this.#gapFor(size);
    const { offset } = gap;
    gap.offset += size;
    gap.bytes -= size;
    if (gap.bytes === 0) this.#gaps.splice(this.#gaps.indexOf(gap), 1);
    this.#blocks.set(offset, size);
    return offset;
  }

  /** @throws GuidewayError TABLE_HEAP when a block of this size could not be allocated now */
  checkRoom(bytes: number): void {
    this.#gapFor(alignUp(bytes, LINE));
  }

  #gapFor(size: number): Gap {
    const gap = this.#gaps.find((each) => each.bytes >= size);
    if (!gap) {
      throw new GuidewayError(
        "TABLE_HEAP",
        `the table heap of ${this.#bytes} bytes has no room for a block of ${size}: ${this.used} bytes are in use; ` +
          "restart with the new configuration, so that the heap is sized for it",
      );
    }
    return gap;
  }

  free(offset: number): void {
    const bytes = this.#blocks.get(offset);
    if (bytes === undefined)
      throw new GuidewayError("TABLE_HEAP", `no block of the table heap begins at ${offset}`);
    this.#blocks.delete(offset);
    const at = this.#gaps.findIndex((gap) => gap.offset > offset);
    this.#gaps.splice(at < 0 ? this.#gaps.length : at, 0, { offset, bytes });
    this.#gaps = this.#gaps.reduce<Gap[]>((merged, gap) => {
      const last = merged.at(-1);
      if (last && last.offset + last.bytes === gap.offset) last.bytes += gap.bytes;
      else merged.push(gap);
      return merged;
    }, []);
  }
}
