/**
 * A lab that exists: made by `Lab.up`, gone after `lab.down`.
 *
 * | state | reached by | in it |
 * |---|---|---|
 * | absent | nothing, `down`, a failed `up`, the end of the holding process | no namespace has the prefix |
 * | coming up | `up` | held by this process; another `up` with the prefix is refused |
 * | up | `up` returned | held by this process: its end takes the lab down |
 * | detached | `up` with `detached`, or `detach` | stays after this process; `down` from any process removes it |
 */
import { type ChildProcess, type StdioOptions, spawn, spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { LabError } from "./errors.ts";
import { hold, release } from "./guard.ts";
import { labNamespaces, processesIn, removeNamespaces, removeNamespacesNow } from "./namespaces.ts";
import { addressedObject, decapObject } from "./object.ts";
import { commandError, environment, findTool, type RunOptions, type RunResult, run } from "./process.ts";
import { linkBatch, namespaceBatch, nodeScript, vipRouteBatch } from "./script.ts";
import {
  checkPrefix,
  type Family,
  familyOf,
  interfacesOf,
  labTopology,
  type Role,
  type Topology,
  type TopologyNode,
  type TopologyOptions,
  vipPrefix,
} from "./topology.ts";

export interface LabOptions extends Omit<TopologyOptions, "prefix"> {
  /** Default: one that no lab has, derived from the process id. */
  prefix?: string;
  /** Leave the lab standing when this process ends. */
  detached?: boolean;
  /** The lab's XDP programs. Default `decapObject()`. */
  object?: string;
  /** `static`: the router sends the VIPs to all balancers, see `routeVips`. `none`: to nobody; BGP shall tell. */
  vipRoutes?: "static" | "none";
}

export interface SpawnOptions {
  stdio?: StdioOptions;
  env?: Record<string, string>;
  cwd?: string;
}

let labsMade = 0;

export class Lab {
  readonly prefix: string;
  readonly topology: Topology;

  private constructor(topology: Topology) {
    this.prefix = topology.prefix;
    this.topology = topology;
  }

  /**
   * Makes the namespaces, sets them up and, unless told otherwise, routes the VIPs to all balancers. A failure on the
   * way leaves nothing.
   * Throws LAB_PRIVILEGE, LAB_OPTION, LAB_EXISTS or LAB_COMMAND.
   */
  static async up(options: LabOptions = {}): Promise<Lab> {
    const { detached, object = decapObject(), vipRoutes = "static", ...shape } = options;
    const topology = labTopology({ ...shape, prefix: options.prefix ?? freePrefix() });
    const ip = checkMachine(object);
    const lab = new Lab(topology);
    claim(ip, topology);
    try {
      await run([ip, "-batch", "-"], { input: namespaceBatch(topology) + linkBatch(topology) });
      await lab.#setUpNodes(object);
      if (vipRoutes === "static") await lab.routeVips(lab.nodes("balancer"));
    } catch (error) {
      await lab.down();
      throw error;
    }
    if (detached) lab.detach();
    return lab;
  }

  /** Removes a lab, whoever made it: its processes, then its namespaces. Does nothing where none is. */
  static async down(prefix: string): Promise<void> {
    checkPrefix(prefix);
    await removeNamespaces(prefix);
    const rest = labNamespaces(prefix);
    if (rest.length > 0) {
      const pids = processesIn(rest);
      throw new LabError(
        "LAB_COMMAND",
        `lab ${prefix} is not gone: ${rest.join(", ")}${pids.length > 0 ? `, processes ${pids.join(", ")}` : ""}` +
          (process.geteuid?.() === 0 ? "" : "; only root can remove it"),
      );
    }
    release(prefix);
  }

  /** What is left of a lab on this machine. Both empty: nothing, since all of its interfaces live in its namespaces. */
  static leftovers(prefix: string): { namespaces: string[]; processes: number[] } {
    checkPrefix(prefix);
    const namespaces = labNamespaces(prefix);
    return { namespaces, processes: processesIn(namespaces) };
  }

  /** Removes the lab. May be called again. */
  async down(): Promise<void> {
    await Lab.down(this.prefix);
  }

  /** From now on the lab stays when this process ends. */
  detach(): void {
    release(this.prefix);
  }

  /** Names of the nodes with this role, or all: client, router, lb1…, be1… */
  nodes(role?: Role): string[] {
    return this.topology.nodes
      .filter((node) => role === undefined || node.role === role)
      .map((node) => node.name);
  }

  namespace(node: string): string {
    return this.#node(node).namespace;
  }

  /** The address of a node's interface, by default its first; the router's is that on the segment. Without prefix length. */
  address(node: string, family: Family, device?: string): string {
    const bridges = this.topology.bridges.filter((bridge) => bridge.node === this.#node(node).name);
    const all = [...bridges, ...interfacesOf(this.topology, node)];
    const found = all
      .filter((end) => device === undefined || end.device === device)
      .flatMap((end) => end.addresses)
      .find((address) => familyOf(address) === family);
    if (found === undefined)
      throw new LabError("LAB_UNKNOWN", `${node} has no ${family} address on ${device ?? "any device"}`);
    return found.slice(0, found.indexOf("/"));
  }

  /** The MAC address of a node's interface. */
  mac(node: string, device = "eth0"): string {
    const end = interfacesOf(this.topology, this.#node(node).name).find((end) => end.device === device);
    if (end === undefined) throw new LabError("LAB_UNKNOWN", `${node} has no interface ${device}`);
    return end.mac;
  }

  /** Runs a command in a node to its end. Throws LAB_COMMAND when it fails, unless `check` is false. */
  exec(node: string, argv: string[], options?: RunOptions): Promise<RunResult> {
    return run(this.#inside(node, argv), options);
  }

  /** Starts a process in a node. Its pid is the command's own: `ip netns exec` replaces itself. */
  spawn(node: string, argv: string[], options: SpawnOptions = {}): ChildProcess {
    const [program = "", ...parameters] = this.#inside(node, argv);
    return spawn(program, parameters, {
      stdio: options.stdio ?? ["ignore", "pipe", "pipe"],
      env: environment(options.env),
      cwd: options.cwd,
      // A group of its own: Ctrl-C on the terminal is for this process, which ends its labs in order.
      detached: true,
    });
  }

  /**
   * The router sends the VIPs to these nodes, balancers or backends, in equal parts by five-tuple. None: unreachable.
   * `vips` limits the change to some.
   */
  async routeVips(nodes: string[], vips: string[] = this.topology.vips): Promise<void> {
    const hops = nodes.flatMap((node) => [this.address(node, "v4"), this.address(node, "v6")]);
    const input = vipRouteBatch(vips.map(vipPrefix), hops);
    if (vips.length > 0) await this.exec("router", ["ip", "-batch", "-"], { input });
  }

  async #setUpNodes(object: string): Promise<void> {
    const folder = await mkdtemp(join(tmpdir(), `guideway-${this.prefix}-`));
    try {
      const original = await readFile(object);
      await Promise.all(
        this.topology.nodes.map(async (node) => {
          let own = object;
          if (interfacesOf(this.topology, node.name).some((end) => end.xdp === "decap")) {
            own = join(folder, `${node.name}.o`);
            await writeFile(
              own,
              addressedObject(original, this.address(node.name, "v4"), this.address(node.name, "v6")),
            );
          }
          await this.exec(node.name, ["sh"], { input: nodeScript(this.topology, node, own) });
        }),
      );
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  }

  #inside(node: string, argv: string[]): string[] {
    return [findTool("ip") ?? "ip", "netns", "exec", this.namespace(node), ...argv];
  }

  #node(name: string): TopologyNode {
    const node = this.topology.nodes.find((node) => node.name === name);
    if (node === undefined) {
      throw new LabError(
        "LAB_UNKNOWN",
        `lab ${this.prefix} has no node ${name}, only ${this.nodes().join(", ")}`,
      );
    }
    return node;
  }
}

/** Checks what a lab needs of the machine. Returns the path of `ip`. */
function checkMachine(object: string): string {
  const need = (problem: string) => new LabError("LAB_PRIVILEGE", `a lab cannot be made: ${problem}`);
  if (process.platform !== "linux")
    throw need(`network namespaces are a thing of Linux, this is ${process.platform}`);
  if (process.geteuid?.() !== 0) throw need("it needs root, to make network namespaces; try again with sudo");
  for (const [tool, source] of Object.entries({
    ip: "iproute2",
    bridge: "iproute2",
    ethtool: "ethtool",
    sh: "dash",
  })) {
    if (findTool(tool) === undefined) throw need(`${tool} is not installed (Debian package ${source})`);
  }
  if (!existsSync(object)) throw need(`${object} is missing; build it with: npm run setup`);
  return findTool("ip")!;
}

/**
 * Makes the first namespace, which only one of several processes can, and holds the lab from then on. Not
 * asynchronous: a signal is handled before it, when there is nothing, or after it, when the lab is held.
 * Throws LAB_EXISTS, and nothing was touched.
 */
function claim(ip: string, { prefix, nodes }: Topology): void {
  const exists = () =>
    new LabError(
      "LAB_EXISTS",
      `there is a lab ${prefix} already; remove it with: guideway lab down --prefix ${prefix}`,
    );
  if (labNamespaces(prefix).length > 0) throw exists();
  hold(prefix);
  const argv = ["netns", "add", nodes[0]!.namespace];
  const { status, stderr } = spawnSync(ip, argv, { encoding: "utf8", env: environment(), timeout: 10_000 });
  if (status === 0) return;
  if (!/file exists/i.test(stderr)) removeNamespacesNow(prefix);
  release(prefix);
  throw /file exists/i.test(stderr) ? exists() : commandError([ip, ...argv], `exit code ${status}`, stderr);
}

/** `gw`, the process id in base 36 and a digit: unique on the machine, and at most 8 characters for ids up to 4,194,304. */
function freePrefix(): string {
  for (let attempt = 0; attempt < 36; attempt++) {
    const prefix = `gw${process.pid.toString(36)}${(labsMade++ % 36).toString(36)}`;
    if (labNamespaces(prefix).length === 0) return prefix;
  }
  throw new LabError("LAB_EXISTS", "this process has 36 labs already; remove some or name a prefix");
}
