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
  /** From the first packet on whose fragment waits for others: the order of the capture is kept. */
  const waiting: Replayed[] = [];
  await output.write(encodePcapHeader(nanoseconds));
  const engine = new OfflineEngine(config, { workers });

  /** Writes what has become of the packets up to the first fragment that waits. */
  const write = async () => {
    const held = waiting.findIndex(({ result }) => engine.isHeld(result));
    const ready = waiting.splice(0, held < 0 ? waiting.length : held);
    for (const { result } of ready) tally.add(result);
    await output.write(encodePcapRecords(ready.flatMap(leaving)));
    const lines = ready.map(({ result }, i) => verdictLine(config, names, index + i, result));
    await verdicts?.write(Buffer.from(lines.join("")));
    index += ready.length;
  };

  try {
    for await (const batch of input.batches()) {
      const results = await engine.process(
        batch.map((packet) => ({ bytes: packet.bytes, timeMs: clock.next(packet) })),
      );
      for (const { bytes, originalBytes } of batch) if (bytes.length < originalBytes) truncated++;
      waiting.push(...batch.map((packet, i) => ({ packet, result: results[i]! })));
      await write();
      onProgress?.(index, input.offset);
    }
    await engine.flush();
    await write();
  } finally {
    await engine.close();
  }
  return { summary: tally.summary(), truncated, backwards: clock.backwards };
}

interface Replayed {
  packet: PcapPacket;
  result: OfflineResult;
}

/** The packets that left, at the time of the one that came. */
function leaving({ packet: { seconds, fraction }, result: { out, fragments = [] } }: Replayed): PcapPacket[] {
  const sent = out === undefined ? [] : [out, ...fragments];
  return sent.map((bytes) => ({ bytes, originalBytes: bytes.length, seconds, fraction }));
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
