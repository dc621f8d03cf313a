// Addresses that a VIP takes away from others: packets for them that come by an interface go to the VIP's backends instead.

import { portsText } from "./ports.ts";
import { containsPrefix, parsePrefix } from "./prefix.ts";
import type { Config } from "./schema.ts";
import type { Warning } from "./warnings.ts";

/** VIPs that contain an address of the machine itself. */
export function capturedWarnings({ machine, vips }: Pick<Config, "machine" | "vips">): Warning[] {
  const own = [machine.address, machine.address6].filter((address) => address !== undefined);
  return vips.flatMap(({ address, protocol, port }, index) => {
    const taken = own.find((each) => containsPrefix(parsePrefix(address), parsePrefix(each)));
    if (taken === undefined) return [];
    const what = `${protocol === "any" ? "TCP and UDP" : protocol.toUpperCase()} ${port.map(portsText).join(", ")}`;
    const message =
      `the machine's own address ${taken} is among these: what is sent to it over ${what} goes to backends, ` +
      "and not to programs here";
    return [{ path: ["vips", index, "address"], message }];
  });
}
