// Changes to a running machine, one at a time, whoever asks for them.
//
//   parse ─▶ compare ─▶ plan ─▶ apply ─▶ verify ─▶ keep
//     │         │         │        │        └ the forwarder is not well: the configuration before is applied again; when
//     │         │         │        │          that fails, the new one stays
//     │         │         │        └ no room: nothing was changed
//     │         │         └ more would move than change.maxMoved allows, and it is not forced
//     │         └ some of it takes a restart
//     └ errors
//
// Every way ends with an entry of the audit log. A refusal changes nothing.

import { diffConfigs } from "../config/diff.ts";
import { formatIssue, type LoadedConfig, readConfigText } from "../config/load.ts";
import type { Config } from "../config/schema.ts";
import { GuidewayError } from "../errors.ts";
import type { Logger } from "../log.ts";
import { FlowSample } from "../plan/flow-sample.ts";
import { type Plan, planChange, type VipPlan } from "../plan/plan.ts";
import type { StateOf } from "../plan/tables.ts";
import { takeWeights } from "../plan/weights.ts";
import type { AuditEntry, History, Origin } from "./history.ts";
import { parseAside } from "./parse.ts";

/** Things that a message names; of more it says how many. */
const SHOWN = 5;

/** A configuration as it was written. */
export interface Document {
  text: string;
  /** What messages call it. */
  file: string;
}

export interface ReloadRequest {
  file: string;
  /** Without it the file is read. */
  text?: string | undefined;
  /** Whether more may move than change.maxMoved allows. */
  force?: boolean;
}

export interface Reloaded {
  outcome: "applied" | "unchanged";
  generation: number;
  warnings: string[];
  /** What moved, by VIP: parts of the slots, 0 to 1. */
  vips: Pick<VipPlan, "name" | "change" | "slotsMoved">[];
}

export interface ConfigurationStatus {
  file: string;
  /** Counts the configurations that were in force since the start, from 1. */
  generation: number;
  appliedAt: string;
  /** Why the last change was refused, or at the start the machine's own file; undefined when it was not. */
  refused: { at: string; file: string; code: string; message: string } | undefined;
}

export interface ChangesOptions {
  config: Config;
  document: Document;
  /** Why this configuration is not the one that was asked for. */
  refused?: ConfigurationStatus["refused"];
  /**
   * Puts a configuration in force. Rejects when it cannot be; nothing was changed then, but with ROLLBACK_FAILED.
   * @returns what undoes it
   */
  apply: (config: Config) => Promise<() => Promise<void>>;
  /** Called with a change that stays. */
  keep: () => void;
  /** Reads the files that a configuration names again, where the configuration itself is the same. */
  readFiles?: (config: Config) => void;
  /** Why the forwarder is not well with what is in force; empty when it is. */
  verify: () => Promise<string[]>;
  /** States and weights of the backends now. */
  states: StateOf;
  weightOf: (pool: string, backend: string) => number | undefined;
  history: History;
  log: Logger;
}

/** How a change ended that failed after it had begun. */
const OUTCOMES: Readonly<Record<string, AuditEntry["outcome"]>> = {
  ROLLED_BACK: "rolled back",
  ROLLBACK_FAILED: "applied",
};

function codeOf(error: unknown): string {
  return error instanceof GuidewayError ? error.code : "INTERNAL";
}

export class Changes {
  readonly #options: ChangesOptions;
  #config: Config;
  #document: Document;
  #status: ConfigurationStatus;
  #queue: Promise<unknown> = Promise.resolve();
  #stopped = false;

  constructor(options: ChangesOptions) {
    this.#options = options;
    this.#config = options.config;
    this.#document = options.document;
    this.#status = {
      file: options.document.file,
      generation: 1,
      appliedAt: new Date().toISOString(),
      refused: options.refused,
    };
  }

  /** The text in force. */
  get document(): Document {
    return this.#document;
  }

  get status(): ConfigurationStatus {
    return this.#status;
  }

  /**
   * Does what a start takes, before any change. The configuration that came with it has proven itself then.
   * @param begin returns why the forwarder is not well; empty when it is
   */
  start(origin: Origin, begin: () => Promise<string[]>): Promise<void> {
    return this.one(origin, "start", this.#document.file, async () => {
      const problems = await begin();
      if (problems.length === 0) this.#options.history.keep(this.#document.text);
      const { refused } = this.#options;
      const instead = refused ? [`instead of ${refused.file}, which was refused: ${refused.message}`] : [];
      return { result: undefined, detail: ["generation 1", ...instead, ...problems].join("; ") };
    });
  }

  /** Refuses what is asked for from now on. Resolves when the change that is under way has ended. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#queue;
  }

  /**
   * Runs a change after those before it, and notes how it ended.
   * @param change returns what the audit log says of it
   * @throws GuidewayError STOPPING, and what `change` throws
   */
  one<T>(
    origin: Origin,
    action: string,
    target: string,
    change: () => Promise<{ result: T; detail: string; outcome?: "applied" | "unchanged" }>,
  ): Promise<T> {
    const { history } = this.#options;
    const entry = { ...origin, action, target };
    const run = async () => {
      try {
        if (this.#stopped)
          throw new GuidewayError("STOPPING", "the machine stops: it takes no change any more");
        const { result, detail, outcome = "applied" } = await change();
        history.note({ ...entry, outcome, detail });
        return result;
      } catch (error) {
        const detail = (error as Error).message;
        history.note({ ...entry, outcome: OUTCOMES[codeOf(error)] ?? "refused", detail });
        throw error;
      }
    };
    const done = this.#queue.then(run);
    this.#queue = done.catch(() => {});
    return done;
  }

  /**
   * Replaces the configuration.
   * @throws ConfigError; GuidewayError RESTART_NEEDED, MAX_MOVED, CAPACITY or TABLE_HEAP, and nothing was changed;
   * ROLLED_BACK; ROLLBACK_FAILED, and the new configuration is in force
   */
  reload(request: ReloadRequest, origin: Origin): Promise<Reloaded> {
    const { log } = this.#options;
    const { file, text, force = false } = request;
    return this.one(origin, "reload", file, async () => {
      try {
        const loaded = await parseAside({ text: text ?? readConfigText(file), file });
        const result = await this.#reload(loaded, file, force);
        this.#status = { ...this.#status, refused: undefined };
        const { outcome, generation } = result;
        const moved = result.vips.filter(({ change }) => change !== "same");
        const detail =
          outcome === "applied" ? `generation ${generation}: ${summary(moved)}` : "no difference";
        log.info({ file, generation, outcome }, "configuration reloaded");
        return { result, detail, outcome };
      } catch (error) {
        const { message } = error as Error;
        const code = codeOf(error);
        const refused = { at: new Date().toISOString(), file, code, message };
        this.#status = { ...this.#status, refused };
        const end = code === "ROLLBACK_FAILED" ? "it stays in force all the same" : "the one before stays";
        log.error({ file, code, reason: message }, `configuration refused; ${end}`);
        throw error;
      }
    });
  }

  async #reload(loaded: LoadedConfig, file: string, force: boolean): Promise<Reloaded> {
    const { apply, readFiles, keep, history } = this.#options;
    const { config, warnings, text } = loaded;
    const document = { text, file };
    // Not by the plan, which leaves out what was set by hand already.
    const same = diffConfigs(this.#config, config).length === 0;
    const plan = this.#plan(config);
    const answer = {
      warnings: warnings.map(formatIssue),
      vips: plan.vips.map(({ name, change, slotsMoved }) => ({ name, change, slotsMoved })),
    };
    if (same) {
      readFiles?.(config);
      this.#inForce(config, document, 0);
      history.keep(text);
      return { outcome: "unchanged", generation: this.#status.generation, ...answer };
    }
    this.#refuse(plan, file, force);
    try {
      await this.#verify(file, await apply(config));
    } catch (error) {
      if (codeOf(error) === "ROLLBACK_FAILED") {
        this.#inForce(config, document, 1);
        keep();
      }
      throw error;
    }
    this.#inForce(config, document, 1);
    keep();
    history.keep(text);
    return { outcome: "applied", generation: this.#status.generation, ...answer };
  }

  /** Notes what is in force. @param generations that it is newer: none when it means the same */
  #inForce(config: Config, document: Document, generations: 0 | 1): void {
    const { generation, appliedAt } = this.#status;
    this.#config = config;
    this.#document = document;
    this.#status = {
      file: document.file,
      generation: generation + generations,
      appliedAt: generations > 0 ? new Date().toISOString() : appliedAt,
      refused: undefined,
    };
  }

  /** @throws GuidewayError ROLLED_BACK, or ROLLBACK_FAILED when that could not be done */
  async #verify(file: string, undo: () => Promise<void>): Promise<void> {
    const problems = await this.#options.verify();
    if (problems.length === 0) return;
    const what = `${file}: with this configuration the forwarder failed its self-test (${problems.join("; ")})`;
    await undo().catch((cause: Error) => {
      throw new GuidewayError(
        "ROLLBACK_FAILED",
        `${what}, and the one before cannot be put in force again (${cause.message}): restart guideway`,
        { cause },
      );
    });
    throw new GuidewayError("ROLLED_BACK", `${what}: the one before is in force again`);
  }

  /** What a configuration would change of the lookup tables. */
  #plan(config: Config): Plan {
    const { states, weightOf } = this.#options;
    const [before, after] = [structuredClone(this.#config), structuredClone(config)];
    takeWeights(before, after, weightOf);
    return planChange(before, after, { states, flows: new FlowSample(before, after, "none") });
  }

  #refuse({ restart, vips }: Plan, file: string, force: boolean): void {
    if (restart.length > 0) {
      const keys = restart.map(
        (change) => `${change.path} (${shown(change.before)} > ${shown(change.after)})`,
      );
      throw new GuidewayError(
        "RESTART_NEEDED",
        `${file}: a running machine cannot change ${listed(keys)}: restart it with this configuration, or take that out of it`,
      );
    }
    const { maxMoved } = this.#config.change;
    const above = vips.filter(({ slotsMoved }) => slotsMoved > maxMoved);
    if (force || above.length === 0) return;
    throw new GuidewayError(
      "MAX_MOVED",
      `${file}: more would move than change.maxMoved in force (${percent(maxMoved)}) allows: ${summary(above)}; look at it ` +
        "with guideway plan --live, make it in smaller steps, or do it nevertheless with --force",
    );
  }
}

/** A value of the configuration, not too long. */
function shown(value: unknown): string {
  const text = value === null ? "none" : JSON.stringify(value);
  return text.length > 60 ? `${text.slice(0, 57)}...` : text;
}

function listed(all: readonly string[]): string {
  const more = all.length - SHOWN;
  return all.slice(0, SHOWN).join(", ") + (more > 0 ? ` and ${more} more` : "");
}

function percent(part: number): string {
  return `${(part * 100).toFixed(1)}%`;
}

function summary(vips: readonly Pick<VipPlan, "name" | "change" | "slotsMoved">[]): string {
  if (vips.length === 0) return "no VIP moves";
  return listed(
    vips.map(({ name, change, slotsMoved }) => `${name} ${change} (${percent(slotsMoved)} moved)`),
  );
}
