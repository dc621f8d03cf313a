import { type Command, InvalidArgumentError } from "commander";

/** `guideway demo`: the whole thing on this machine. */
export function register(program: Command): void {
  program
    .command("demo")
    .description("show it at work: a namespace lab with real HTTP as root, else generated packets in memory")
    .option("--for <duration>", "end by itself, e.g. 10s (default: until Ctrl-C)", seconds)
    .option("--json", "print a summary as one JSON object at the end")
    .action(async (options: { for?: number; json?: true }) => {
      const { runDemo } = await import("../demo/demo.ts");
      await runDemo({ forSeconds: options.for, json: options.json === true });
      process.exit();
    });
}

/** "10s", "1500ms", "2m" in seconds. */
function seconds(text: string): number {
  const match = /^(\d+(?:\.\d+)?)(ms|s|m)$/.exec(text);
  const value = match ? Number(match[1]) * { ms: 0.001, s: 1, m: 60 }[match[2] as "ms" | "s" | "m"] : 0;
  if (value <= 0) throw new InvalidArgumentError("Expected a duration such as 10s, 1500ms or 2m.");
  return value;
}
