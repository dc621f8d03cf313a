// iperf3 sends large UDP datagrams through the balancer: every fragment of every one arrives, at the backend of its flow.
//
// Its control connection goes to one backend alone. The datagrams have four to go to, and iperf3 sends them from a port for
// which the model says that they go to the same one: at any other nobody would count them.

import assert from "node:assert/strict";
import { once } from "node:events";
import { after, before, suite, test } from "node:test";
import { Lab } from "../../src/lab/lab.ts";
import { skipReason } from "../lab/machine.ts";
import { Model } from "../model/model.ts";
import { type Config, offlineSetup } from "../model/setup.ts";
import { packet } from "../packets/packet.ts";
import { type Balancer, startBalancer } from "./harness.ts";
import { checkCounters, checkFrames, configOf, e2ePrefix, poolOf, VIP } from "./setup.ts";

const OPTIONS = { skip: skipReason("iperf3"), timeout: 90_000 };
const FAMILIES = ["v4", "v6"] as const;
type Family = (typeof FAMILIES)[number];
const PORT = 5201;
const CHOSEN = "be3";
const DATAGRAM_BYTES = 8000;
/** Of one datagram: with an MTU of 1500 less than 1,480 or 1,448 bytes each, with 1400 less than 1,376 or 1,352. */
const FRAGMENTS = 6;
const BITRATE = "4M";
const SECONDS = 2;
/** What iperf3 sends to open a flow: four bytes. */
const OPENINGS = 1;
/** MTU of the client's packets in front of a tunnel: of fragments there is no telling that it needs room. */
const CLIENT_MTU = 1400;

interface Report {
  error?: string;
  end: { streams: { udp: { packets: number; lost_packets: number; out_of_order: number; bytes: number } }[] };
}

for (const forward of ["l2", "gre"] as const) {
  suite(`iperf3 with fragments, forward: ${forward}`, OPTIONS, () => {
    let lab: Lab;
    let balancer: Balancer;
    let config: Config;
    before(async () => {
      lab = await Lab.up({ prefix: e2ePrefix(), backends: 4, queues: 2, forward });
      if (forward === "gre") await Promise.all(FAMILIES.map(limitPackets));
      await Promise.all(
        lab.nodes("backend").flatMap((node) => FAMILIES.map((family) => serve(node, family))),
      );
      config = configFor(lab);
      balancer = await startBalancer(lab, "lb1", config);
    });
    after(async () => {
      await balancer?.close();
      await lab?.down();
    });

    async function limitPackets(family: Family): Promise<void> {
      const via = lab.address("client", family).replace(/2$/, "1");
      const route = ["route", "change", "default", "via", via, "mtu", String(CLIENT_MTU)];
      await lab.exec("client", ["ip", family === "v4" ? "-4" : "-6", ...route]);
    }

    /** Bound to the VIP: else it would answer from the machine's own address. */
    async function serve(node: string, family: Family): Promise<void> {
      const argv = ["iperf3", "--server", "--bind", VIP[family], "--port", String(PORT), "--forceflush"];
      const child = lab.spawn(node, argv);
      let told = "";
      for (const stream of [child.stdout!, child.stderr!]) stream.on("data", (text) => (told += text));
      while (!told.includes("listening")) {
        await Promise.race([once(child.stdout!, "data"), once(child, "exit")]);
        if (child.exitCode !== null) throw new Error(`iperf3 in ${node} ended: ${told}`);
      }
    }

    function configFor(lab: Lab): Config {
      const pools = Object.fromEntries(
        FAMILIES.flatMap((family) => {
          const all = poolOf(lab, family);
          const backends = all.backends.filter(({ name }) => name === CHOSEN);
          return [
            [`control-${family}`, { backends }],
            [`data-${family}`, all],
          ];
        }),
      );
      const vips = FAMILIES.flatMap((family) => [
        { name: `control-${family}`, pool: `control-${family}`, protocol: "tcp" as const },
        { name: `data-${family}`, pool: `data-${family}`, protocol: "udp" as const },
      ]).map((vip) => ({ ...vip, address: VIP[vip.name.slice(-2) as Family], port: PORT, forward }));
      return { ...configOf(lab, { workers: 2, pools }), pools, vips };
    }

    /** A client's port whose datagrams go to the backend that is chosen. */
    function portOf(family: Family): number {
      const model = new Model(offlineSetup(config));
      const ends = { src: lab.address("client", family), dst: VIP[family] };
      const link = packet().ethernet();
      const ip = family === "v4" ? link.ipv4(ends) : link.ipv6(ends);
      for (let sport = 20_000; ; sport++) {
        if (model.process(ip.udp({ sport, dport: PORT }).bytes(), 0).backend === CHOSEN) return sport;
      }
    }

    for (const family of FAMILIES) {
      test(`${family}: nothing is lost, all at one backend`, async () => {
        const where = ["--client", VIP[family], "--port", String(PORT)];
        const from = ["--bind", lab.address("client", family), "--cport", String(portOf(family))];
        const how = [
          "--udp",
          "--length",
          String(DATAGRAM_BYTES),
          "--bitrate",
          BITRATE,
          "--time",
          String(SECONDS),
        ];
        const { stdout } = await lab.exec("client", ["iperf3", ...where, ...from, ...how, "--json"], {
          check: false,
        });
        const { error, end } = JSON.parse(stdout) as Report;
        assert.equal(error, undefined);
        const { packets: sent, lost_packets, out_of_order, bytes } = end.streams[0]!.udp;
        assert.deepEqual({ lost_packets, out_of_order }, { lost_packets: 0, out_of_order: 0 });
        assert.equal(bytes, sent * DATAGRAM_BYTES);
        assert.ok(sent > (SECONDS * 4e6) / 8 / DATAGRAM_BYTES / 2, `${sent} datagrams`);

        const { pools, vips } = await balancer.status();
        const data = pools.find(({ name }) => name === `data-${family}`)!.backends;
        const served = data.filter(({ packets }) => packets > 0);
        assert.deepEqual(
          served.map(({ name, newFlows }) => ({ name, newFlows })),
          [{ name: CHOSEN, newFlows: 1 }],
        );
        assert.equal(served[0]!.packets, sent * FRAGMENTS + OPENINGS);
        const { reasons } = vips.find(({ name }) => name === `data-${family}`)!;
        assert.deepEqual(reasons, { new: 1 });
      });
    }

    test("every packet is counted, every frame is back", async () => {
      await checkFrames(balancer);
      await checkCounters(balancer);
    });
  });
}
