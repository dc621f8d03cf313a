// The way of `via: tunnel` health checks into the data plane: a pair of veth interfaces of our own. What the host sends
// into the one end, with the right source, the workers receive at the other and forward like traffic.
//
//   a check's socket ──rule, route──▶ gwprobe0 ═══ gwprobe1 ──XDP──▶ worker ──encapsulated──▶ eth0 ──▶ backend
//          ▲                                                                                            │
//          └──────────── eth0, as for any packet to an address of this host ◀── answer, from the VIP ───┘
//
//   state     entered by  in it
//   created   create()    links, routes and rules are there; what an earlier process left is replaced
//   removed   remove()    nothing is left; a kill -9 leaves everything until the next create()

import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { addressFamily } from "../config/address.ts";
import { readInterface } from "../config/interfaces.ts";
import type { Config } from "../config/schema.ts";
import { GuidewayError } from "../errors.ts";
import type { ProbeInterface } from "../io/xdp.ts";
import type { Logger } from "../log.ts";
import { batchErrors } from "./iproute.ts";

const TIMEOUT_MS = 5000;
/** Locally administered; they exist on this link only. */
const MAC = { host: "02:67:77:70:72:00", workers: "02:67:77:70:72:01" };
/** The next hop of the routes: nobody has these addresses, their neighbour entries are fixed. */
const GATEWAY = { 4: "169.254.120.1", 6: "fe80::67:7770:7201" } as const;
/** Room for the largest tunnel header, so that no check is too big: outer IPv6, UDP and GUE. */
const TUNNEL_BYTES = 52;
/** IPv6 needs so much (RFC 8200 §5). */
const LEAST_MTU = 1280;
/** What would glue packets together or leave their checksums to later. */
const OFFLOADS = ["tx", "tso", "gso", "gro", "rxvlan", "txvlan"];

/** The kernel's ESRCH, as iproute2 tells it. */
const NO_SUCH_ROUTE = "No such process";
/** Addresses that an error names. */
const SHOWN = 5;

type Family = 4 | 6;

function run(program: string, args: readonly string[], input = ""): string {
  try {
    return execFileSync(program, args, { encoding: "utf8", timeout: TIMEOUT_MS, stdio: "pipe", input });
  } catch (cause) {
    const { stderr, message, code } = cause as { stderr?: string; message: string; code?: string };
    const why = code === "ENOENT" ? `${program} is not installed` : stderr?.trim() || message;
    throw new GuidewayError(
      "PROBE_LINK",
      `the link for "via: tunnel" checks: "${program} ${args.join(" ")}": ${why}`,
      {
        cause,
      },
    );
  }
}

const ip = (command: string) => run("ip", command.split(" "));

/**
 * Runs lines of which some may fail. @returns why, by their numbers
 * @throws GuidewayError PROBE_LINK when none can be run
 */
function batch(lines: readonly string[]): Map<number, string> {
  if (lines.length === 0) return new Map();
  try {
    run("ip", ["-force", "-batch", "-"], `${lines.join("\n")}\n`);
    return new Map();
  } catch (error) {
    const errors = batchErrors(((error as GuidewayError).cause as { stderr?: string }).stderr ?? "");
    if (errors.size === 0) throw error;
    return errors;
  }
}

/** Runs what may fail because there is nothing to do. */
function attempt(command: string): boolean {
  try {
    ip(command);
    return true;
  } catch {
    return false;
  }
}

export class ProbeLink {
  readonly #config: Config;
  readonly #log: Logger;
  readonly #families: readonly Family[];
  /** Addresses that have a route. */
  readonly #vips = new Set<string>();

  private constructor(config: Config, log: Logger) {
    this.#config = config;
    this.#log = log;
    const { address, address6 } = config.machine;
    this.#families = [...(address ? [4 as const] : []), ...(address6 ? [6 as const] : [])];
  }

  /**
   * Makes the link, and the routes of all VIPs of a configuration through it.
   * @param mtu of the smallest interface
   * @throws GuidewayError PROBE_LINK when the kernel refuses, or something else has one of the names
   */
  static create(config: Config, mtu: number, log: Logger): ProbeLink {
    const link = new ProbeLink(config, log);
    link.#removeLeftovers();
    try {
      link.#createPair(Math.max(LEAST_MTU, mtu - TUNNEL_BYTES));
      link.#createRules();
      link.setVips(config.vips.map((vip) => vip.address));
    } catch (error) {
      link.remove();
      throw error;
    }
    link.#warnOfFilters();
    return link;
  }

  /** The host's end. */
  get #host(): string {
    return `${this.#config.forwarder.probe.interface}0`;
  }

  /** The workers' end. */
  get #workers(): string {
    return `${this.#config.forwarder.probe.interface}1`;
  }

  /** What the workers open their sockets on. */
  get facts(): ProbeInterface {
    const facts = readInterface(this.#workers);
    if (!facts) throw new GuidewayError("PROBE_LINK", `the interface ${this.#workers} has gone`);
    return { ...facts, hostMac: MAC.host };
  }

  #createPair(mtu: number): void {
    const shape = `mtu ${mtu} numrxqueues 1 numtxqueues 1`;
    const [host, workers] = [this.#host, this.#workers];
    ip(
      `link add ${host} address ${MAC.host} ${shape} type veth peer name ${workers} address ${MAC.workers} ${shape}`,
    );
    // The workers' end has no place in the host's network: no addresses, no solicitations.
    this.#setting(`ipv6/conf/${workers}/disable_ipv6`, 1);
    this.#setting(`ipv6/conf/${host}/accept_dad`, 0);
    this.#setting(`ipv6/conf/${host}/accept_ra`, 0);
    this.#setting(`ipv4/conf/${host}/rp_filter`, 0);
    for (const end of [host, workers]) {
      run("ethtool", ["-K", end, ...OFFLOADS.flatMap((offload) => [offload, "off"])]);
      ip(`link set dev ${end} up`);
    }
    for (const family of this.#families) {
      ip(`-${family} neigh replace ${GATEWAY[family]} lladdr ${MAC.workers} dev ${host} nud permanent`);
    }
  }

  /** Only what comes from our own addresses and the ports of checks goes this way. */
  #createRules(): void {
    const { machine, forwarder } = this.#config;
    const { table, firstPort, ports } = forwarder.probe;
    for (const family of this.#families) {
      const source = family === 4 ? machine.address : machine.address6;
      const range = `${firstPort}-${firstPort + ports - 1}`;
      ip(`-${family} rule add pref ${table} from ${source} sport ${range} lookup ${table}`);
    }
  }

  /**
   * Which addresses are reached by the link. Each is a matter of its own: one that fails keeps no other from it.
   * @throws GuidewayError PROBE_LINK with those that could not be added; to be called again with what there should be then
   */
  setVips(addresses: readonly string[]): void {
    const wanted = new Set(addresses.filter((address) => this.#families.includes(addressFamily(address))));
    const added = [...wanted].filter((address) => !this.#vips.has(address));
    const removed = [...this.#vips].filter((address) => !wanted.has(address));
    const failures = this.#changeRoutes(added, removed);
    for (const address of added) if (!failures.has(address)) this.#vips.add(address);
    for (const address of removed) {
      const reason = failures.get(address);
      if (reason === undefined) this.#vips.delete(address);
      else
        this.#log.warn({ address, reason }, 'a route of "via: tunnel" checks stays; it is tried again later');
    }
    const missing = added.filter((address) => failures.has(address));
    if (missing.length === 0) return;
    const shown = missing.slice(0, SHOWN).map((address) => `${address} (${failures.get(address)})`);
    const more = missing.length > SHOWN ? ` and ${missing.length - SHOWN} more` : "";
    throw new GuidewayError(
      "PROBE_LINK",
      `the link for "via: tunnel" checks: no route to ${shown.join(", ")}${more}`,
    );
  }

  /** @returns why it failed, by address */
  #changeRoutes(added: readonly string[], removed: readonly string[]): Map<string, string> {
    const { table } = this.#config.forwarder.probe;
    const addresses = [...added, ...removed];
    const lines = addresses.map((address, index) => {
      const family = addressFamily(address);
      if (index >= added.length) return `route del ${address} table ${table}`;
      const onLink = family === 4 ? " onlink" : "";
      return `route replace ${address} via ${GATEWAY[family]} dev ${this.#host}${onLink} table ${table}`;
    });
    const failures = new Map([...batch(lines)].map(([line, reason]) => [addresses[line]!, reason]));
    // What is gone already is as it should be: routes go with their link.
    for (const address of removed)
      if (failures.get(address)?.includes(NO_SUCH_ROUTE)) failures.delete(address);
    return failures;
  }

  /** A network setting of the kernel; one that is not there (no IPv6) or cannot be written has no effect here. */
  #setting(key: string, value: number): void {
    try {
      writeFileSync(`/proc/sys/net/${key}`, `${value}`);
    } catch (error) {
      this.#log.debug({ key, value, reason: (error as Error).message }, "network setting not changed");
    }
  }

  /** Answers come from a VIP by an interface on which a strict filter (RFC 3704 §2.2) does not expect it. */
  #warnOfFilters(): void {
    if (!this.#families.includes(4)) return;
    const value = (name: string) => {
      try {
        return Number(readFileSync(`/proc/sys/net/ipv4/conf/${name}/rp_filter`, "utf8"));
      } catch {
        return 0;
      }
    };
    for (const name of this.#config.interfaces) {
      if (Math.max(value("all"), value(name)) !== 1) continue;
      this.#log.warn(
        { interface: name },
        `rp_filter is strict: the kernel drops the answers to "via: tunnel" checks. Make it loose: ` +
          `sysctl -w net.ipv4.conf.${name}.rp_filter=2`,
      );
    }
  }

  /** Removes what a process left that was killed. @throws GuidewayError PROBE_LINK when it is not ours */
  #removeLeftovers(): void {
    for (const name of [this.#host, this.#workers]) {
      if (!readInterface(name)) continue;
      const [found] = JSON.parse(ip(`-json -details link show dev ${name}`)) as [
        { linkinfo?: { info_kind?: string }; address?: string },
      ];
      if (found?.linkinfo?.info_kind !== "veth" || !Object.values(MAC).includes(found.address ?? "")) {
        throw new GuidewayError(
          "PROBE_LINK",
          `forwarder.probe.interface: there is another interface ${name}; give "via: tunnel" checks another name`,
        );
      }
    }
    this.remove();
  }

  /** Takes everything back. May be called again. */
  remove(): void {
    const { table } = this.#config.forwarder.probe;
    for (const family of [4, 6]) {
      while (attempt(`-${family} rule del pref ${table} lookup ${table}`));
      attempt(`-${family} route flush table ${table}`);
    }
    // With one end goes the other, and with it its routes and neighbours.
    if (readInterface(this.#host)) attempt(`link del dev ${this.#host}`);
    this.#vips.clear();
  }
}
