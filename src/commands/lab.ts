import type { Command } from "commander";

/** Adds `guideway lab up|down|status|exec`. */
export function register(program: Command): void {
  const lab = program
    .command("lab")
    .description("A namespace lab: client, router, balancers, backends (needs root)");

  lab
    .command("up")
    .description("Make a lab that stays until `lab down`, with an HTTP server in every backend")
    .option("--prefix <name>", "namespaces are called NAME-client, NAME-lb1, … (default: one that is free)")
    .option("--balancers <n>", "balancers, 0 to 9", Number, 1)
    .option("--backends <n>", "backends, 0 to 79", Number, 4)
    .option("--queues <n>", "queues of every interface", Number, 2)
    .option("--arms <n>", "interfaces per balancer; with 2 the backends are on the second", Number, 1)
    .option(
      "--forward <mode>",
      "how balancers deliver: l2; gre, ipip or gue (backends decapsulate); nat (backends answer through lb1)",
      "l2",
    )
    .option("--vip <address...>", "addresses or prefixes that backends hold (default: 10.99.0.1 fd99::1)")
    .option("--mtu <bytes>", "MTU of every link", Number, 1500)
    .option("--ports <list>", "ports of the servers, e.g. 80,8080", "80")
    .option("--no-servers", "start no servers")
    .option("--hold", "stay in the foreground and remove the lab on Ctrl-C")
    .option("--json", "print one JSON object")
    .action(async (options) => (await import("../lab/operate.ts")).up(options));

  lab
    .command("down")
    .description("Remove a lab, whoever made it, with every process in it")
    .option("--prefix <name>", "which one (default: the only one)")
    .option("--json", "print one JSON object")
    .action(async (options) => (await import("../lab/operate.ts")).down(options));

  lab
    .command("status")
    .description("Show the labs of this machine: nodes, addresses and processes")
    .option("--prefix <name>", "only this one")
    .option("--json", "print one JSON object")
    .action(async (options) => (await import("../lab/operate.ts")).status(options));

  lab
    .command("exec")
    .description("Run a command in a node: lab exec client -- curl -s http://10.99.0.1/")
    .option("--prefix <name>", "which lab (default: the only one)")
    .argument("<node>", "client, router, lb1, be1, …")
    .argument("<command...>", "the command, after --")
    .action(async (node, command, options) =>
      (await import("../lab/operate.ts")).exec(node, command, options),
    );
}
