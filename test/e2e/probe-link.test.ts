// A check through the data plane arrives at the backend that it names, by the tunnel of the traffic; nothing else takes its way.

import assert from "node:assert/strict";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { after, before, suite, test } from "node:test";
import { fileURLToPath } from "node:url";
import { stringify } from "yaml";
import type { ProbePort } from "../../src/control/probe-ports.ts";
import { Lab } from "../../src/lab/lab.ts";
import type { Forward } from "../../src/lab/topology.ts";
import { startServers } from "../../src/lab/traffic.ts";
import { skipReason } from "../lab/machine.ts";
import { newFolder } from "./harness.ts";
import { configOf, e2ePrefix, poolOf, VIP } from "./setup.ts";

const OPTIONS = { skip: skipReason(), timeout: 60_000 };
const entry = (name: string) => fileURLToPath(new URL(`./${name}.ts`, import.meta.url));

type Way = ProbePort & { backend: string };

class ProbingMachine {
  readonly #child: ChildProcess;
  readonly #lines: AsyncIterator<string>;
  ways: Record<string, Way[]> = {};

  private constructor(child: ChildProcess) {
    this.#child = child;
    this.#lines = createInterface({ input: child.stdout! })[Symbol.asyncIterator]();
  }

  static async start(lab: Lab, file: string, pools: string[]): Promise<ProbingMachine> {
    const argv = [process.execPath, entry("probing-machine"), file, ...pools];
    const machine = new ProbingMachine(lab.spawn("lb1", argv, { stdio: ["ignore", "pipe", "inherit"] }));
    machine.ways = JSON.parse((await machine.#lines.next()).value ?? "{}");
    return machine;
  }

  /** @returns what it has counted */
  async stop(): Promise<{ probe: number; packets: number }> {
    this.#child.kill("SIGTERM");
    const [line] = await Promise.all([this.#lines.next(), once(this.#child, "close")]);
    assert.equal(this.#child.exitCode, 0);
    return JSON.parse(line.value!);
  }

  async kill9(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    this.#child.kill("SIGKILL");
    await once(this.#child, "close");
  }
}

for (const forward of ["l2", "gre"] as Forward[]) {
  suite(`checks through the data plane: ${forward}`, OPTIONS, () => {
    const folder = newFolder();
    const file = join(folder, "guideway.yaml");
    let lab: Lab;
    let machine: ProbingMachine;

    before(async () => {
      lab = await Lab.up({ prefix: e2ePrefix(), backends: 3, forward });
      await startServers(lab);
      // Checks that do not get in the way of those of this test.
      const health = { type: "tcp", via: "tunnel", interval: "1h", initial: "up" };
      const pools = { v4: { ...poolOf(lab), health }, v6: { ...poolOf(lab, "v6"), health } };
      const vip = (name: string, address: string, port: number, pool: string) => ({
        name,
        address,
        port,
        pool,
        forward,
      });
      const vips = [vip("v4", VIP.v4, 80, "v4"), vip("v6", VIP.v6, 80, "v6")];
      writeFileSync(file, stringify({ ...configOf(lab, { workers: 2 }), pools, vips }));
      machine = await ProbingMachine.start(lab, file, ["v4", "v6"]);
    });
    after(async () => {
      await machine?.kill9();
      await lab?.down();
      rmSync(folder, { recursive: true, force: true });
    });

    async function ask(questions: object[]): Promise<string[]> {
      const { stdout } = await lab.exec("lb1", [process.execPath, entry("ask"), JSON.stringify(questions)]);
      return JSON.parse(stdout);
    }

    const through = ({ localAddress, localPort, vip }: Way) => ({
      host: vip.address,
      port: vip.port,
      localAddress,
      localPort,
    });

    for (const family of ["v4", "v6"] as const) {
      test(`${family}: each arrives at its backend, again and again`, async () => {
        const ways = machine.ways[family]!;
        assert.equal(new Set(ways.map(({ localPort }) => localPort)).size, 3);
        const asked = [...ways, ...ways, ...ways.toReversed(), ...ways];
        assert.deepEqual(
          await ask(asked.map(through)),
          asked.map(({ backend }) => backend),
        );
      });

      test(`${family}: a port that names no backend, or another source, is not answered`, async () => {
        const [way] = machine.ways[family]!;
        const unknown = { ...through(way!), localPort: way!.localPort + 1000 };
        assert.deepEqual(await ask([unknown]), ["TIMEOUT"]);
      });
    }

    test("what else this host sends to the VIPs goes its usual way", async () => {
      const device = async () => {
        const { stdout } = await lab.exec("lb1", ["cat", "/sys/class/net/gwprobe0/statistics/tx_packets"]);
        return Number(stdout);
      };
      // From the wire, packets of the tunnels' own source are taken for forged ones.
      const another = "10.0.0.200";
      await lab.exec("lb1", ["ip", "address", "add", `${another}/24`, "dev", "eth0"]);
      const before = await device();
      const free = { host: VIP.v4, port: 80, localAddress: another };
      const answers = await ask([free, free, { ...free, localPort: 19_999 }]);
      assert.ok(
        answers.every((name) => /^be[123]$/.test(name)),
        answers.join(),
      );
      assert.deepEqual(await ask([{ ...free, localAddress: lab.address("lb1", "v4") }]), ["TIMEOUT"]);
      assert.equal(await device(), before);
    });

    test("where the way of the traffic is broken the check fails, though the backend answers", async (t) => {
      const broken = machine.ways.v4![0]!;
      const direct = { host: lab.address(broken.backend, "v4"), port: 80 };
      if (forward === "gre") {
        await lab.exec(broken.backend, ["ip", "link", "set", "dev", "eth0", "xdpdrv", "off"]);
      } else {
        await lab.exec(broken.backend, ["ip", "address", "del", `${VIP.v4}/32`, "dev", "lo"]);
        t.after(() => lab.exec(broken.backend, ["ip", "address", "add", `${VIP.v4}/32`, "dev", "lo"]));
      }
      const [failed, other, alive] = await ask([through(broken), through(machine.ways.v4![1]!), direct]);
      assert.match(failed!, /TIMEOUT|ECONNREFUSED|EHOSTUNREACH|ECONNRESET/);
      assert.deepEqual([other, alive], ["be2", broken.backend]);
    });

    async function leftovers(): Promise<string> {
      const commands = [
        "-4 rule show",
        "-6 rule show",
        "-4 route show table all",
        "-6 route show table all",
        "link show",
      ];
      const outputs = await Promise.all(commands.map((each) => lab.exec("lb1", ["ip", ...each.split(" ")])));
      return outputs
        .flatMap(({ stdout }) => stdout.split("\n"))
        .filter((line) => /gwprobe|7867/.test(line))
        .join("\n");
    }

    test("a killed one leaves its link, and the next one replaces it; an end that is asked for leaves nothing", async () => {
      await machine.kill9();
      assert.match(await leftovers(), /gwprobe0/);
      machine = await ProbingMachine.start(lab, file, ["v4", "v6"]);
      assert.deepEqual(await ask([through(machine.ways.v4![1]!), through(machine.ways.v6![2]!)]), [
        "be2",
        "be3",
      ]);
      assert.equal((await leftovers()).split("\n").filter((line) => line.startsWith("7867:")).length, 2);
      const { probe, packets } = await machine.stop();
      assert.ok(probe >= 10, `${probe} packets`);
      assert.equal(packets, 0, "no VIP has counted any of them");
      assert.equal(await leftovers(), "");
    });

    test("an interface of somebody else is left alone", async () => {
      await lab.exec("lb1", ["ip", "link", "add", "gwprobe1", "type", "veth", "peer", "name", "gwprobe0"]);
      const argv = [process.execPath, entry("probing-machine"), file, "v4"];
      const { stderr, code } = await lab.exec("lb1", argv, { check: false });
      assert.notEqual(code, 0);
      assert.match(stderr, /forwarder.probe.interface: there is another interface gwprobe0/);
      await lab.exec("lb1", ["ip", "link", "del", "gwprobe1"]);
    });
  });
}
