// What the reconciler needs of whoever talks to the routers.
import type { Announcement, AnnouncerStatus, PeerStatus } from "./announcer.ts";

/** `unknown`: it has to be announced or withdrawn again to be sure. */
export type PrefixState = "unknown" | "announced" | "withdrawn";

/** What the reconciler hears from its speaker, at any time between `start` and `close`. */
export interface SpeakerEvents {
  /** The speaker can be asked for changes, and this is how it is with the prefixes that it could look up. */
  connected(found: ReadonlyMap<string, PrefixState>): void;
  /**
   * Nothing can be changed until it is connected again. What was announced may be so still. Told again with every
   * attempt that fails.
   */
  disconnected(error: Error): void;
}

export interface Speaker {
  readonly kind: AnnouncerStatus["kind"];
  /** How many changes it takes at once. */
  readonly parallel: number;
  /** Begins; `owned` says at any time which prefixes are this machine's to announce and withdraw. */
  start(events: SpeakerEvents, owned: () => readonly Announcement[]): void;
  /** Announces a prefix, or withdraws it. Both may find it done already. Rejects when it failed. */
  change(action: "announce" | "withdraw", announcement: Announcement): Promise<void>;
  peers(): PeerStatus[];
  /** Lets go of everything; no event comes afterwards. */
  close(): void;
}
