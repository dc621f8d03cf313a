// The controller's own account of what decides about packets, as the directory keeps it.

import { addressBytes } from "../../config/address.ts";
import type { Config } from "../../config/schema.ts";
import type { Directory } from "../../dataplane/directory.ts";
import type { Knowledge } from "./expected.ts";

/** @param secret four words, the machine's */
export function knowledgeOf(
  { hash, machine }: Config,
  directory: Directory,
  secret: readonly bigint[],
): Knowledge {
  const { address, address6 } = machine;
  return {
    seed: hash.seed,
    secret,
    sources: {
      v4: address === undefined ? undefined : addressBytes(address),
      v6: address6 === undefined ? undefined : addressBytes(address6),
    },
    slots: (pool) => directory.table(pool).slots,
    backend: (id) => directory.backends[id]!.config,
    nextHop: (id) => directory.records.nextHop(id),
    interface: (index) => directory.interface(index),
  };
}
