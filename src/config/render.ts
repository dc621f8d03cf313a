// The summary of a configuration as text for people.
import { formatDuration } from "./duration.ts";
import { formatIssue } from "./error.ts";
import { portsText } from "./ports.ts";
import type { MemorySummary, PoolSummary, Summary, VipSummary } from "./summary.ts";

/** The text that `check` prints, without a final newline. */
export function renderSummary(summary: Summary): string {
  const count = summary.warnings.length;
  const sections = [
    `${summary.file} is valid${count === 0 ? "" : `, with ${counted(count, "warning")}`}`,
    renderMachine(summary),
    renderVips(summary.vips),
    renderGuards(summary.vips),
    ...summary.pools.map(renderPool),
  ];
  if (count > 0) sections.push(summary.warnings.map((issue) => `warning: ${formatIssue(issue)}`).join("\n"));
  if (summary.notes.length > 0) sections.push(summary.notes.map((note) => `note: ${note}`).join("\n"));
  return sections.filter((section) => section !== "").join("\n\n");
}

/** Rows as lines of aligned columns, two spaces apart. */
function columns(rows: string[][], indent = ""): string {
  const widths: number[] = [];
  for (const row of rows)
    for (const [index, cell] of row.entries()) widths[index] = Math.max(widths[index] ?? 0, cell.length);
  return rows
    .map(
      (row) =>
        indent +
        row
          .map((cell, index) => cell.padEnd(widths[index]!))
          .join("  ")
          .trimEnd(),
    )
    .join("\n");
}

function renderMachine({
  machine,
  interfaces = [],
  workers,
  frames,
  conntrack,
  hash,
  memory,
}: Summary): string {
  const rows: string[][] = [];
  if (machine) {
    const sources = [machine.address, machine.address6].filter((address) => address !== undefined);
    rows.push(["machine", [machine.name, ...sources].join(", ")]);
  }
  const shown = interfaces.map(({ name, mtu, queues }) =>
    mtu === undefined
      ? `${name} (not on this machine)`
      : `${name} (MTU ${mtu}, ${counted(queues ?? 0, "queue")})`,
  );
  rows.push(["interfaces", shown.join(", ") || "none: offline use only"]);
  if (workers) {
    const cpus = workers.cpus === undefined ? "" : ` on CPUs ${workers.cpus.join(", ")}`;
    rows.push(["workers", `${workers.count}${cpus}, batches of ${workers.batch}`]);
  }
  if (frames) rows.push(["frames", `${frames.count} of ${frames.size} bytes`]);
  if (conntrack) {
    const timeouts = Object.entries(conntrack.timeouts).map(
      ([state, ms]) => `${state} ${formatDuration(ms)}`,
    );
    const { flows, newFlowsPerSecond: limit, persist } = conntrack;
    const ceiling = limit === 0 ? [] : [`at most ${limit} new flows/s`];
    const place = persist === undefined ? [] : [`kept in ${persist}`];
    rows.push(["conntrack", [`${flows} flows`, ...timeouts, ...ceiling, ...place].join(", ")]);
  }
  if (hash) rows.push(["hash seed", hash.seed]);
  if (memory) rows.push(["memory", memoryText(memory)]);
  return columns(rows);
}

/** The whole, what it is for, and the parts of a mebibyte and more. */
function memoryText({ bytes, queues, workers, regions }: MemorySummary): string {
  const mebibytes = (bytes: number) => `${(bytes / 2 ** 20).toFixed(1)} MiB`;
  const parts = Object.entries(regions)
    .filter(([, part]) => part >= 2 ** 20)
    .sort((a, b) => b[1] - a[1])
    .map(([name, part]) => `${name} ${mebibytes(part)}`);
  return `${mebibytes(bytes)} for ${counted(workers, "worker")} and ${counted(queues, "queue")}: ${parts.join(", ")}`;
}

function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? "" : "s"}`;
}

function renderVips(vips: VipSummary[]): string {
  if (vips.length === 0) return "";
  const rows = vips.map((vip) => [
    vip.name,
    vip.address,
    (["tcp", "udp"] as const)
      .map((protocol) => ({ protocol, ports: vip.services.filter((one) => one.protocol === protocol) }))
      .filter(({ ports }) => ports.length > 0)
      .map(({ protocol, ports }) => `${protocol} ${ports.map((one) => portsText(one.port)).join(",")}`)
      .join(" "),
    vip.pool,
    forwardText(vip),
    vip.echo ? "answered" : "dropped",
  ]);
  return columns([["VIP", "ADDRESS", "SERVICES", "POOL", "FORWARD", "PING"], ...rows]);
}

/** What VIPs ask of packets before the connection table does. */
function renderGuards(vips: VipSummary[]): string {
  const rows = vips.flatMap(({ name, guard, quic }) => {
    const { allow, deny = [], packetsPerSecond } = guard ?? {};
    const { limit = 0, prefix, prefix6 } = packetsPerSecond ?? {};
    return [
      ...(allow ? [[name, "allow", allow.join(", ")]] : []),
      ...(deny.length > 0 ? [[name, "deny", deny.join(", ")]] : []),
      ...(limit > 0 ? [[name, "rate", `${limit} packets/s per source /${prefix}, IPv6 /${prefix6}`]] : []),
      ...(quic.routeBy === "none" ? [] : [[name, "QUIC", `routed by ${quic.routeBy}`]]),
    ];
  });
  return rows.length === 0 ? "" : columns([["VIP", "GUARD", ""], ...rows]);
}

/** The mode, and what a tunnel was told. */
function forwardText({ forward, ttl, guePort, tooBig, sourcePrefix }: VipSummary): string {
  return [
    guePort === undefined ? forward : `${forward} to port ${guePort}`,
    ...(ttl === undefined ? [] : [`TTL ${ttl}`]),
    ...(tooBig === "fragment" ? ["in fragments"] : []),
    ...(sourcePrefix === undefined ? [] : [`from ${sourcePrefix.join(" and ")}`]),
  ].join(", ");
}

function renderPool({ name, algorithm, tableSize, health, vips, backends }: PoolSummary): string {
  const users = vips.length === 0 ? "no VIP" : vips.join(", ");
  const checks = health ? `, ${health.type} checks every ${formatDuration(health.interval)}` : "";
  const heading = `pool ${name} for ${users}: ${algorithm}, ${tableSize} slots${checks}`;
  if (backends.length === 0) return `${heading}, no backends`;
  const rows = backends.map((backend) => [
    String(backend.id),
    backend.name,
    backend.address,
    backend.port === undefined ? "-" : String(backend.port),
    String(backend.weight),
    `${(backend.share * 100).toFixed(backend.share < 0.01 ? 3 : 1)}%`,
    backend.mac ?? "resolved",
  ]);
  return `${heading}\n${columns([["ID", "BACKEND", "ADDRESS", "PORT", "WEIGHT", "SHARE", "MAC"], ...rows], "  ")}`;
}
