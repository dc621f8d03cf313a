// GET /v1/frames: where every packet buffer is.

import { z } from "zod";
import type { FrameAudit } from "../../dataplane/audit.ts";
import { type App, answers, count } from "../route.ts";

export const places = z
  .strictObject({
    fill: count("Offered to the kernel."),
    completion: count("Sent, and not taken back yet."),
    rx: count("Received, and not taken by a worker yet."),
    tx: count("About to be sent."),
    handoff: count("On the way from one worker to another."),
    held: count("In which fragments wait for the first of their datagram."),
    free: count("On a worker's free list."),
    inHand: count("In the batch that a worker is at."),
  })
  .describe("Frames by place.");

const offsets = (description: string) => z.array(z.number().int()).describe(description);

const body = z
  .strictObject({
    total: count("Frames in all."),
    places,
    missing: offsets("Frames in no place that can be seen. The kernel may hold one per queue."),
    duplicated: offsets("Frames in two places: never right when everything stands still."),
    invalid: offsets("Addresses that belong to no frame."),
  })
  .describe("Exact when traffic stands still; else frames on their way may be seen twice or not at all");

export function framesRoute(app: App, machine: { auditFrames(): FrameAudit }): void {
  app.get(
    "/v1/frames",
    { schema: { summary: "Where every packet buffer is", response: answers(body) } },
    () => machine.auditFrames(),
  );
}
