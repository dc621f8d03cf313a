/** The `lab` command alone, as a program: tests start, signal and kill it. */
import { Command } from "commander";
import { register } from "../../src/commands/lab.ts";
import { GuidewayError } from "../../src/errors.ts";

const program = new Command("guideway");
register(program);
try {
  await program.parseAsync();
} catch (error) {
  if (!(error instanceof GuidewayError)) throw error;
  process.stderr.write(`${error.code}: ${error.message}\n`);
  process.exitCode = error.exitCode;
}
