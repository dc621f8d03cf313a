// GoBGP's gRPC API as promises, each bounded in time.
import { fileURLToPath } from "node:url";
import {
  type ChannelOptions,
  type Client,
  type ClientReadableStream,
  credentials,
  loadPackageDefinition,
  type ServiceClientConstructor,
  type ServiceError,
  status,
} from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";
import type { PeerStatus } from "./announcer.ts";
import { type Family, familyOf, type Path } from "./gobgp-path.ts";

/** Longest wait for an answer: GoBGP is on this machine. */
const ANSWER_MS = 2000;

const OPTIONS: ChannelOptions = {
  // Whoever uses this connects again by himself: a new client must not inherit the waiting time of an old one.
  "grpc.use_local_subchannel_pool": 1,
  "grpc.initial_reconnect_backoff_ms": 100,
  "grpc.max_reconnect_backoff_ms": 1000,
  "grpc.enable_retries": 0,
  // The API is on this machine, whatever the environment says about proxies.
  "grpc.enable_http_proxy": 0,
};

/** `GoBgpService` of gobgp.proto. */
function serviceClient(): ServiceClientConstructor {
  const file = fileURLToPath(import.meta.resolve("#gobgp.proto"));
  const definition = loadSync(file, { longs: Number, enums: String, defaults: true });
  const { api } = loadPackageDefinition(definition) as unknown as {
    api: { GoBgpService: ServiceClientConstructor };
  };
  return api.GoBgpService;
}

let Service: ServiceClientConstructor | undefined;

interface PeerMessage {
  state: { neighborAddress: string; peerAsn: number; sessionState: string } | null;
  timers: { state: { uptime: { seconds: number } | null } | null } | null;
  afiSafis: { state: { received: number; advertised: number } | null }[];
}

export class GobgpClient {
  readonly #client: Client;
  readonly #target: string;
  /** What watch() listens to: it has no end of its own, and the connection lasts as long. */
  #events: ClientReadableStream<unknown> | undefined;

  /** Connects with the first request. */
  constructor(target: string) {
    Service ??= serviceClient();
    this.#target = target;
    this.#client = new Service(target, credentials.createInsecure(), OPTIONS);
  }

  /** Ends the connection; watch() is not called back any more. */
  close(): void {
    const events = this.#events;
    this.#events = undefined;
    events?.cancel();
    this.#client.close();
  }

  /** Makes sure that BGP runs. @throws Error that says what is wrong */
  async check(): Promise<void> {
    const { global } = await this.#ask<{ global: { asn: number } | null }>("getBgp", {});
    if (!global?.asn) throw new Error(`GoBGP at ${this.#target} has not started BGP (no AS number yet)`);
  }

  /** Calls `onEvent` when a peer's session changes, and `onEnd` once, when the connection has ended. */
  watch(onEvent: () => void, onEnd: (error: Error) => void): void {
    const stream = this.#stream("watchEvent", { peer: {} });
    this.#events = stream;
    const end = (error: Error) => {
      if (this.#events === stream) onEnd(error);
    };
    stream.on("data", onEvent);
    stream.on("end", () => end(new Error(`GoBGP at ${this.#target} has closed the connection`)));
    stream.on("error", (error: ServiceError) => end(this.#problem(error)));
  }

  async addPath(path: Path): Promise<void> {
    await this.#ask("addPath", { tableType: "TABLE_TYPE_GLOBAL", path });
  }

  /** Does nothing where there is no such path. */
  async deletePath(path: Path): Promise<void> {
    await this.#ask("deletePath", { tableType: "TABLE_TYPE_GLOBAL", path: { ...path, isWithdraw: true } });
  }

  /** All paths for these prefixes, from here and from peers. */
  async paths(family: 4 | 6, prefixes: readonly string[]): Promise<Path[]> {
    if (prefixes.length === 0) return [];
    const request: { tableType: string; family: Family; prefixes: object[] } = {
      tableType: "TABLE_TYPE_GLOBAL",
      family: familyOf(family),
      prefixes: prefixes.map((prefix) => ({ prefix, type: "TYPE_EXACT" })),
    };
    const answers = await this.#collect<{ destination: { paths: Path[] } | null }>("listPath", request);
    return answers.flatMap(({ destination }) => destination?.paths ?? []);
  }

  async peers(): Promise<PeerStatus[]> {
    const answers = await this.#collect<{ peer: PeerMessage | null }>("listPeer", { enableAdvertised: true });
    return answers.flatMap(({ peer }) => (peer?.state ? [peerStatus(peer)] : []));
  }

  #ask<T>(method: string, request: object): Promise<T> {
    return new Promise((resolve, reject) => {
      const call = this.#method(method) as (
        request: object,
        options: object,
        done: (error: ServiceError | null, answer: T) => void,
      ) => void;
      call.call(this.#client, request, { deadline: Date.now() + ANSWER_MS }, (error, answer) =>
        error ? reject(this.#problem(error)) : resolve(answer),
      );
    });
  }

  #collect<T>(method: string, request: object): Promise<T[]> {
    return new Promise((resolve, reject) => {
      const answers: T[] = [];
      const stream = this.#stream(method, request, { deadline: Date.now() + ANSWER_MS });
      stream.on("data", (answer: T) => answers.push(answer));
      stream.on("end", () => resolve(answers));
      stream.on("error", (error: ServiceError) => reject(this.#problem(error)));
    });
  }

  #stream(method: string, request: object, options: object = {}): ClientReadableStream<unknown> {
    const call = this.#method(method) as (request: object, options: object) => ClientReadableStream<unknown>;
    return call.call(this.#client, request, options);
  }

  #method(name: string): unknown {
    return (this.#client as unknown as Record<string, unknown>)[name];
  }

  /** gRPC's errors in words that do not change from one attempt to the next. */
  #problem(error: ServiceError): Error {
    const where = `GoBGP at ${this.#target}`;
    if (error.code === status.UNAVAILABLE || error.code === status.CANCELLED) {
      const cause = /E[A-Z]{3,}/.exec(error.details)?.[0];
      return new Error(`${where} cannot be reached${cause ? ` (${cause})` : ""}: is gobgpd running?`);
    }
    if (error.code === status.DEADLINE_EXCEEDED)
      return new Error(`${where} has not answered within ${ANSWER_MS} ms`);
    if (error.code === status.UNIMPLEMENTED)
      return new Error(`${where} does not know this request (${error.details}): version 4 is needed`);
    return new Error(`${where}: ${error.details || error.message}`);
  }
}

function peerStatus({ state, timers, afiSafis }: PeerMessage): PeerStatus {
  const { neighborAddress, peerAsn, sessionState } = state!;
  const word = sessionState.replace("SESSION_STATE_", "").toLowerCase();
  const peer: PeerStatus = { address: neighborAddress, asn: peerAsn, state: word };
  if (word !== "established") return peer;
  const up = timers?.state?.uptime?.seconds;
  const sum = (key: "received" | "advertised") =>
    afiSafis.reduce((total, { state }) => total + (state?.[key] ?? 0), 0);
  return {
    ...peer,
    ...(up !== undefined && { uptimeSeconds: Math.max(0, Math.floor(Date.now() / 1000 - up)) }),
    receivedPrefixes: sum("received"),
    advertisedPrefixes: sum("advertised"),
  };
}
