// Every forwarding mode, both families inside and out, against Scapy: it builds the packets that come and says, byte for
// byte, what each should have become, checksums and lengths by its own computation.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { suite, test } from "node:test";
import { fileURLToPath } from "node:url";
import { parseConfig } from "../../src/config/load.ts";
import { OfflineEngine } from "../../src/io/offline.ts";
import { runs } from "../runs.ts";

/** Debian's: what the set-up installs. */
const PYTHON = "/usr/bin/python3";
const script = fileURLToPath(new URL("scapy_oracle.py", import.meta.url));
const SOURCE = { v4: "10.0.0.11", v6: "fd00::11" };

interface Backend {
  name: string;
  address: string;
  mac: string;
  port?: number;
}

function scapy(args: string[], input = ""): string[] {
  const { stdout, stderr, status, error } = spawnSync(PYTHON, [script, ...args], {
    input,
    encoding: "utf8",
    maxBuffer: 1 << 28,
    timeout: 120_000,
  });
  assert.equal(status, 0, `${error ?? stderr} (python3-scapy is installed by npm run setup)`);
  return stdout.split("\n").slice(0, -1);
}

/** Bytes that a mode adds. */
function overheadOf(mode: string, backend: string): number {
  const ip = backend === "v4" ? 20 : 40;
  return { l2: 0, nat: 0, gre: ip + 4, ipip: ip, gue: ip + 8 }[mode]!;
}

function backendsOf(family: "v4" | "v6", mode: string): Backend[] {
  return [1, 2, 3].map((n) => ({
    name: `b${n}`,
    address: family === "v4" ? `10.1.0.${n}` : `fd01::${n}`,
    mac: `02:00:00:00:01:0${n}`,
    ...(mode === "nat" && { port: 8000 + n }),
  }));
}

const CASES = ["l2", "nat", "gre", "ipip", "gue"].flatMap((mode) =>
  (["v4", "v6"] as const).flatMap((inner) =>
    (["v4", "v6"] as const)
      .filter((backend) => mode !== "nat" || backend === inner)
      .flatMap((backend) =>
        (mode === "l2" || mode === "nat" ? ["reply"] : ["reply", "fragment"]).map((tooBig) => ({
          mode,
          inner,
          backend,
          tooBig,
        })),
      ),
  ),
);

suite("Scapy agrees", { concurrency: false }, () => {
  for (const { mode, inner, backend, tooBig } of CASES) {
    test(`${mode}, ${inner} to ${backend} backends, too big: ${tooBig}`, async () => {
      const address = inner === "v4" ? "10.99.0.1" : "2001:db8:99::1";
      const vips = [
        { address, protocol: "tcp", port: 80 },
        { address, protocol: "udp", port: 53 },
      ];
      const backends = backendsOf(backend, mode);
      const pool = (name: string) => [name, { tableSize: 251, backends }] as const;
      const tunnel = mode === "l2" || mode === "nat" ? {} : { tunnel: { tooBig } };
      const document = {
        machine: { address: SOURCE.v4, address6: SOURCE.v6 },
        icmp: { errorsPerSecond: 1_000_000 },
        pools: Object.fromEntries(mode === "nat" ? [pool("tcp"), pool("udp")] : [pool("tcp")]),
        vips: vips.map((vip) => ({
          name: vip.protocol,
          ...vip,
          pool: mode === "nat" ? vip.protocol : "tcp",
          forward: mode,
          ...tunnel,
        })),
      };
      const { config } = parseConfig(JSON.stringify(document), "scapy.yaml");
      const packets = scapy(["build", String(runs.seed), String(runs.scapy.packets), JSON.stringify(vips)]);
      const engine = new OfflineEngine(config, { inline: true });
      const results = await engine.process(
        packets.map((hex) => ({ bytes: Buffer.from(hex, "hex"), timeMs: 0 })),
      );
      const names = engine.engine.directory.backends;
      const cases = results.flatMap(({ out, fragments = [], reason, backend: id }, i) => {
        if (!out) return [];
        const sent = [out, ...fragments].map((bytes) => Buffer.from(bytes).toString("hex"));
        const chosen = backends.find(({ name }) => name === names[id]?.config.name);
        return [
          {
            in: packets[i],
            out: sent,
            reason,
            mode,
            backend: chosen,
            source: SOURCE.v4,
            source6: SOURCE.v6,
            overhead: overheadOf(mode, backend),
          },
        ];
      });
      await engine.close();
      const problems = scapy(["check"], cases.map((each) => `${JSON.stringify(each)}\n`).join(""));
      assert.equal(problems.length, cases.length);
      for (const [i, problem] of problems.entries()) assert.equal(problem, "", JSON.stringify(cases[i]));

      const count = (wanted: string) => cases.filter(({ reason }) => reason === wanted).length;
      assert.ok(
        count("new") > packets.length / 4 && count("echo") > 0,
        `${count("new")} new, ${count("echo")} echo`,
      );
      const isTunnel = mode !== "l2" && mode !== "nat";
      const split = cases.filter(({ out }) => out.length > 1).length;
      if (isTunnel && tooBig === "reply") assert.ok(count("too-big-replied") > 0, "some senders are told");
      if (isTunnel && tooBig === "fragment") assert.ok(split > 0, "some leave in fragments");
    });
  }
});
