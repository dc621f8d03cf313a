// What the rest of the program sees of announcing: it says which prefixes it wants announced, and the routers hear it.
//
//   who         says                        when
//   control     want(prefixes)              whenever its decision may have changed
//   reconciler  announce, withdraw a prefix what is wanted and what is announced differ
//   speaker     gRPC to GoBGP, or commands  the reconciler asks
//   guard       withdraws everything        the process that wanted it has died without stopping
import { addressFamily } from "../config/address.ts";

/** The prefix of a VIP, or of several that share it: mostly one address. */
export interface Announcement {
  /** In CIDR notation: `10.99.0.1/32`, `fd99::1/128`. */
  readonly prefix: string;
  readonly family: 4 | 6;
}

/** A BGP neighbour of the speaker. */
export interface PeerStatus {
  address: string;
  asn: number;
  /** RFC 4271 §8.2.2: idle, connect, active, opensent, openconfirm, established. */
  state: string;
  /** Since the session was established. */
  uptimeSeconds?: number;
  receivedPrefixes?: number;
  advertisedPrefixes?: number;
}

export interface AnnouncerStatus {
  kind: "gobgp" | "exec" | "none";
  /** Whether the speaker can be reached; commands always can. */
  connected: boolean;
  /** Why something that is wanted has not come true; undefined when all has. */
  error: string | undefined;
  /** What the speaker has accepted; `since` is ISO 8601. */
  announced: { prefix: string; since: string }[];
  wanted: string[];
  peers: PeerStatus[];
  /** Counts of this process. */
  changes: { announced: number; withdrawn: number; failed: number };
}

export interface Announcer {
  /**
   * From now on exactly these are to be announced. Comes true in the background; the latest call wins. Never throws.
   */
  want(prefixes: readonly Announcement[]): void;
  /** Resolves when what is wanted has come true, or has failed once since the last `want`. */
  settled(): Promise<void>;
  status(): AnnouncerStatus;
  /** Withdraws everything, waits until the speaker has accepted that, at most 5 s, and lets go of it. */
  stop(): Promise<void>;
}

/** The announcement of one address, or of a prefix. */
export function announcementOf(address: string): Announcement {
  const family = addressFamily(address);
  return { prefix: address.includes("/") ? address : `${address}/${family === 4 ? 32 : 128}`, family };
}

/** The address of a prefix and its length. */
export function splitPrefix({ prefix }: Announcement): { address: string; length: number } {
  const [address = "", length] = prefix.split("/");
  return { address, length: Number(length) };
}

/** What a prefix looks like, without its family. */
export function announcementsOf(prefixes: Iterable<string>): Announcement[] {
  return [...prefixes].map((prefix) => ({ prefix, family: addressFamily(prefix) }));
}
