/** What tests with BGP daemons need, in a lab whose VIPs nobody routes by hand. As root they fail where it is missing. */
import { bgpProblem } from "../../src/lab/bgp.ts";
import { skipReason } from "./machine.ts";

/** Why tests with BGP cannot run: false when they can. @throws Error as root, when a daemon is missing */
export function bgpSkipReason(): string | false {
  const reason = skipReason();
  if (reason !== false) return reason;
  const problem = bgpProblem();
  if (problem !== undefined) throw new Error(problem);
  return false;
}
