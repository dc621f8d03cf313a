// A process that enters flows until it is killed: node writer.ts FOLDER. Says on stdout when there are some.

import { KeptFlows } from "../../../src/dataplane/persistence/kept-flows.ts";
import type { Logger } from "../../../src/log.ts";
import { Rig } from "../../engine/rig.ts";
import { document, packetTo } from "./life.ts";

const silent = { info() {}, warn() {}, error() {} } as unknown as Logger;
const [folder] = process.argv.slice(2);
const rig = new Rig(document(), { keep: (config) => new KeptFlows(folder!, config, silent) });
for (let n = 0; ; n++) {
  rig.clockMs = rig.kept!.clockMs;
  for (const flags of ["S", "A", "F"])
    rig.deliver(0, packetTo(n & 1 ? "10.99.0.1" : "fd99::1", 80, flags, n >>> 1));
  rig.run(0);
  rig.records();
  rig.collect();
  if (n === 500) process.stdout.write("begun\n");
}
