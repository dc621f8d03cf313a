import { type Command, InvalidArgumentError } from "commander";
import { SUITES, type SuiteName } from "../../bench/suite.ts";

/** `guideway bench`: how fast it is on this machine. */
export function register(program: Command): void {
  program
    .command("bench")
    .description("measure how fast this machine forwards (docs/performance.md)")
    .argument("[suite]", `one of ${SUITES.join(", ")}; all of them without`, suiteName)
    .option("--json", "one JSON object on stdout")
    .option("--quick", "seconds instead of minutes: shows that it works, measures little")
    .option("--out [file]", "keep the results as JSON, in bench/results/ unless told where")
    .action(
      async (suite: SuiteName | undefined, options: { json?: true; quick?: true; out?: string | true }) => {
        const { bench } = await import("../../bench/bench.ts");
        await bench(suite === undefined ? SUITES : [suite], {
          json: options.json === true,
          quick: options.quick === true,
          out: options.out,
        });
      },
    );
}

function suiteName(text: string): SuiteName {
  const suite = SUITES.find((name) => name === text);
  if (!suite) throw new InvalidArgumentError(`Expected one of ${SUITES.join(", ")}.`);
  return suite;
}
