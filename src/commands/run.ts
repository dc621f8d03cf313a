import { type Command, Option } from "commander";

/** `guideway run`: the balancer. */
export function register(program: Command): void {
  program
    .command("run")
    .description("balance packets on the configured interfaces until SIGINT or SIGTERM")
    .requiredOption("-c, --config <file>", "the configuration, YAML (docs/configuration.md)")
    .addOption(
      new Option("--privileges <which>", "give up all but the needed ones, or keep what it was started with")
        .choices(["least", "keep"])
        .default("least"),
    )
    .action(async (options: { config: string; privileges: "least" | "keep" }, command: Command) => {
      const { limitPrivileges, logPrivileges } = await import("../control/privileges.ts");
      // Before anything is opened: it may execute the program anew.
      if (options.privileges === "least") limitPrivileges();
      const { createLogger } = await import("../log.ts");
      const { logLevel, log } = command.optsWithGlobals<{ logLevel?: string; log?: "json" | "text" }>();
      const logger = createLogger({ level: logLevel, format: log });
      logPrivileges(logger);
      await run(options.config, logger);
    });
}

async function run(file: string, log: import("../log.ts").Logger): Promise<void> {
  const { loadConfig } = await import("../config/load.ts");
  const { Machine } = await import("../control/machine.ts");
  const { Systemd } = await import("../control/systemd.ts");
  const { AdminServer } = await import("../admin/server.ts");

  const { config, warnings, text } = loadConfig(file);
  for (const warning of warnings) log.warn(warning);
  const stop = new Promise<string>((resolve) => {
    for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => resolve(signal));
  });
  const machine = new Machine(config, log, { text, file, generation: 1 });
  const systemd = new Systemd({ alive: () => machine.alive(), status: () => machine.summary(), log });
  let admin: import("../admin/server.ts").AdminServer | undefined;
  try {
    admin = await AdminServer.listen(machine, config.admin, log);
    await machine.start();
    systemd.ready();
    log.info({ machine: config.machine.name, socket: config.admin.socket, pid: process.pid }, "running");
    const ended = await Promise.race([stop, machine.failure()]);
    log.info({ by: ended }, "stopping");
  } finally {
    systemd.stopping();
    try {
      await machine.stop();
    } finally {
      await admin?.close();
    }
  }
  log.info("stopped");
}
