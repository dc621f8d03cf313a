// Huge pages for an arena, as src/control/machine.ts asks for them.

import type { Arena } from "../dataplane/arena.ts";
import { loadNative } from "../native.ts";

/** Asks for huge pages and touches them. @returns whether the kernel took the advice */
export function adviseHugePages({ u8, plan }: Arena): boolean {
  const { conntrack, frames } = plan.regions;
  let advised = true;
  try {
    loadNative().adviseHugePages(u8, 0, plan.bytes);
  } catch {
    // Without the addon, or without such pages in this kernel, it is slower but not wrong.
    advised = false;
  }
  for (const { offset, bytes } of [conntrack, frames]) u8.fill(0, offset, offset + bytes);
  return advised;
}
