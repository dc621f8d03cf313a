import type { Command } from "commander";

/** `guideway run`: the balancer. */
export function register(program: Command): void {
  program
    .command("run")
    .description("balance packets on the configured interfaces until SIGINT or SIGTERM")
    .requiredOption("-c, --config <file>", "the configuration, YAML (docs/configuration.md)")
    .action(async (options: { config: string }, command: Command) => {
      const { createLogger } = await import("../log.ts");
      const { logLevel, log } = command.optsWithGlobals<{ logLevel?: string; log?: "json" | "text" }>();
      await run(options.config, createLogger({ level: logLevel, format: log }));
    });
}

async function run(file: string, log: import("../log.ts").Logger): Promise<void> {
  const { loadConfig } = await import("../config/load.ts");
  const { Machine } = await import("../control/machine.ts");
  const { AdminServer } = await import("../admin/server.ts");

  const { config, warnings, text } = loadConfig(file);
  for (const warning of warnings) log.warn(warning);
  const stop = new Promise<string>((resolve) => {
    for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => resolve(signal));
  });
  const machine = new Machine(config, log, { text, file, generation: 1 });
  let admin: import("../admin/server.ts").AdminServer | undefined;
  try {
    admin = await AdminServer.listen(machine, config.admin.socket);
    await machine.start();
    log.info({ machine: config.machine.name, socket: config.admin.socket, pid: process.pid }, "running");
    const ended = await Promise.race([stop, machine.failure()]);
    log.info({ by: ended }, "stopping");
  } finally {
    try {
      await machine.stop();
    } finally {
      await admin?.close();
    }
  }
  log.info("stopped");
}
