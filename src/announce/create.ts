// The announcer of a configuration.
import { type AnnounceConfig, nextHops } from "../config/announce.ts";
import type { Config } from "../config/schema.ts";
import type { Logger } from "../log.ts";
import { type Announcement, type Announcer, type AnnouncerStatus, announcementOf } from "./announcer.ts";
import { ExecSpeaker } from "./exec.ts";
import { GobgpSpeaker } from "./gobgp.ts";
import { Guard } from "./guard.ts";
import { Reconciler } from "./reconciler.ts";
import type { Speaker } from "./speaker.ts";

/** The parts of a configuration that announcing depends on. */
export type AnnounceSources = Pick<Config, "announce" | "machine"> & {
  vips: readonly Pick<Config["vips"][number], "address">[];
};

/**
 * An announcer, which has announced nothing yet. With the first `want` it withdraws what an earlier process may have
 * left of the configuration's VIPs. A guard process withdraws everything when this process dies without `stop`.
 */
export function createAnnouncer(config: AnnounceSources, log: Logger): Announcer {
  if (config.announce === undefined) return new NoAnnouncer();
  const guard = new Guard(config, log);
  const reconciler = createReconciler(config, log, (prefixes) => guard.expose(prefixes));
  return {
    want: (prefixes) => reconciler.want(prefixes),
    settled: () => reconciler.settled(),
    status: () => reconciler.status(),
    stop: async () => {
      await reconciler.stop();
      await guard.dismiss();
    },
  };
}

/** The announcer without its guard: the guard's own. */
export function createReconciler(
  config: AnnounceSources,
  log: Logger,
  onExposed?: (prefixes: readonly string[]) => void,
): Reconciler {
  const owned = new Map(config.vips.map(({ address }) => [address, announcementOf(address)]));
  return new Reconciler(createSpeaker(config.announce!, config), {
    owned: [...owned.values()],
    log,
    ...(onExposed && { onExposed }),
  });
}

function createSpeaker(announce: AnnounceConfig, config: AnnounceSources): Speaker {
  const attributes = { nextHops: nextHops(config), communities: announce.communities };
  if (announce.gobgp !== undefined) return new GobgpSpeaker(announce.gobgp, attributes);
  return new ExecSpeaker({ ...announce.exec!, ...attributes });
}

/** Where nothing is configured, nothing is announced. */
class NoAnnouncer implements Announcer {
  #wanted: string[] = [];

  want(prefixes: readonly Announcement[]): void {
    this.#wanted = prefixes.map(({ prefix }) => prefix);
  }

  async settled(): Promise<void> {}

  status(): AnnouncerStatus {
    return {
      kind: "none",
      connected: false,
      error: undefined,
      announced: [],
      wanted: this.#wanted,
      peers: [],
      changes: { announced: 0, withdrawn: 0, failed: 0 },
    };
  }

  async stop(): Promise<void> {}
}
