import { type Command, Option } from "commander";
import type { Logger } from "../log.ts";

interface RunOptions {
  config: string;
  lastGood?: string;
  privileges: "least" | "keep";
}

/** `guideway run`: the balancer. */
export function register(program: Command): void {
  program
    .command("run")
    .description("balance packets on the configured interfaces until SIGINT or SIGTERM")
    .requiredOption("-c, --config <file>", "the configuration, YAML (docs/configuration.md)")
    .option(
      "--last-good <file>",
      "start with this file if that one cannot be used: last-good.yaml in change.state",
    )
    .addOption(
      new Option("--privileges <which>", "give up all but the needed ones, or keep what it was started with")
        .choices(["least", "keep"])
        .default("least"),
    )
    .action(async (options: RunOptions, command: Command) => {
      const { limitPrivileges, logPrivileges } = await import("../control/privileges.ts");
      // Before anything is opened: it may execute the program anew.
      if (options.privileges === "least") limitPrivileges();
      const { createLogger } = await import("../log.ts");
      const { logLevel, log } = command.optsWithGlobals<{ logLevel?: string; log?: "json" | "text" }>();
      const logger = createLogger({ level: logLevel, format: log });
      logPrivileges(logger);
      await run(options.config, options.lastGood, logger);
    });
}

async function run(file: string, lastGood: string | undefined, log: Logger): Promise<void> {
  const { Controller } = await import("../control/controller.ts");
  const { OperatedMachine } = await import("../control/operated.ts");
  const { watchFile } = await import("../control/watch.ts");
  const { Systemd } = await import("../control/systemd.ts");
  const { AdminServer } = await import("../admin/server.ts");

  // From here on a signal is a request, not an end: one that comes early is seen to at once when the machine runs.
  const running = Promise.withResolvers<(by: "signal" | "file") => void>();
  process.on("SIGHUP", () => void running.promise.then((reload) => reload("signal")));
  const stop = new Promise<string>((resolve) => {
    for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => resolve(signal));
  });
  const { config, warnings, text, from, refused } = await load(file, lastGood, log);
  for (const warning of warnings) log.warn(warning);
  let admin: import("../admin/server.ts").AdminServer | undefined;
  // First: it takes what is for this process alone out of the environment of those that are started.
  const systemd = new Systemd({
    alive: () => controller.machine.alive(),
    status: () => controller.machine.summary(),
    log,
  });
  const controller = new Controller(
    config,
    { text, file: from },
    {
      log,
      file,
      refused,
      around: (change) => systemd.reload(change),
      admin: (next) => admin?.reload(next),
    },
  );
  let unwatch = () => {};
  try {
    admin = await AdminServer.listen(new OperatedMachine(controller), config.admin, log);
    await controller.start();
    systemd.ready();
    log.info(
      { machine: config.machine.name, socket: config.admin.socket, pid: process.pid, config: from },
      "running",
    );
    // What a reload refuses is in the log and the status; there is nobody here to be told.
    const reload = (by: "signal" | "file") => void controller.reload({}, { by }).catch(() => {});
    running.resolve(reload);
    if (config.change.watch) unwatch = watchFile(file, () => reload("file"), log);
    const ended = await Promise.race([stop, controller.failure()]);
    log.info({ by: ended }, "stopping");
  } finally {
    unwatch();
    systemd.stopping();
    try {
      await controller.stop();
    } finally {
      await admin?.close();
    }
  }
  log.info("stopped");
}

/** The configuration; the last good one where the file cannot be used and one is named. @throws ConfigError */
async function load(file: string, lastGood: string | undefined, log: Logger) {
  const { ConfigError, loadConfig } = await import("../config/load.ts");
  try {
    return { ...loadConfig(file), from: file, refused: undefined };
  } catch (error) {
    if (lastGood === undefined || !(error instanceof ConfigError)) throw error;
    log.error(
      { file, reason: error.message, instead: lastGood },
      "starting with the last good configuration",
    );
    const refused = { at: new Date().toISOString(), file, code: error.code, message: error.message };
    return { ...loadConfig(lastGood), from: lastGood, refused };
  }
}
