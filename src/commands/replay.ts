import { type Command, InvalidArgumentError } from "commander";
import { GuidewayError } from "../errors.ts";

interface ReplayCommandOptions {
  config: string;
  out: string;
  verdicts?: string;
  workers: number;
  json?: true;
  progress?: true;
}

/** `guideway replay`: packets of a capture through the real engine. */
export function register(program: Command): void {
  program
    .command("replay")
    .description("send the packets of a capture through the engine, offline")
    .argument("<in.pcap>", "the capture, classic pcap of Ethernet frames; - for standard input")
    .requiredOption("-c, --config <file>", "the configuration, YAML (docs/configuration.md)")
    .requiredOption(
      "-o, --out <file>",
      "where forwarded and answered packets go, as pcap; - for standard output",
    )
    .option(
      "--verdicts <file>",
      "what was decided of each packet, a line of JSON each; - for standard output",
    )
    .option("--workers <n>", "worker threads, 1 to 32; the result is the same for any number", workerCount, 1)
    .option("--json", "one JSON object on stdout (on stderr where stdout has packets or verdicts)")
    .option("--progress", "show progress also where stderr is no terminal")
    .action(async (input: string, options: ReplayCommandOptions) => {
      await run(input, options);
    });
}

function workerCount(text: string): number {
  const count = Number(text);
  if (!/^\d+$/.test(text) || count < 1 || count > 32)
    throw new InvalidArgumentError("Expected an integer from 1 to 32.");
  return count;
}

/** Throws ConfigError, PcapError, GuidewayError `OUTPUT` or `USAGE`; no output is left behind then. */
async function run(input: string, options: ReplayCommandOptions): Promise<void> {
  const { loadConfig } = await import("../config/load.ts");
  const { openPcap } = await import("../io/pcap-reader.ts");
  const { openOutput } = await import("../io/output-file.ts");
  const { replay } = await import("../replay/replay.ts");
  const { Progress } = await import("../replay/progress.ts");
  const { renderSummary, renderWarnings } = await import("../replay/render.ts");
  const { out, verdicts: list } = options;
  await refuseSamePlaces(input, out, list);
  const { config } = loadConfig(options.config);
  const capture = await openPcap(input);
  // The files are removed on the way out.
  for (const [signal, code] of [
    ["SIGINT", 130],
    ["SIGTERM", 143],
  ] as const)
    process.once(signal, () => process.exit(code));
  const output = openOutput(out);
  const verdicts = list === undefined ? undefined : openOutput(list);
  const shown = options.progress || process.stderr.isTTY;
  const progress = shown ? new Progress(process.stderr, capture.totalBytes) : undefined;
  const report = await replay(config, {
    input: capture,
    output,
    verdicts,
    workers: options.workers,
    onProgress: (packets, bytes) => progress?.update(packets, bytes),
  }).finally(() => progress?.end());
  output.commit();
  verdicts?.commit();
  for (const warning of renderWarnings(input, report)) process.stderr.write(`warning: ${warning}\n`);
  const result = out === "-" || list === "-" ? process.stderr : process.stdout;
  result.write(`${options.json ? JSON.stringify(report.summary, null, 2) : renderSummary(report.summary)}\n`);
}

/** An output must not be another one, nor the input. @throws GuidewayError USAGE */
async function refuseSamePlaces(input: string, out: string, verdicts: string | undefined): Promise<void> {
  const { resolve } = await import("node:path");
  const { statSync } = await import("node:fs");
  const same = (a: string, b: string) => {
    if (a === "-" || b === "-") return a === b;
    const [first, second] = [a, b].map((path) => statSync(path, { throwIfNoEntry: false }));
    if (!first || !second) return resolve(a) === resolve(b);
    return first.isFile() && first.dev === second.dev && first.ino === second.ino;
  };
  const fail = (message: string) => new GuidewayError("USAGE", message, { exitCode: 2 });
  if (verdicts !== undefined && same(out, verdicts))
    throw fail(`--out and --verdicts are both ${out}, expected two places`);
  for (const [option, place] of [
    ["--out", out],
    ["--verdicts", verdicts],
  ] as const) {
    if (place !== undefined && place !== "-" && same(input, place))
      throw fail(`${option} ${place} would overwrite the input, expected another file`);
  }
}
