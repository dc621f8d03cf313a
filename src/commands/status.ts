import type { Command } from "commander";
import type { MachineStatus } from "../control/status.ts";
import { type ConnectionOptions, connected, withConnection } from "./connection.ts";

/** `guideway status`: what a running machine says of itself. */
export function register(program: Command): void {
  withConnection(program.command("status"))
    .description("show a running machine: traffic, backends, workers, drops by reason")
    .option("--json", "one JSON object on stdout")
    .action(async ({ json, ...connection }: ConnectionOptions & { json?: true }) => {
      const status = await connected(connection, (client) => client.status());
      const text = json ? JSON.stringify(status) : await render(status);
      process.stdout.write(`${text}\n`);
    });
}

function forwarderText({ healthy, since, reasons, degraded }: MachineStatus["forwarder"]): string {
  const state = `forwarder: ${healthy ? "healthy" : "NOT HEALTHY"} since ${since}`;
  return [state, ...reasons, ...degraded.map((each) => `degraded: ${each}`)].join("\n  ");
}

async function render(status: MachineStatus): Promise<string> {
  const { columns, percent } = await import("../columns.ts");
  const number = (value: number) => Math.round(value).toLocaleString("en-US");
  const sections = [
    `${status.machine}: pid ${status.pid}, up ${number(status.uptimeSeconds)} s, ` +
      `arena ${number(status.arenaBytes / 2 ** 20)} MiB, ${number(status.frames.total)} packet buffers`,
    forwarderText(status.forwarder),
    columns([
      ["INTERFACE", "QUEUES", "MTU", "MAC", "SOCKETS", "XDP", "RX FULL", "FILL EMPTY"],
      ...status.interfaces.map(({ name, queues, mtu, mac, sockets, program, kernel }) => [
        name,
        `${queues}`,
        `${mtu}`,
        mac,
        sockets,
        program ?? "detached",
        number(kernel.rxRingFull),
        number(kernel.rxFillRingEmpty),
      ]),
    ]),
    columns(
      [
        ["WORKER", "PACKETS", "BATCHES", "HANDED", "NS/PACKET", "TRAPS", ""],
        ...status.workers.map(({ worker, packets, batches, handed, nsPerPacket, traps, parked }) => [
          `${worker}`,
          number(packets),
          number(batches),
          number(handed),
          nsPerPacket.toFixed(1),
          number(traps),
          parked ? "idle" : "busy",
        ]),
      ],
      [1, 2, 3, 4, 5],
    ),
    columns(
      [
        ["VIP", "SERVICE", "POOL", "FORWARD", "PACKETS", "BYTES"],
        ...status.vips.map(({ name, address, protocol, ports, pool, forward, packets, bytes }) => [
          name,
          `${address} ${protocol} ${ports.join(",")}`,
          pool,
          forward,
          number(packets),
          number(bytes),
        ]),
      ],
      [4, 5],
    ),
    columns(
      [
        ["POOL", "BACKEND", "STATE", "NEXT HOP", "SHARE", "ACTIVE", "NEW", "PACKETS", "BYTES"],
        ...status.pools.flatMap((pool) =>
          pool.backends.map(({ name, state, nextHop, share, activeFlows, newFlows, packets, bytes }) => [
            pool.name,
            name,
            state,
            nextHop?.mac ? `${nextHop.mac} ${nextHop.dev}` : "unresolved",
            percent(share, 1),
            number(activeFlows),
            number(newFlows),
            number(packets),
            number(bytes),
          ]),
        ),
      ],
      [4, 5, 6, 7, 8],
    ),
    columns(
      [
        ["REASON", "PACKETS"],
        ...Object.entries(status.reasons).map(([reason, count]) => [reason, number(count)]),
      ],
      [1],
    ),
  ];
  return sections.join("\n\n");
}
