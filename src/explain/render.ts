// An explanation as text for people.

import { columns, counted } from "../columns.ts";
import { portsText } from "../config/ports.ts";
import { isWildcard, PROTOCOL_TCP } from "../config/services.ts";
import type { Change } from "./changes.ts";
import type { Explanation, ShownPacket } from "./explain.ts";
import type { Fragment, Quote } from "./flow-hints.ts";
import { guardText } from "./guard.ts";
import { type Field, fieldAt } from "./headers.ts";

/** The text that `explain` prints, without a final newline. */
export function renderExplanation(explanation: Explanation): string {
  const { before, after, fragments, changes, passes } = explanation;
  const sections = [renderPacket("packet in", before, changes, "before"), columns(steps(explanation))];
  if (after) {
    sections.push(
      renderPacket(fragments.length > 0 ? "fragment 1 out" : "packet out", after, changes, "after"),
    );
    for (const [index, each] of fragments.entries())
      sections.push(renderPacket(`fragment ${index + 2} out`, each, [], "after"));
    sections.push(renderChanges(explanation));
  }
  if (passes.length > 1) {
    const rows = passes.map((pass, i) => [
      String(i + 1),
      `${pass.verdict} ${pass.reason}`,
      pass.connection,
      pass.backend ?? "-",
    ]);
    sections.push(columns([["PASS", "VERDICT", "CONNECTION TABLE", "BACKEND"], ...rows], [0]));
  }
  return sections.join("\n\n");
}

const TRACKS: Readonly<Record<string, string>> = {
  none: "not known, and not entered",
  hit: "hit, in its home line",
  "hit-away": "hit, in the neighbouring line",
  inserted: "not known: inserted in its home line",
  "inserted-away": "not known: inserted in the neighbouring line, since its home line is full",
  evicted: "not known: inserted in place of another flow, since both lines are full",
  replaced: "known, but its backend is dead: the entry is replaced",
};

function trackText(outcome: string, answer: boolean): string {
  if (answer && outcome === "none") return "not known: translated all the same";
  return TRACKS[outcome] ?? outcome;
}

/** Each decision and how it came out, in the order in which the engine takes them. */
function steps(explanation: Explanation): string[][] {
  const { vip, service, flow, guard, connection, lookup, backend, changes, verdict, reason, meaning } =
    explanation;
  const { answer, quote, fragment, fragments } = explanation;
  const rows: string[][] = [];
  if (vip && service) {
    const { protocol, port, number } = service;
    const what = protocol.startsWith("icmp")
      ? `the address itself (${protocol})`
      : `${protocol} port ${portsText(port)}`;
    rows.push(["VIP", `${vip.name}: ${vip.address}`], ["service", `${number}: ${what}`]);
  } else {
    rows.push(["VIP", reason === "not-vip" ? "none has this service" : "not asked: it was decided before"]);
  }
  if (quote) rows.push(["quotes", quoteText(quote)]);
  if (fragment) rows.push(["fragment", fragmentText(fragment)]);
  if (answer) {
    const origin = `where backend ${backend?.name} answers for it`;
    rows.push([
      "answer",
      quote ? `about a packet of the client's to ${origin}` : `from ${origin}, to the client`,
    ]);
  }
  if (guard) rows.push(["guard", guardText(guard)]);
  if (flow) {
    const key = { address: vip!.address, protocol: PROTOCOL_TCP, port: service!.port };
    const ends = ["source", "destination"];
    if (answer) ends.reverse();
    // An error about a flow is of that flow's service; any other is of the address.
    const parts =
      quote && !service!.protocol.startsWith("icmp") ? ends.reverse().map((end) => `quoted ${end}`) : ends;
    const from = isWildcard(key) ? parts.join(", ") : parts[0];
    rows.push(
      ["flow key", `${flow.key}, mixed from ${from}, service ${service!.number} and the secret`],
      ["shard", `${flow.shard} of ${flow.shards}`],
      ["line", `${flow.line} of ${flow.lines}, fingerprint ${flow.fingerprint}, signature ${flow.signature}`],
      ["connection table", connection ? trackText(connection.outcome, answer) : "not asked"],
    );
  }
  if (lookup) {
    const found =
      lookup.slot === null ? "the table is empty" : `slot ${lookup.slot} of ${lookup.size} = ${lookup.entry}`;
    rows.push(["lookup table", `pool ${vip!.pool}: hash ${lookup.hash}, ${found}`]);
  } else if (flow) {
    rows.push(["lookup table", "not asked"]);
  }
  if (backend) {
    const { name, id, pool, address, nextHop } = backend;
    rows.push(["backend", `${name}, id ${id} of pool ${pool}: ${address}`], ["next hop", nextHop]);
  }
  if (verdict === "forward") {
    const pieces = fragments.length > 0 ? `, ${fragments.length + 1} fragments` : "";
    rows.push(["rewrite", `${vip!.forward}${pieces}: ${summary(changes)}`]);
  }
  if (verdict === "reply")
    rows.push(["rewrite", `${reason === "echo" ? "echo reply" : "ICMP error"}: ${summary(changes)}`]);
  rows.push(["verdict", `${verdict}, ${reason}: ${meaning}`]);
  return rows;
}

function quoteText({ protocol, source, destination, sourcePort, destinationPort }: Quote): string {
  const end = (address: string, port: number | null) => {
    if (port === null) return address;
    return address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`;
  };
  const protocols = protocol.match(/^\d/) ? `protocol ${protocol}` : protocol;
  return `${protocols} ${end(source, sourcePort)} > ${end(destination, destinationPort)}`;
}

function fragmentText({ identification, offset, more }: Fragment): string {
  if (offset === 0) return `the first of datagram ${identification}, with the ports`;
  return `${more ? "one" : "the last"} of datagram ${identification}, from byte ${offset}: the first has the ports`;
}

function summary(changes: readonly Change[]): string {
  return changes
    .map(
      ({ kind, bytes, fields }) =>
        `${kind === "changed" ? "" : `${kind} ${counted(bytes, "byte")}: `}${fields.join(", ")}`,
    )
    .join("; ");
}

/** Headers with their fields; those that were changed or added are marked. Then the bytes. */
function renderPacket(
  title: string,
  { bytes, length, headers }: ShownPacket,
  changes: readonly Change[],
  side: "before" | "after",
): string {
  const here = changes.filter(({ kind }) => kind !== (side === "before" ? "added" : "cut"));
  const differs = (field: Field) =>
    here.some(({ offset, bytes }) => field.offset < offset + bytes && offset < field.offset + field.bytes);
  const rows = headers.flatMap(({ name, offset, bytes: size, fields }) => [
    [`${offset}`, name, fields.length === 0 ? counted(size, "byte") : ""],
    ...fields.map((field) => [`${field.offset}`, `  ${field.name}`, field.value, differs(field) ? "*" : ""]),
  ]);
  return [`${title}: ${counted(length, "byte")}`, columns(rows, [0], "  "), `  ${bytes}`].join("\n");
}

/** What became of each field; where there are no fields, of the bytes. */
function renderChanges({ changes, before, after }: Explanation): string {
  const value = (side: ShownPacket | null, { offset }: Change) => fieldAt(side?.headers ?? [], offset)?.value;
  const rows = changes.map((change) => {
    const { kind, offset, bytes, fields } = change;
    const old = value(before, change) ?? change.before;
    const now = value(after, change) ?? change.after;
    return [
      bytes === 1 ? `byte ${offset}` : `bytes ${offset}-${offset + bytes - 1}`,
      fields.join(", "),
      kind === "changed" ? `${old} > ${now}` : `${kind}: ${change.before}${change.after}`,
    ];
  });
  return ["changes:", columns(rows, [], "  ")].join("\n").trimEnd();
}
