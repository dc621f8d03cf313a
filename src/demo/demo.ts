// `guideway demo`: the lab where that is possible, else memory, and the view and summary of either.

import { GuidewayError } from "../errors.ts";
import { type DemoState, summarize } from "./state.ts";
import { createView, type View } from "./view.ts";

export interface DemoOptions {
  /** Seconds until it ends by itself. */
  forSeconds: number | undefined;
  /** Prints the summary as one JSON object on stdout. */
  json: boolean;
}

/** Either way of running it. */
interface Demo {
  watch(signal: AbortSignal, forSeconds: number | undefined): AsyncGenerator<DemoState>;
  /** Ends everything. @returns the last state */
  stop(): Promise<DemoState | undefined>;
}

const WITHOUT_ROOT =
  "As root this shows real HTTP requests crossing AF_XDP in network namespaces: a client, a router, this balancer and four " +
  "servers.\nWithout it, the same engine forwards generated packets in memory.\n";

function say(text: string): void {
  process.stderr.write(text);
}

async function startDemo(): Promise<Demo> {
  if (process.geteuid?.() !== 0) {
    say(WITHOUT_ROOT);
    const { MemoryDemo } = await import("./memory.ts");
    return new MemoryDemo();
  }
  const { LabDemo } = await import("./lab.ts");
  say("Building a lab of network namespaces: client, router, balancer, four servers …\n");
  return LabDemo.start();
}

/** @throws GuidewayError DEMO, LabError; nothing is left behind */
export async function runDemo({ forSeconds, json }: DemoOptions): Promise<void> {
  const end = new AbortController();
  const abort = () => end.abort();
  process.on("SIGINT", abort).on("SIGTERM", abort);
  const demo = await startDemo();
  const timer = forSeconds === undefined ? undefined : setTimeout(abort, forSeconds * 1000);
  const view = createView(process.stderr);
  let last: DemoState | undefined;
  try {
    for await (const state of demo.watch(end.signal, forSeconds)) view.show(state);
  } finally {
    clearTimeout(timer);
    last = await stop(demo, view);
    process.off("SIGINT", abort).off("SIGTERM", abort);
  }
  if (!last) throw new GuidewayError("DEMO", "the demo ended before it had anything to show");
  if (json) process.stdout.write(`${JSON.stringify(summarize(last))}\n`);
  else process.stdout.write(`${conclusion(last)}\n`);
}

async function stop(demo: Demo, view: View): Promise<DemoState | undefined> {
  const state = await demo.stop();
  if (state) view.show(state);
  view.end();
  return state;
}

function conclusion({ mode, seconds, requests, packets, connections }: DemoState): string {
  const what = mode === "lab" ? "requests" : "packets";
  const kept =
    mode === "lab"
      ? `, ${connections.lost} of the long-lived connections lost, ${connections.moved} moved`
      : "";
  return (
    `${requests.total.toLocaleString("en-US")} ${what} in ${seconds.toFixed(0)} s, ${requests.failed} failed; ` +
    `${packets.forwarded.toLocaleString("en-US")} packets forwarded, ${packets.dropped.toLocaleString("en-US")} dropped${kept}.`
  );
}
