/** What the commands `guideway lab …` do. Results go to stdout, progress to stderr. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { constants } from "node:os";
import { LabError } from "./errors.ts";
import { Lab } from "./lab.ts";
import { commandLine, labNamespaces, processesIn } from "./namespaces.ts";
import { environment, findTool, run } from "./process.ts";
import {
  checkPrefix,
  type Forward,
  interfacesOf,
  namespaceOf,
  parseNamespace,
  type Topology,
} from "./topology.ts";
import { startServers, vipUrl } from "./traffic.ts";

interface UpOptions {
  prefix?: string;
  balancers: number;
  backends: number;
  queues: number;
  arms: number;
  forward: string;
  vip?: string[];
  mtu: number;
  ports: string;
  servers: boolean;
  hold?: boolean;
  json?: boolean;
}

interface WhichOptions {
  prefix?: string;
  json?: boolean;
}

export async function up(options: UpOptions): Promise<void> {
  const { prefix, balancers, backends, queues, arms, mtu, vip, forward } = options;
  const ports = options.ports.split(",").map(Number);
  if (ports.some((port) => !Number.isInteger(port) || port < 1 || port > 65535)) {
    throw new LabError("LAB_OPTION", `--ports: ${options.ports} is not a list of ports from 1 to 65535`);
  }
  // Held by this process until everything runs, so that a failure or Ctrl-C on the way leaves nothing.
  const lab = await Lab.up({
    ...{ balancers, backends, queues, arms, mtu },
    forward: forward as Forward,
    ...(prefix !== undefined && { prefix }),
    ...(vip !== undefined && { vips: vip }),
  });
  try {
    if (options.servers) await startServers(lab, { ports, detached: !options.hold });
  } catch (error) {
    await lab.down();
    throw error;
  }
  print(options, describe(lab.topology), instructions(lab, ports[0]!, options));
  if (!options.hold) return lab.detach();
  await new Promise<void>((resolve) => {
    for (const name of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.once(name, () => resolve());
    // Signal listeners alone do not keep a process running.
    const alive = setInterval(() => {}, 2 ** 30);
    process.once("exit", () => clearInterval(alive));
  });
  await lab.down();
  process.exit(0);
}

export async function down(options: WhichOptions): Promise<void> {
  if (options.prefix !== undefined) checkPrefix(options.prefix);
  const prefix = options.prefix ?? onlyLab();
  const { namespaces, processes } = Lab.leftovers(prefix);
  await Lab.down(prefix);
  const told = namespaces.length === 0 ? "there was nothing" : `${count(namespaces, "namespace")} removed`;
  print(
    options,
    { prefix, namespaces, processes },
    `lab ${prefix}: ${told}${processes.length > 0 ? `, ${count(processes, "process", "processes")} ended` : ""}`,
  );
}

export async function status(options: WhichOptions): Promise<void> {
  if (options.prefix !== undefined) checkPrefix(options.prefix);
  const labs = await Promise.all(prefixes(options.prefix).map(labStatus));
  const text = labs.map(({ prefix, nodes }) => {
    const rows = nodes.map(({ namespace, addresses, processes }) => {
      const running = processes.map(({ pid, command }) => `\n      ${pid} ${command}`).join("");
      return `  ${namespace.padEnd(14)} ${addresses.join("  ")}${running}`;
    });
    return `lab ${prefix}\n${rows.join("\n")}`;
  });
  print(options, { labs }, text.join("\n\n") || "no lab");
}

/** Becomes the command as far as it can: same terminal, same exit code, 128 + n when signal n ended it. */
export async function exec(node: string, command: string[], options: WhichOptions): Promise<void> {
  const prefix = options.prefix ?? onlyLab();
  checkPrefix(prefix);
  const namespace = namespaceOf(prefix, node);
  const all = labNamespaces(prefix);
  if (all.length === 0)
    throw new LabError("LAB_UNKNOWN", `there is no lab ${prefix}; see: guideway lab status`);
  if (!all.includes(namespace)) {
    const nodes = all.map((name) => parseNamespace(name)!.node);
    throw new LabError("LAB_UNKNOWN", `lab ${prefix} has no node ${node}, only ${nodes.join(", ")}`);
  }
  const child = spawn(findTool("ip") ?? "ip", ["netns", "exec", namespace, ...command], {
    stdio: "inherit",
    env: environment(),
  });
  // Ctrl-C reaches the command by itself; this process waits for what it makes of it.
  const ignore = () => {};
  process.on("SIGINT", ignore);
  const [code, signal] = (await once(child, "exit")) as [number | null, NodeJS.Signals | null];
  process.off("SIGINT", ignore);
  process.exitCode = code ?? 128 + constants.signals[signal!];
}

async function labStatus(prefix: string) {
  const nodes = await Promise.all(
    labNamespaces(prefix).map(async (namespace) => ({
      name: parseNamespace(namespace)!.node,
      namespace,
      addresses: await addressesIn(namespace),
      processes: processesIn([namespace]).map((pid) => ({ pid, command: commandLine(pid) })),
    })),
  );
  return { prefix, nodes };
}

/** Global addresses of a namespace, none where it is half gone. */
async function addressesIn(namespace: string): Promise<string[]> {
  const argv = [findTool("ip") ?? "ip", "-json", "-netns", namespace, "address", "show", "scope", "global"];
  const { code, stdout } = await run(argv, { check: false });
  if (code !== 0 || stdout.trim() === "") return [];
  const links = JSON.parse(stdout) as { addr_info?: { local?: string; prefixlen: number }[] }[];
  return links.flatMap(({ addr_info = [] }) =>
    addr_info.flatMap(({ local, prefixlen }) => (local === undefined ? [] : `${local}/${prefixlen}`)),
  );
}

function describe(topology: Topology): object {
  const { prefix, forward, vips, nodes, bridges } = topology;
  return {
    prefix,
    forward,
    vips,
    nodes: nodes.map(({ name, role, namespace }) => ({
      name,
      role,
      namespace,
      interfaces: [...interfacesOf(topology, name), ...bridges.filter((bridge) => bridge.node === name)].map(
        ({ device, mac, addresses }) => ({ device, mac, addresses }),
      ),
    })),
  };
}

function instructions(lab: Lab, port: number, { hold, servers }: UpOptions): string {
  const { prefix, topology } = lab;
  const { vips, nodes } = topology;
  const vip = vips.find((vip) => !vip.includes("/"));
  const enter = (node: string, command: string) => `  ip netns exec ${namespaceOf(prefix, node)} ${command}`;
  return [
    `lab ${prefix} is up: ${nodes.map((node) => node.name).join(", ")}`,
    `VIPs ${vips.join(", ")} are routed to ${lab.nodes("balancer").join(", ") || "nobody"}`,
    "",
    "enter a node, run something in it:",
    enter("client", "bash"),
    ...(lab.nodes("balancer").length > 0 ? [enter("lb1", "guideway run --config FILE")] : []),
    ...(vip !== undefined && servers ? [enter("client", `curl -s ${vipUrl(vip, port)}`)] : []),
    "",
    hold ? "Ctrl-C removes it" : `guideway lab down --prefix ${prefix}   removes it`,
  ].join("\n");
}

function onlyLab(): string {
  const all = prefixes();
  if (all.length === 1) return all[0]!;
  throw new LabError(
    all.length === 0 ? "LAB_UNKNOWN" : "LAB_OPTION",
    all.length === 0
      ? "there is no lab on this machine"
      : `there are labs ${all.join(", ")}: say which with --prefix`,
  );
}

function prefixes(only?: string): string[] {
  return [...new Set(labNamespaces(only).map((name) => parseNamespace(name)!.prefix))];
}

function count(things: unknown[], one: string, many = `${one}s`): string {
  return `${things.length} ${things.length === 1 ? one : many}`;
}

function print({ json }: { json?: boolean }, value: object, text: string): void {
  process.stdout.write(`${json ? JSON.stringify(value) : text}\n`);
}
