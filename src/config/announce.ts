// The section `announce`: who tells the routers that this machine takes a VIP's packets.
import { isIP } from "node:net";
import { addressFamily } from "./address.ts";
import { commandArgument, community, grpcAddress } from "./announce-values.ts";
import type { Config } from "./schema.ts";
import { duration, listOf, section, unicastAddress } from "./values.ts";

/** What a command's arguments may hold in braces; each is in the environment too, see docs/announce.md. */
export const EXEC_PLACEHOLDERS = ["prefix", "address", "length", "family", "nextHop", "communities"] as const;
export type ExecPlaceholder = (typeof EXEC_PLACEHOLDERS)[number];

const command = (what: string) =>
  listOf(`a program and its arguments`, commandArgument(EXEC_PLACEHOLDERS)).describe(
    `Program and arguments that ${what}. No shell reads them; \`{prefix}\`, \`{address}\`, \`{length}\`, \`{family}\`, ` +
      "`{nextHop}` and `{communities}` are replaced. Exit code 0 is success, and doing it twice must be one.",
  );

const exec = section({
  announce: command("announce a VIP"),
  withdraw: command("withdraw a VIP"),
  timeout: duration(100, 60_000, "from 100ms to 60s")
    .prefault("10s")
    .describe("The command and what it started are killed after this time, and tried again."),
});

export const announce = section({
  gobgp: grpcAddress()
    .optional()
    .describe("gRPC address of a GoBGP 4 on this machine. Either this or `exec`."),
  exec: exec.optional().describe("Commands for any other BGP speaker. Either this or `gobgp`."),
  nextHop: unicastAddress(4)
    .optional()
    .describe("Where routers send packets of IPv4 VIPs. Default: `machine.address`."),
  nextHop6: unicastAddress(6)
    .optional()
    .describe("Where routers send packets of IPv6 VIPs. Default: `machine.address6`."),
  communities: listOf("communities", community())
    .prefault([])
    .describe("BGP communities of every announcement (RFC 1997)."),
  drain: duration(0, 3_600_000, "from 0s to 1h")
    .prefault("5s")
    .describe(
      "How long VIPs are forwarded after they were withdrawn because the machine stops, or because they leave the configuration.",
    ),
});

export type AnnounceConfig = NonNullable<Config["announce"]>;

/** What the section and its defaults need of a configuration, valid or not. */
export interface NextHopSources {
  announce?: { nextHop?: string | undefined; nextHop6?: string | undefined } | undefined;
  machine?: { address?: string | undefined; address6?: string | undefined } | undefined;
}

/** The next hop of each family; undefined where nothing says one. */
export function nextHops({ announce, machine }: NextHopSources): {
  4: string | undefined;
  6: string | undefined;
} {
  return { 4: announce?.nextHop ?? machine?.address, 6: announce?.nextHop6 ?? machine?.address6 };
}

/** Whether a gRPC address stays on this machine: a unix socket or a loopback address. */
export function isLocal(target: string): boolean {
  if (target.startsWith("unix:")) return true;
  const host = target.slice(0, target.lastIndexOf(":")).replace(/^\[|\]$/g, "");
  return host === "localhost" || host === "::1" || (isIP(host) === 4 && host.startsWith("127."));
}

interface Draft extends NextHopSources {
  announce?:
    | (NextHopSources["announce"] & {
        gobgp?: unknown;
        exec?: { announce?: unknown; withdraw?: unknown } | undefined;
      })
    | undefined;
  vips?: ({ name?: string | undefined; address?: string | undefined } | undefined)[] | undefined;
}

/**
 * Exactly one announcer, commands that are there, and a next hop for every family that has a VIP and needs one: GoBGP
 * always does, a command only if it asks for it. Keys that have errors of their own are there, but undefined.
 */
export function checkAnnounce(
  draft: Draft,
  report: (path: (string | number)[], message: string) => void,
): void {
  const { announce, machine, vips = [] } = draft;
  if (announce === undefined) return;
  const kinds = ["gobgp", "exec"].filter((key) => key in announce);
  if (kinds.length !== 1) {
    const found = kinds.length === 0 ? "names no announcer" : "names two announcers";
    report(["announce"], `${found}, expected one of gobgp and exec`);
  }
  const { exec } = announce;
  for (const key of ["announce", "withdraw"] as const) {
    const argv = exec?.[key];
    if (Array.isArray(argv) && (argv.length === 0 || argv[0] === ""))
      report(["announce", "exec", key], "has no program, expected a program and its arguments");
  }
  const asks = "gobgp" in announce || JSON.stringify(exec ?? {}).includes("{nextHop}");
  if (!asks || machine === undefined) return;
  for (const family of [4, 6] as const) {
    const [key, fallback] = family === 4 ? ["nextHop", "address"] : ["nextHop6", "address6"];
    if (key in announce || fallback in machine) continue;
    const vip = vips.find((vip) => vip?.address !== undefined && addressFamily(vip.address) === family);
    if (vip === undefined) continue;
    report(
      ["announce", key],
      `${vip.address} of VIP ${vip.name ?? "without a name"} has no next hop, expected announce.${key} or machine.${fallback} to be set`,
    );
  }
}
