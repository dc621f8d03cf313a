// Running the balancer as a user of its own, as a service manager would.

import { chownSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { packageRoot } from "../../src/lab/paths.ts";

/** `nobody`, by number: no name is needed. */
export const USER = 65534;

/** Options of setpriv(1): the user, and the capabilities that it has in each set. */
export function asUser(capabilities: string[], ...more: string[]): string[] {
  const list = ["-all", ...capabilities.map((name) => `+${name.replace("CAP_", "").toLowerCase()}`)].join(
    ",",
  );
  const user = [`--reuid=${USER}`, `--regid=${USER}`, "--clear-groups"];
  return ["setpriv", ...user, `--inh-caps=${list}`, `--ambient-caps=${list}`, ...more];
}

/**
 * Lets a user read a checkout that may lie in a folder of root's alone, and write to `folder`: the checkout is mounted there
 * in a mount namespace of the process's own, which ends with it.
 * @returns what `wrap` of BalancerOptions takes
 */
export function inReach(folder: string, launcher: string[]): (argv: string[]) => string[] {
  const checkout = packageRoot();
  const place = join(folder, "checkout");
  mkdirSync(place, { recursive: true });
  chownSync(folder, USER, USER);
  const moved = (path: string) =>
    path.startsWith(checkout) ? join(place, path.slice(checkout.length)) : path;
  const mount = 'mount --bind "$1" "$2" && shift 2 && exec "$@"';
  return (argv) => [
    ...["unshare", "--mount", "sh", "-c", mount, "sh", checkout, place],
    ...launcher,
    ...argv.map(moved),
  ];
}
