#!/usr/bin/env node
// The command line: which commands there are, and how each of them ends.
import { readFileSync } from "node:fs";
import { findPackageJSON } from "node:module";
import { Command, CommanderError, Option } from "commander";
import { register as audit } from "./commands/audit.ts";
import { register as bench } from "./commands/bench.ts";
import { register as check } from "./commands/check.ts";
import { register as demo } from "./commands/demo.ts";
import { register as drain } from "./commands/drain.ts";
import { register as explain } from "./commands/explain.ts";
import { register as lab } from "./commands/lab.ts";
import { register as plan } from "./commands/plan.ts";
import { register as reload } from "./commands/reload.ts";
import { register as replay } from "./commands/replay.ts";
import { register as run } from "./commands/run.ts";
import { register as status } from "./commands/status.ts";
import { register as table } from "./commands/table.ts";
import { register as tune } from "./commands/tune.ts";
import { register as weight } from "./commands/weight.ts";
import { register as workers } from "./commands/workers.ts";
import { GuidewayError } from "./errors.ts";

/** In the order of --help. Each declares its options; what it does is imported when it is called. */
const COMMANDS = [
  run,
  demo,
  check,
  plan,
  status,
  reload,
  drain,
  weight,
  workers,
  audit,
  replay,
  explain,
  table,
  tune,
  bench,
  lab,
];

/** The same words as in log.ts, whose import would slow down --help. */
const LEVELS = ["silent", "fatal", "error", "warn", "info", "debug", "trace"];

function version(): string {
  const file = findPackageJSON("..", import.meta.url);
  return (JSON.parse(readFileSync(file!, "utf8")) as { version: string }).version;
}

/** The program with all its commands. Errors of usage are thrown, as CommanderError. */
function createProgram(): Command {
  const program = new Command("guideway")
    .description("A Maglev layer-4 load balancer: WebAssembly workers on AF_XDP rings.")
    .version(version(), "-V, --version", "print the version")
    .helpOption("-h, --help", "explain a command")
    .helpCommand(false)
    .addOption(new Option("--log-level <level>", "least level to log").choices(LEVELS).env("GUIDEWAY_LOG"))
    .addOption(new Option("--log <format>", "text or JSON lines on stderr").choices(["text", "json"]))
    .showSuggestionAfterError(true)
    .configureHelp({ showGlobalOptions: true })
    .addHelpText(
      "after",
      "\nExit codes: 0 done, 1 failed, 2 usage or configuration error." +
        "\nResults go to stdout, everything else to stderr.",
    )
    .exitOverride();
  for (const register of COMMANDS) register(program);
  return program;
}

/** The exit code of an error, after telling it on stderr. An error that nobody foresaw comes with its stack. */
function report(error: unknown): number {
  // commander has printed its own message, or the help.
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
  if (error instanceof GuidewayError) {
    process.stderr.write(`${error.message}\n`);
    return error.exitCode;
  }
  process.stderr.write(`${error instanceof Error ? error.stack : String(error)}\n`);
  return 1;
}

if (import.meta.main) {
  // A reader that has seen enough (`guideway … | head`) is no error.
  process.stdout.on("error", (error: NodeJS.ErrnoException) => {
    process.exit(error.code === "EPIPE" ? 0 : report(error));
  });
  process.on("uncaughtException", (error) => process.exit(report(error)));
  try {
    await createProgram().parseAsync();
  } catch (error) {
    process.exit(report(error));
  }
}
