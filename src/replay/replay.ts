// A capture through the real engine, packet for packet: what it forwards goes to a capture, what it decided to a
// list. Every input is in the arguments, so the results are the same on every run and for any number of workers.

import type { Config } from "../config/schema.ts";
import { backendNames } from "../dataplane/names.ts";
import { OfflineEngine, type OfflineResult } from "../io/offline.ts";
import type { OutputFile } from "../io/output-file.ts";
import { encodePcapHeader, encodePcapRecords, type PcapPacket } from "../io/pcap.ts";
import type { PcapReader } from "../io/pcap-reader.ts";
import { CaptureClock } from "./clock.ts";
import { type ReplaySummary, Tally } from "./tally.ts";

export interface ReplayOptions {
  input: PcapReader;
  /** Gets a pcap of the packets that were forwarded or answered. Neither output is committed here. */
  output: OutputFile;
  /** Gets a line of JSON per packet: VerdictLine. */
  verdicts?: OutputFile | undefined;
  workers: number;
  /** Told after each batch how many packets, and how many bytes of the file, are done. */
  onProgress?: (packets: number, bytes: number) => void;
}

/** A line of the list of verdicts. Keys stay when there is nothing to say: their value is null. */
export interface VerdictLine {
  /** Of the packet in the capture, from 0. */
  index: number;
  verdict: OfflineResult["verdict"];
  reason: string;
  vip: string | null;
  backend: string | null;
  /** Whether the connection table knew the flow. */
  tracked: boolean;
}

export interface ReplayReport {
  summary: ReplaySummary;
  /** Packets that the capture has only the beginning of. */
  truncated: number;
  /** Packets whose timestamp ran backwards. */
  backwards: number;
}

/** Replays a capture. @throws PcapError, GuidewayError OUTPUT */
export async function replay(config: Config, options: ReplayOptions): Promise<ReplayReport> {
  const { input, output, verdicts, workers, onProgress } = options;
  const { nanoseconds } = input.header;
  const names = backendNames(config);
  const tally = new Tally(
    config.vips.map(({ name }) => name),
    names,
  );
  const clock = new CaptureClock(nanoseconds);
  let index = 0;
  let truncated = 0;
  await output.write(encodePcapHeader(nanoseconds));
  const engine = new OfflineEngine(config, { workers });
  try {
    for await (const batch of input.batches()) {
      const results = await engine.process(
        batch.map((packet) => ({ bytes: packet.bytes, timeMs: clock.next(packet) })),
      );
      for (const result of results) tally.add(result);
      for (const { bytes, originalBytes } of batch) if (bytes.length < originalBytes) truncated++;
      await output.write(encodePcapRecords(leaving(batch, results)));
      await verdicts?.write(
        Buffer.from(results.map((result, i) => verdictLine(config, names, index + i, result)).join("")),
      );
      index += batch.length;
      onProgress?.(index, input.offset);
    }
  } finally {
    await engine.close();
  }
  return { summary: tally.summary(), truncated, backwards: clock.backwards };
}

/** The packets that left, at the times of those that came. */
function leaving(batch: readonly PcapPacket[], results: readonly OfflineResult[]): PcapPacket[] {
  return results.flatMap(({ out }, i) => {
    if (out === undefined) return [];
    const { seconds, fraction } = batch[i]!;
    return [{ bytes: out, originalBytes: out.length, seconds, fraction }];
  });
}

function verdictLine(config: Config, names: readonly string[], index: number, result: OfflineResult): string {
  const line: VerdictLine = {
    index,
    verdict: result.verdict,
    reason: result.reason,
    vip: result.vip === undefined ? null : config.vips[result.vip]!.name,
    backend: result.backend === 0 ? null : names[result.backend]!,
    tracked: result.tracked,
  };
  return `${JSON.stringify(line)}\n`;
}
