// The capture through `guideway replay` and through the model, packet by packet.

import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { stringify } from "yaml";
import { openPcap } from "../../src/io/pcap-reader.ts";
import type { VerdictLine } from "../../src/replay/replay.ts";
import type { ReplaySummary } from "../../src/replay/tally.ts";
import { guideway } from "../commands/guideway.ts";
import { Model, type Outcome } from "../model/model.ts";
import { type Config, offlineSetup } from "../model/setup.ts";
import { decode } from "../packets/decode.ts";
import { type Dissected, dissectAll } from "./dissect.ts";

export const CAPTURE = fileURLToPath(new URL("traffic.pcap", import.meta.url));

/** A packet of the capture, and what became of it. */
export interface Replayed extends Dissected, VerdictLine {
  bytes: Uint8Array;
  /** What left: nothing, a packet, or several fragments. */
  out: Uint8Array[];
  model: Outcome;
}

/** What replay wrote. */
export interface Written {
  summary: string;
  verdicts: string;
  pcap: Buffer;
}

/** Replays the capture; files go to a directory. */
export function replay(config: Config, workers: number, directory: string): Written {
  const [file, out, verdicts] = ["lb.yaml", "out.pcap", "out.jsonl"].map((name) => join(directory, name)) as [
    ...[string, string, string],
  ];
  writeFileSync(file, stringify(config));
  const options = ["--out", out, "--verdicts", verdicts, "--json", "--workers", String(workers)];
  const ended = guideway(["replay", CAPTURE, "--config", file, ...options]);
  assert.equal(ended.stderr, "");
  assert.equal(ended.status, 0);
  return { summary: ended.stdout, verdicts: readFileSync(verdicts, "utf8"), pcap: readFileSync(out) };
}

async function packetsOf(file: string) {
  const all = [];
  for await (const batch of (await openPcap(file)).batches()) all.push(...batch);
  return all;
}

/** Replays the capture with one worker, and joins what is known of each packet. */
export async function replayAll(
  config: Config,
  directory: string,
): Promise<{ packets: Replayed[]; summary: ReplaySummary }> {
  const input = await packetsOf(CAPTURE);
  const { summary, verdicts } = replay(config, 1, directory);
  const lines = verdicts.trim().split("\n");
  const left = (await packetsOf(join(directory, "out.pcap"))).map(({ bytes }) => bytes);
  const model = new Model(offlineSetup(config));
  const [first] = input;
  const clockMs = ({ seconds, fraction }: { seconds: number; fraction: number }) =>
    (seconds - first!.seconds) * 1000 + (fraction - first!.fraction) / 1000;
  // A Buffer's slice() is no copy.
  const outcomes = input.map((each) => model.process(Uint8Array.from(each.bytes), clockMs(each)));
  model.flush();
  const dissected = dissectAll(input.map(({ bytes }) => bytes));
  assert.deepEqual([lines.length, dissected.length], [input.length, input.length]);
  const packets = input.map(({ bytes }, i) => {
    const { out, fragments = [] } = outcomes[i]!;
    return {
      ...dissected[i]!,
      ...(JSON.parse(lines[i]!) as VerdictLine),
      ...{ bytes, out: left.splice(0, out ? 1 + fragments.length : 0), model: outcomes[i]! },
    };
  });
  assert.equal(left.length, 0, "packets that left beyond the model's");
  return { packets, summary: JSON.parse(summary) as ReplaySummary };
}

export function counts(values: readonly (string | undefined)[]): Record<string, number> {
  const groups = Map.groupBy(values, (each) => String(each));
  return Object.fromEntries([...groups].map(([name, all]) => [name, all.length]));
}

/** Every packet ended as in the model, byte for byte, and the counts are those of the model's packets. */
export function checkModel(packets: readonly Replayed[], summary: ReplaySummary): void {
  for (const { index, verdict, reason, vip, backend, tracked, bytes, out, model } of packets) {
    const text = `packet ${index + 1}: ${decode(bytes).join("\n")}`;
    assert.deepEqual(
      { verdict, reason, vip, backend: backend?.replace(/^.*\//, ""), tracked },
      {
        ...{ verdict: model.verdict, reason: model.reason, vip: model.vip ?? null },
        ...{ backend: model.backend, tracked: model.tracked },
      },
      text,
    );
    const expected = model.out ? [model.out, ...(model.fragments ?? [])] : [];
    assert.deepEqual(out.map(decode), expected.map(decode), text);
    assert.deepEqual(
      out.map((each) => Buffer.from(each)),
      expected.map((each) => Buffer.from(each)),
      text,
    );
  }
  assert.deepEqual(summary.reasons, counts(packets.map(({ model }) => model.reason)));
  const { forwarded, replied, passed, dropped } = summary;
  assert.deepEqual(
    { forward: forwarded, reply: replied, pass: passed, drop: dropped },
    { forward: 0, reply: 0, pass: 0, drop: 0, ...counts(packets.map(({ model }) => model.verdict)) },
  );
  for (const [name, count] of Object.entries(summary.backends)) {
    const forwarded = packets.filter(({ verdict, backend }) => verdict === "forward" && backend === name);
    assert.equal(count, forwarded.length, name);
  }
}
