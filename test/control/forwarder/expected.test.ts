// What the controller expects, against the model of the data path: two accounts of the same rules that share no code.

import assert from "node:assert/strict";
import { test } from "node:test";
import { stringify } from "yaml";
import { parseConfig } from "../../../src/config/load.ts";
import { knowledgeOf } from "../../../src/control/forwarder/knowledge.ts";
import { ProbeSequence } from "../../../src/control/forwarder/probes.ts";
import { macBytes } from "../../../src/mac.ts";
import { anyConfig, Rig } from "../../engine/rig.ts";
import { Model } from "../../model/model.ts";
import { type Config, OFFLINE_SECRET, offlineSetup } from "../../model/setup.ts";

const MAC = macBytes("02:00:00:00:00:00");

test("expected packets are the model's, for every VIP, mode and family", () => {
  const rig = new Rig(anyConfig());
  const model = new Model(offlineSetup(anyConfig() as Config));
  const { config } = parseConfig(stringify(anyConfig()), "any.yaml");
  const sequence = new ProbeSequence(
    rig.engine.directory,
    knowledgeOf(config, rig.engine.directory, OFFLINE_SECRET),
    MAC,
    0,
  );
  const backends = new Set<string | undefined>();
  for (let i = 0; i < 1000; i++) {
    const probe = sequence.next();
    const { bytes, backend } = probe.expected();
    backends.add(backend);
    assert.deepEqual(Buffer.from(bytes), Buffer.from(model.selfTest(probe.bytes)), probe.what);
    assert.notDeepEqual(bytes, probe.bytes);
  }
  assert.deepEqual([...backends].sort(), ["b1", "b2", "b3", "b4", "b5", "b6", "n1", "n2", "n3", "n4"]);
});

test("flows do not repeat for a long time", () => {
  const rig = new Rig(anyConfig());
  const { config } = parseConfig(stringify(anyConfig()), "any.yaml");
  const sequence = new ProbeSequence(
    rig.engine.directory,
    knowledgeOf(config, rig.engine.directory, OFFLINE_SECRET),
    MAC,
    0,
  );
  const seen = new Set(
    Array.from({ length: 5000 }, () => Buffer.from(sequence.next().bytes).toString("hex")),
  );
  assert.equal(seen.size, 5000);
});
