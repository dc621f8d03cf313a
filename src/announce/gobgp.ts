// Announces through GoBGP, and finds out what became of it.
//
//   state         reached by                                 in it
//   connecting    start, any failure (again within 1 s)      changes fail
//   connected     BGP runs, the paths were looked up         changes go through; peers and paths are looked up every
//                                                            second, so nobody else's doing goes unnoticed
//   closed        close                                      nothing
//
// The connection is watched by a stream of events: its end is the first sign of a GoBGP that died. One that was started
// again has lost its paths; looking them up tells.
import { setTimeout as sleep } from "node:timers/promises";
import type { Announcement, PeerStatus } from "./announcer.ts";
import { GobgpClient } from "./gobgp-client.ts";
import { type Path, type PathAttributes, pathOf, prefixOf, stateOf } from "./gobgp-path.ts";
import type { PrefixState, Speaker, SpeakerEvents } from "./speaker.ts";

const POLL_MS = 1000;
/** A peer's event is followed by a look at all of them, together with the events that come soon after. */
const SETTLE_MS = 50;
const FIRST_RETRY_MS = 100;
const LAST_RETRY_MS = 1000;

export class GobgpSpeaker implements Speaker {
  readonly kind = "gobgp";
  readonly parallel = 32;
  readonly #target: string;
  readonly #attributes: PathAttributes;
  readonly #closing = new AbortController();
  #client: GobgpClient | undefined;
  #peers: PeerStatus[] = [];
  /** Prefixes that are being changed, with how many times. */
  readonly #changing = new Map<string, number>();
  /** Prefixes that were changed while paths are looked up: what is found of them may be old. */
  #touched = new Set<string>();

  constructor(target: string, attributes: PathAttributes) {
    this.#target = target;
    this.#attributes = attributes;
  }

  start(events: SpeakerEvents, owned: () => readonly Announcement[]): void {
    void this.#run(events, owned);
  }

  async change(action: "announce" | "withdraw", announcement: Announcement): Promise<void> {
    const client = this.#client;
    if (client === undefined) throw new Error(`GoBGP at ${this.#target} is not connected`);
    const path = pathOf(announcement, this.#attributes);
    const { prefix } = announcement;
    this.#touched.add(prefix);
    this.#changing.set(prefix, (this.#changing.get(prefix) ?? 0) + 1);
    try {
      await (action === "announce" ? client.addPath(path) : client.deletePath(path));
    } finally {
      const left = this.#changing.get(prefix)! - 1;
      if (left === 0) this.#changing.delete(prefix);
      else this.#changing.set(prefix, left);
    }
  }

  peers(): PeerStatus[] {
    return this.#peers;
  }

  close(): void {
    this.#closing.abort();
    this.#client?.close();
    this.#client = undefined;
  }

  async #run(events: SpeakerEvents, owned: () => readonly Announcement[]): Promise<void> {
    const { signal } = this.#closing;
    let retryMs = FIRST_RETRY_MS;
    while (!signal.aborted) {
      const client = new GobgpClient(this.#target);
      try {
        await this.#session(client, events, owned, () => {
          retryMs = FIRST_RETRY_MS;
        });
      } catch (error) {
        this.#client = undefined;
        this.#peers = [];
        if (!signal.aborted) events.disconnected(error as Error);
      }
      client.close();
      await sleep(retryMs, undefined, { signal }).catch(() => {});
      retryMs = Math.min(LAST_RETRY_MS, retryMs * 2);
    }
  }

  /** From connecting to the end of the connection, with whose reason it rejects. */
  async #session(
    client: GobgpClient,
    events: SpeakerEvents,
    owned: () => readonly Announcement[],
    onConnected: () => void,
  ): Promise<never> {
    await client.check();
    let wake = () => {};
    const ended = new Promise<never>((_, reject) => client.watch(() => wake(), reject));
    // Rejected while nobody waits for it, it is found at the next wait.
    ended.catch(() => {});
    for (;;) {
      const event = new Promise<void>((resolve) => {
        wake = resolve;
      });
      const found = await Promise.race([this.#lookUp(client, owned()), ended]);
      this.#peers = await Promise.race([client.peers(), ended]);
      if (this.#closing.signal.aborted) throw new Error("closed");
      this.#client = client;
      onConnected();
      events.connected(found);
      await Promise.race([ended, this.#pause(POLL_MS), event]);
      await Promise.race([ended, this.#pause(SETTLE_MS)]);
    }
  }

  #pause(ms: number): Promise<void> {
    return sleep(ms, undefined, { signal: this.#closing.signal });
  }

  async #lookUp(client: GobgpClient, owned: readonly Announcement[]): Promise<Map<string, PrefixState>> {
    this.#touched = new Set(this.#changing.keys());
    const paths = new Map<string, Path[]>();
    for (const family of [4, 6] as const) {
      const prefixes = owned.filter((each) => each.family === family).map(({ prefix }) => prefix);
      for (const path of await client.paths(family, prefixes)) {
        const prefix = prefixOf(path);
        if (prefix !== undefined) paths.set(prefix, [...(paths.get(prefix) ?? []), path]);
      }
    }
    return new Map(
      owned
        .filter(({ prefix }) => !this.#touched.has(prefix))
        .map((each) => [each.prefix, stateOf(each, paths.get(each.prefix) ?? [], this.#attributes)]),
    );
  }
}
