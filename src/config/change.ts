// How a running machine takes another configuration.

import { boolean, folderPath, percentage, section } from "./values.ts";

export const change = section({
  maxMoved: percentage()
    .prefault("100%")
    .describe(
      "A reload that would move more of a VIP's slots is refused, unless it is forced. What a change moves: " +
        "[plan.md](plan.md).",
    ),
  watch: boolean()
    .prefault(false)
    .describe("Whether the file is watched, and taken over when it is written."),
  state: folderPath()
    .prefault("/var/lib/guideway")
    .describe("Folder of the last good configuration and of the audit log. Made when it is not there."),
});
