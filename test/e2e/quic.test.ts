// HTTP/3-shaped UDP whose clients change their addresses, and a guard, in front of real sockets.

import assert from "node:assert/strict";
import { after, before, suite, test } from "node:test";
import { fileURLToPath } from "node:url";
import { Lab } from "../../src/lab/lab.ts";
import { skipReason } from "../lab/machine.ts";
import { startBalancer } from "./harness.ts";
import type { QuicResult } from "./quic-peer.ts";
import { checkCounters, configOf, e2ePrefix, poolOf, VIP } from "./setup.ts";

const PEER = fileURLToPath(new URL("./quic-peer.ts", import.meta.url));
const BACKENDS = 4;
const PORTS = { byServerId: 443, byFlow: 8443 } as const;
const CONNECTIONS = 40;
const MOVES = 10;
/** The client's own address and two more. */
const FROM = {
  v4: ["10.0.1.2", "10.0.1.3", "10.0.1.4"],
  v6: ["fd00:1::2", "fd00:1::3", "fd00:1::4"],
} as const;
const DENIED = { v4: "10.0.1.66", v6: "fd00:1::66" } as const;

suite("QUIC by server id", { skip: skipReason(), timeout: 90_000 }, () => {
  let lab: Lab;
  before(async () => {
    lab = await Lab.up({ prefix: e2ePrefix(), backends: BACKENDS, queues: 1 });
    for (const address of [...FROM.v4.slice(1), DENIED.v4])
      await lab.exec("client", ["ip", "addr", "add", `${address}/24`, "dev", "eth0"]);
    for (const address of [...FROM.v6.slice(1), DENIED.v6])
      await lab.exec("client", ["ip", "addr", "add", `${address}/64`, "dev", "eth0", "nodad"]);
    await Promise.all(
      lab.nodes("backend").flatMap((node, i) => Object.values(PORTS).map((port) => serve(node, i, port))),
    );
  });
  after(() => lab?.down());

  const idOf = (index: number) => (0x0a01 + index).toString(16).padStart(4, "0");

  async function serve(node: string, index: number, port: number): Promise<void> {
    const addresses = Object.values(VIP).flatMap((address) => ["--address", address]);
    const id = ["--name", node, "--id", idOf(index), "--port", String(port)];
    const child = lab.spawn(node, [process.execPath, PEER, "server", ...id, ...addresses]);
    await new Promise((resolve, reject) => {
      child.stdout!.once("data", resolve);
      child.once("exit", (code) => reject(new Error(`the server in ${node} ended with ${code}`)));
    });
  }

  async function client(
    family: "v4" | "v6",
    port: number,
    from: readonly string[],
    connections = CONNECTIONS,
  ) {
    const options = [
      ...["--address", VIP[family], "--port", String(port)],
      ...["--connections", String(connections), "--moves", String(MOVES)],
      ...from.flatMap((address) => ["--from", address]),
    ];
    const { stdout } = await lab.exec("client", [process.execPath, PEER, "client", ...options]);
    return JSON.parse(stdout) as QuicResult;
  }

  function balancerConfig(): object {
    const pools = Object.fromEntries(
      (["v4", "v6"] as const).map((family) => {
        const { backends } = poolOf(lab, family);
        return [family, { backends: backends.map((each, i) => ({ ...each, quicServerId: idOf(i) })) }];
      }),
    );
    const vip = (family: "v4" | "v6", name: string, port: number, more: object) => ({
      ...{ name: `${name}-${family}`, address: VIP[family], protocol: "udp", port, pool: family },
      guard: { deny: [DENIED[family]] },
      ...more,
    });
    const vips = (["v4", "v6"] as const).flatMap((family) => [
      vip(family, "h3", PORTS.byServerId, { quic: { routeBy: "server-id" } }),
      vip(family, "flows", PORTS.byFlow, {}),
    ]);
    return { ...configOf(lab, { workers: 2, pools }), vips };
  }

  test("a client that changes its address keeps its backend; without server ids it does not", async (t) => {
    const balancer = await startBalancer(lab, "lb1", balancerConfig());
    t.after(() => balancer.close());
    for (const family of ["v4", "v6"] as const) {
      const sent = CONNECTIONS * (1 + MOVES);
      const byId = await client(family, PORTS.byServerId, FROM[family]);
      assert.deepEqual(
        { ...byId, backends: undefined },
        { sent, answered: sent, moved: 0, backends: undefined },
      );
      assert.deepEqual(Object.keys(byId.backends).sort(), lab.nodes("backend"), family);
      const byFlow = await client(family, PORTS.byFlow, FROM[family]);
      assert.equal(byFlow.answered, sent);
      assert.ok(byFlow.moved > (sent - CONNECTIONS) / 2, `${byFlow.moved} of ${sent} moved`);

      const denied = await client(family, PORTS.byServerId, [DENIED[family]], 3);
      assert.deepEqual({ sent: denied.sent, answered: denied.answered }, { sent: 3, answered: 0 });
      const { vips } = await balancer.status();
      const reasons = vips.find(({ name }) => name === `h3-${family}`)!.reasons;
      assert.deepEqual(reasons, { new: CONNECTIONS, "server-id": CONNECTIONS * MOVES, denied: 3 });
    }
    await checkCounters(balancer);
    assert.equal((await balancer.stop()).code, 0);
  });
});
