import { type Command, InvalidArgumentError } from "commander";
import { MAX_WORKERS } from "../../assembly/layout.ts";
import { SUITES, type SuiteName } from "../../bench/suite.ts";

interface Options {
  json?: true;
  quick?: true;
  out?: string | true;
  workers?: number;
  baseline?: string;
  profile?: true;
}

/** `guideway bench`: how fast it is on this machine. */
export function register(program: Command): void {
  program
    .command("bench")
    .description("measure how fast this machine forwards (docs/performance.md)")
    .argument("[suite]", `one of ${SUITES.join(", ")}; all of them without`, suiteName)
    .option("--json", "one JSON object on stdout")
    .option("--quick", "seconds instead of minutes: shows that it works, measures little")
    .option(
      "--workers <n>",
      "most workers, for suites with threads; default: the machine's processors",
      workers,
    )
    .option(
      "--baseline <file|commit>",
      "compare with a result that was kept, or run by turns with another commit, which is built in a temporary worktree",
    )
    .option(
      "--profile",
      "write CPU profiles of the threads that measure, and flame graphs, beside the results",
    )
    .option("--out [file]", "keep the results as JSON, in bench/results/ unless told where")
    .action(async (suite: SuiteName | undefined, options: Options) => {
      const { bench } = await import("../../bench/bench.ts");
      await bench(suite === undefined ? SUITES : [suite], {
        json: options.json === true,
        quick: options.quick === true,
        out: options.out,
        workers: options.workers,
        baseline: options.baseline,
        profile: options.profile === true,
      });
    });
}

function suiteName(text: string): SuiteName {
  const suite = SUITES.find((name) => name === text);
  if (!suite) throw new InvalidArgumentError(`Expected one of ${SUITES.join(", ")}.`);
  return suite;
}

function workers(text: string): number {
  const count = Number(text);
  if (/^\d+$/.test(text) && count >= 1 && count <= MAX_WORKERS) return count;
  throw new InvalidArgumentError(`Expected a number from 1 to ${MAX_WORKERS}.`);
}
