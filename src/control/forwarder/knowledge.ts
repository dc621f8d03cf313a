// The controller's own account of what decides about packets, as the directory keeps it.

import { addressBytes } from "../../config/address.ts";
import type { Config } from "../../config/schema.ts";
import type { Directory } from "../../dataplane/directory.ts";
import type { Knowledge } from "./expected.ts";

export function knowledgeOf({ hash, machine }: Config, directory: Directory): Knowledge {
  const { address, address6 } = machine;
  return {
    seed: hash.seed,
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
