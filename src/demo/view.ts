// The demo's live view: one screen of text, redrawn in place on a terminal, a line now and then elsewhere.

import { createLogUpdate } from "log-update";
import { columns, percent } from "../columns.ts";
import type { DemoState } from "./state.ts";

const BAR = 24;
/** Events that stay on the screen. */
const EVENTS = 4;
/** Seconds between two lines where the screen cannot be redrawn. */
const LINE_SECONDS = 5;

export interface View {
  show(state: DemoState): void;
  /** Leaves the last screen standing. */
  end(): void;
}

/** A view on a stream: stderr, so that stdout is left to the result. */
export function createView(stream: NodeJS.WriteStream): View {
  if (!stream.isTTY) return lineView(stream);
  const update = createLogUpdate(stream);
  return { show: (state) => update(render(state)), end: () => update.done() };
}

function lineView(stream: NodeJS.WriteStream): View {
  let next = 0;
  let told = 0;
  return {
    show(state) {
      for (; told < state.events.length; told++) stream.write(`${state.events[told]}\n`);
      if (state.seconds < next) return;
      next = state.seconds + LINE_SECONDS;
      const { requests, packets, backends } = state;
      const shares = backends.map(({ name, perSecond }) => `${name} ${Math.round(perSecond)}/s`).join(", ");
      stream.write(
        `${state.seconds.toFixed(0)}s: ${Math.round(requests.perSecond)} requests/s (${requests.failed} failed), ` +
          `${Math.round(packets.perSecond)} packets/s; ${shares}\n`,
      );
    },
    end: () => undefined,
  };
}

function bar(part: number): string {
  const filled = Math.round(Math.min(1, part) * BAR);
  return "█".repeat(filled) + "░".repeat(BAR - filled);
}

/** The screen as text. */
export function render(state: DemoState): string {
  const { requests, packets, backends, workers, reasons, connections, events } = state;
  const number = (value: number) => Math.round(value).toLocaleString("en-US");
  const answering = backends.reduce((sum, backend) => sum + backend.perSecond, 0);
  const what = state.mode === "lab" ? "requests" : "packets";
  const sections = [
    `guideway demo, ${state.mode === "lab" ? "HTTP through AF_XDP in a namespace lab" : "generated packets in memory"} — ${state.seconds.toFixed(0)} s`,
    columns([
      [
        what,
        `${number(requests.perSecond)}/s`,
        `${number(requests.total)} in all`,
        `${number(requests.failed)} failed`,
      ],
      [
        "forwarded",
        `${number(packets.perSecond)}/s`,
        `${number(packets.forwarded)} packets`,
        `${number(packets.dropped)} dropped`,
      ],
      ...(state.mode === "lab"
        ? [
            [
              "connections",
              `${connections.open} long-lived`,
              `${connections.lost} lost`,
              `${connections.moved} moved`,
            ],
          ]
        : []),
    ]),
    columns(
      backends.map(({ name, state, perSecond }) => [
        name,
        bar(answering === 0 ? 0 : perSecond / answering),
        percent(perSecond, answering),
        `${number(perSecond)}/s`,
        state,
      ]),
      [2, 3],
    ),
    columns(
      workers.map(({ load, nsPerPacket, packets }, i) => [
        `worker ${i}`,
        bar(load),
        percent(load, 1),
        `${number(nsPerPacket)} ns/packet`,
        `${number(packets)} packets`,
      ]),
      [2, 3, 4],
    ),
    Object.entries(reasons)
      .map(([reason, count]) => `${reason} ${number(count)}`)
      .join("   "),
    events.slice(-EVENTS).join("\n"),
  ];
  return `${sections.filter(Boolean).join("\n\n")}\n`;
}
