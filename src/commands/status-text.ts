// `guideway status` for people: first whether something is wrong, then what goes where, then counters.

import { columns, percent } from "../columns.ts";
import { portsText } from "../config/ports.ts";
import type { CheckedBackend, Overview } from "../control/overview.ts";

const number = (value: number) => Math.round(value).toLocaleString("en-US");

/** The whole text. */
export function renderStatus(status: Overview): string {
  const tables = [
    vipTable(status),
    poolTable(status),
    interfaceTable(status),
    workerTable(status),
    vipReasonTable(status),
    reasonTable(status),
  ].filter((table) => table !== "");
  return [headText(status), ...tables].join("\n\n");
}

/** What an operator has to know, a line each, and reasons below. */
function headText(status: Overview): string {
  const { machine, pid, uptimeSeconds, arenaBytes, frames } = status;
  return [
    `${machine}: pid ${pid}, up ${number(uptimeSeconds)} s, ` +
      `arena ${number(arenaBytes / 2 ** 20)} MiB, ${number(frames.total)} packet buffers`,
    ...forwarderLines(status.forwarder),
    ...configurationLines(status.configuration),
    ...announcementLines(status.announcement),
    ...stateFileLines(status.history),
    ...persistenceLines(status.persistence),
  ].join("\n");
}

const below = (lines: readonly string[]) =>
  lines.flatMap((line) => line.split("\n")).map((line) => `  ${line}`);

function forwarderLines({ healthy, since, reasons, degraded }: Overview["forwarder"]): string[] {
  return [
    `forwarder: ${healthy ? "healthy" : "NOT HEALTHY"} since ${since}`,
    ...below(reasons),
    ...below(degraded.map((each) => `degraded: ${each}`)),
  ];
}

function configurationLines({ file, generation, appliedAt, refused }: Overview["configuration"]): string[] {
  const lines = [`configuration: ${file}, generation ${generation} since ${appliedAt}`];
  if (!refused) return lines;
  return [...lines, ...below([`LAST CHANGE REFUSED at ${refused.at} (${refused.code}):`, refused.message])];
}

function announcementLines(announcement: Overview["announcement"]): string[] {
  const { kind, connected, error, announced, wanted, peers } = announcement;
  if (kind === "none") return ["announcement: none is configured"];
  const there = announced.map(({ prefix }) => prefix);
  const missing = wanted.filter((prefix) => !there.includes(prefix));
  return [
    `announcement: ${kind}${connected ? "" : ", NOT CONNECTED"}, announced: ${there.join(", ") || "nothing"}`,
    ...below(missing.map((prefix) => `NOT ANNOUNCED YET: ${prefix}`)),
    ...below(error === undefined ? [] : [error]),
    ...below(
      peers.map(({ address, asn, state, uptimeSeconds, advertisedPrefixes }) => {
        const up = uptimeSeconds === undefined ? "" : ` for ${number(uptimeSeconds)} s`;
        const told = advertisedPrefixes === undefined ? "" : `, told ${number(advertisedPrefixes)} prefixes`;
        return `peer ${address} (AS ${asn}): ${state === "established" ? state : state.toUpperCase()}${up}${told}`;
      }),
    ),
  ];
}

function stateFileLines({ audit, lastGood }: Overview["history"]): string[] {
  const { pending, lost } = audit;
  return [audit, lastGood].flatMap((each) => {
    if (each.error === undefined) return [];
    const waiting = each === audit ? `; ${pending} entries wait, ${lost} are lost` : "";
    return [`CANNOT BE WRITTEN: ${each.file} (${each.error})${waiting}`];
  });
}

function persistenceLines(persistence: Overview["persistence"]): string[] {
  if (!persistence) return [];
  const { folder, error, setAside, kept, expired, forsaken, crowded } = persistence;
  const lost = [
    [expired, "had expired"],
    [forsaken, "were of backends that are gone"],
    [crowded, "found no room"],
  ]
    .filter(([flows]) => flows !== 0)
    .map(([flows, what]) => `, ${number(flows as number)} ${what}`);
  return [
    `connections: in ${folder}, ${number(kept)} taken over at the start${lost.join("")}`,
    ...below(error === undefined ? [] : [`WILL NOT OUTLIVE THIS PROCESS: ${error}`]),
    ...below(setAside ? [`SET ASIDE at the start: ${setAside.file} (${setAside.reason})`] : []),
  ];
}

function vipTable({ vips, announcement }: Overview): string {
  const announced = (is: boolean) => (announcement.kind === "none" ? "-" : is ? "yes" : "NO");
  return columns(
    [
      ["VIP", "SERVICE", "POOL", "FORWARD", "USABLE", "ANNOUNCED", "PACKETS", "BYTES"],
      ...vips.map((vip) => [
        vip.name,
        `${vip.address} ${vip.protocol} ${vip.ports.map(portsText).join(",")}`,
        vip.pool,
        vip.forward,
        vip.usable ? "yes" : vip.draining ? "DRAINING" : "NO",
        announced(vip.announced),
        number(vip.packets),
        number(vip.bytes),
      ]),
    ],
    [6, 7],
  );
}

function poolTable({ pools }: Overview): string {
  const rows = pools.flatMap((pool) =>
    pool.backends.map((backend) => [
      pool.name,
      backend.name,
      stateText(backend),
      healthText(backend, pool.open),
      backend.nextHop?.mac ? `${backend.nextHop.mac} ${backend.nextHop.dev}` : "unresolved",
      `${backend.weight}`,
      percent(backend.share, 1),
      number(backend.activeFlows),
      number(backend.newFlows),
      number(backend.packets),
      number(backend.bytes),
    ]),
  );
  const head = [
    ...[
      "POOL",
      "BACKEND",
      "STATE",
      "HEALTH",
      "NEXT HOP",
      "WEIGHT",
      "SHARE",
      "ACTIVE",
      "NEW",
      "PACKETS",
      "BYTES",
    ],
  ];
  return columns([head, ...rows], [5, 6, 7, 8, 9, 10]);
}

/** The state, and what operators asked for where that is not all that there is to it. */
function stateText({ state, asked }: CheckedBackend): string {
  if (asked === "active" || asked === state) return asked === "dead" ? "dead (asked for)" : state;
  return `${state} (asked: ${asked})`;
}

function healthText({ health }: CheckedBackend, open: boolean): string {
  if (!health) return "not checked";
  const { state, reason, flapping } = health;
  const why = state === "down" && reason !== "" ? `: ${reason.split("\n")[0]}` : "";
  return `${state}${flapping ? ", flapping" : ""}${open ? ", disregarded" : ""}${why}`;
}

function interfaceTable({ interfaces }: Overview): string {
  return columns([
    ["INTERFACE", "QUEUES", "MTU", "MAC", "SOCKETS", "XDP", "RX FULL", "FILL EMPTY"],
    ...interfaces.map(({ name, queues, mtu, mac, sockets, program, kernel }) => [
      name,
      `${queues}`,
      `${mtu}`,
      mac,
      sockets,
      program ?? "detached",
      number(kernel.rxRingFull),
      number(kernel.rxFillRingEmpty),
    ]),
  ]);
}

function workerTable({ workers }: Overview): string {
  return columns(
    [
      ["WORKER", "PACKETS", "BATCHES", "HANDED", "NS/PACKET", "TRAPS", ""],
      ...workers.map(({ worker, packets, batches, handed, nsPerPacket, traps, parked }) => [
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
  );
}

/** What became of each VIP's packets, but for hits: what is wrong with one of them shows here. */
function vipReasonTable({ vips }: Overview): string {
  const rows = vips.flatMap(({ name, reasons }) =>
    Object.entries(reasons).map(([reason, count]) => [name, reason, number(count)]),
  );
  return rows.length === 0 ? "" : columns([["VIP", "REASON", "PACKETS"], ...rows], [2]);
}

function reasonTable({ reasons }: Overview): string {
  const rows = Object.entries(reasons).map(([reason, count]) => [reason, number(count)]);
  return columns([["REASON", "PACKETS"], ...rows], [1]);
}
