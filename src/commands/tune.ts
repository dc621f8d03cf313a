import { type Command, InvalidArgumentError } from "commander";
import type { Config } from "../config/schema.ts";
import { GuidewayError } from "../errors.ts";

interface TuneCommandOptions {
  config: string;
  pcap?: string;
  flows?: number;
  packetBytes: number;
  workers?: number[];
  batch?: number[];
  pin?: boolean[];
  turns: number;
  rounds: number;
  tolerance: number;
  json?: true;
  svg?: string;
  write?: true;
}

/** Turns that give a confidence interval, in a minute or two. */
const TURNS = 15;
const ROUNDS = 60;
const TOLERANCE = 0.05;

/** `guideway tune`: how many workers this machine should have. */
export function register(program: Command): void {
  program
    .command("tune")
    .description("measure how many workers, how large a batch, pinned or not (docs/tuning.md)")
    .requiredOption("-c, --config <file>", "the configuration, YAML (docs/configuration.md)")
    .option("--pcap <file>", "send the packets of a capture instead of generated flows")
    .option(
      "--flows <n>",
      "generated flows; the configuration's conntrack.flows, at most 131072, without",
      count(1, 1 << 22),
    )
    .option("--packet-bytes <n>", "bytes of a generated packet, without FCS", count(64, 1500), 64)
    .option(
      "--workers <list>",
      "numbers of workers to measure, such as 1,2,4; all up to the processors without",
      list(1, 32),
    )
    .option("--batch <list>", "batch sizes to measure, such as 16,64; 8,16,32,64 without", list(1, 64))
    .option("--pin <list>", "whether workers are pinned: yes, no or yes,no", yesNo)
    .option("--turns <n>", "turns of each setting", count(3, 1000), TURNS)
    .option("--rounds <n>", "rounds of a turn, 2048 packets each", count(1, 10_000), ROUNDS)
    .option(
      "--tolerance <percent>",
      "what may be given up for a smaller setting, such as 5%",
      percentage,
      TOLERANCE,
    )
    .option("--json", "one JSON object on stdout")
    .option("--svg <file>", "draw the curve")
    .option("--write", "put the recommendation into the configuration file")
    .action(async (options: TuneCommandOptions) => {
      await run(options);
    });
}

function integerIn(text: string, least: number, most: number): number {
  const value = Number(text);
  if (/^\d+$/.test(text) && value >= least && value <= most) return value;
  throw new InvalidArgumentError(`Expected an integer from ${least} to ${most}.`);
}

function count(least: number, most: number): (text: string) => number {
  return (text) => integerIn(text, least, most);
}

function list(least: number, most: number): (text: string) => number[] {
  return (text) => text.split(",").map((each) => integerIn(each.trim(), least, most));
}

function yesNo(text: string): boolean[] {
  return text.split(",").map((each) => {
    if (each === "yes" || each === "no") return each === "yes";
    throw new InvalidArgumentError("Expected yes, no or yes,no.");
  });
}

function percentage(text: string): number {
  const value = Number(/^(\d+(?:\.\d+)?)%?$/.exec(text)?.[1]);
  if (value >= 0 && value <= 50) return value / 100;
  throw new InvalidArgumentError("Expected a percentage from 0% to 50%, such as 5%.");
}

/** Throws ConfigError, PcapError, GuidewayError TUNE, USAGE and OUTPUT. */
async function run(options: TuneCommandOptions): Promise<void> {
  const { availableParallelism } = await import("node:os");
  const { writeFileSync } = await import("node:fs");
  const { loadConfig, readConfigText } = await import("../config/load.ts");
  const { pinnableCpus } = await import("../measure/cpus.ts");
  const { BATCHES, workerCounts } = await import("../tune/settings.ts");
  const { tune } = await import("../tune/tune.ts");
  const { chartOf, reasonOf, renderTune } = await import("../tune/text.ts");
  const { processorTimes, provenance } = await import("../../bench/machine.ts");
  const { renderProvenance } = await import("../../bench/render.ts");
  const { config } = loadConfig(options.config);
  const say = (progress: string) => void process.stderr.write(`tune: ${progress}\n`);
  const cpus = config.workers.cpus ?? pinnableCpus() ?? [];
  const pinned = options.pin ?? (pinnableCpus() ? [false, true] : [false]);
  const max = config.workers.max === "auto" ? 32 : config.workers.max;
  const most = Math.min(max, availableParallelism(), pinned.includes(true) ? cpus.length : 32);
  const grid = {
    workers: options.workers ?? workerCounts(most),
    batch: options.batch ?? BATCHES,
    pinned,
  };
  refuse(grid, max, cpus, pinnableCpus());
  const source = await sourceOf(config, options);
  const before = processorTimes();
  const result = await tune(config, {
    grid,
    source,
    cpus,
    turns: options.turns,
    rounds: options.rounds,
    tolerance: options.tolerance,
    say,
  });
  const where = provenance(before);
  const shown = options.json
    ? JSON.stringify({ ...result, reason: reasonOf(result), ...where }, null, 2)
    : `${renderTune(result)}\n\n${renderProvenance(where)}`;
  process.stdout.write(`${shown}\n`);
  if (options.svg !== undefined) {
    const { renderChart } = await import("../chart.ts");
    try {
      writeFileSync(options.svg, renderChart(chartOf(result)));
    } catch (cause) {
      if (cause instanceof GuidewayError) throw cause;
      const why = (cause as Error).message;
      throw new GuidewayError("OUTPUT", `--svg ${options.svg} cannot be written (${why})`, { cause });
    }
  }
  if (options.write) {
    const { replaceFile, withWorkers } = await import("../tune/write.ts");
    const { workers, batch } = result.knee;
    // As it is by now: somebody may have worked on it meanwhile.
    const text = readConfigText(options.config);
    replaceFile(
      options.config,
      withWorkers(text, options.config, { count: workers, batch, cpus: result.cpus }),
    );
    say(
      `${options.config}: workers.count ${workers}, batch ${batch}${result.cpus ? `, cpus ${result.cpus.join(", ")}` : ", not pinned"}`,
    );
  }
}

async function sourceOf(config: Config, { pcap, flows, packetBytes }: TuneCommandOptions) {
  const { captured, generated } = await import("../tune/traffic.ts");
  if (pcap === undefined)
    return generated(config, flows ?? Math.min(config.conntrack.flows, 1 << 17), packetBytes);
  if (flows !== undefined)
    throw new GuidewayError("USAGE", "--flows and --pcap are both there, expected one of them", {
      exitCode: 2,
    });
  const { openPcap } = await import("../io/pcap-reader.ts");
  const { HEADROOM } = await import("../../assembly/layout.ts");
  return captured(await openPcap(pcap), pcap, config.frames.size - HEADROOM);
}

/** What cannot be measured here. */
function refuse(
  { workers, pinned }: { workers: readonly number[]; pinned: readonly boolean[] },
  max: number,
  cpus: readonly number[],
  usable: readonly number[] | undefined,
): void {
  const fail = (message: string) => new GuidewayError("USAGE", message, { exitCode: 2 });
  const most = Math.max(...workers);
  if (most > max)
    throw fail(
      `--workers has ${most}, but workers.max is ${max}: give fewer, or raise workers.max in the configuration`,
    );
  if (!pinned.includes(true)) return;
  if (!usable)
    throw fail('workers cannot be pinned: build/guideway.node is missing, "npm run setup" compiles it');
  if (cpus.length < most)
    throw fail(
      `there are ${cpus.length} CPUs to pin to for ${most} workers, expected one for each: give fewer --workers, or --pin no`,
    );
  const foreign = cpus.find((cpu) => !usable.includes(cpu));
  if (foreign !== undefined)
    throw fail(
      `workers.cpus has CPU ${foreign}, which this process may not use (it may use ${usable.join(", ")}): give --pin no`,
    );
}
