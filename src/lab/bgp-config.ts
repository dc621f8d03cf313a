/** Configurations of BIRD and GoBGP for a lab: text, nothing is run here. */
import type { Lab } from "./lab.ts";
import { familyOf, vipPrefix } from "./topology.ts";

/** AS numbers of the router and of all balancers. */
const ROUTER_AS = 65_000;
const BALANCER_AS = 65_001;
const HOLD_SECONDS = 3;
const BFD_MS = 50;
const BFD_MULTIPLIER = 3;

/**
 * BIRD 2 in the router. Its sessions are called after the balancers. BFD with each is there by itself rather than for
 * BGP: it would go and come with BGP, and GoBGP before 4.9 takes its going for a reason to reset the next BGP session,
 * and so on forever (https://github.com/osrg/gobgp/issues/3561).
 */
export function birdConfig(lab: Lab): string {
  const router = lab.address("router", "v4");
  const allowed = (family: "v4" | "v6") => {
    const vips = lab.topology.vips.map(vipPrefix).filter((vip) => familyOf(vip) === family);
    return vips.length === 0 ? "reject;" : `if net ~ [ ${vips.join(", ")} ] then accept; reject;`;
  };
  const bfd = lab
    .nodes("balancer")
    .map((node) => `  neighbor ${lab.address(node, "v4")} dev "br0" local ${router};`);
  const sessions = lab
    .nodes("balancer")
    .map((node) => `protocol bgp ${node} from lb { neighbor ${lab.address(node, "v4")} as ${BALANCER_AS}; }`);
  return `log stderr { warning, error, fatal, bug };
router id ${router};
protocol device { scan time 10; }
protocol bfd {
  interface "br0" { min rx interval ${BFD_MS} ms; min tx interval ${BFD_MS} ms; multiplier ${BFD_MULTIPLIER}; };
${bfd.join("\n")}
}
protocol kernel kernel4 { merge paths on limit 16; ipv4 { import none; export where source = RTS_BGP; }; }
protocol kernel kernel6 { merge paths on limit 16; ipv6 { import none; export where source = RTS_BGP; }; }
template bgp lb {
  local ${router} as ${ROUTER_AS};
  hold time ${HOLD_SECONDS}; keepalive time 1; connect retry time 1; connect delay time 1; error wait time 1, 2;
  ipv4 { import filter { ${allowed("v4")} }; export none; next hop keep; };
  ipv6 { import filter { ${allowed("v6")} }; export none; };
  bfd on;
}
${sessions.join("\n")}
`;
}

/** GoBGP 4 in a balancer. */
export function gobgpConfig(lab: Lab, node: string): string {
  const afis = ["ipv4-unicast", "ipv6-unicast"].map(
    (name) => `  [[neighbors.afi-safis]]
    [neighbors.afi-safis.config]
      afi-safi-name = "${name}"`,
  );
  return `[global.config]
  as = ${BALANCER_AS}
  router-id = "${lab.address(node, "v4")}"
[[neighbors]]
  [neighbors.config]
    neighbor-address = "${lab.address("router", "v4")}"
    peer-as = ${ROUTER_AS}
  [neighbors.bfd.config]
    enabled = true
    desired-minimum-tx-interval = ${BFD_MS * 1000}
    required-minimum-receive = ${BFD_MS * 1000}
    detection-multiplier = ${BFD_MULTIPLIER}
  [neighbors.timers.config]
    hold-time = ${HOLD_SECONDS}
    keepalive-interval = 1
    connect-retry = 1
    idle-hold-time-after-reset = 1
${afis.join("\n")}
`;
}
