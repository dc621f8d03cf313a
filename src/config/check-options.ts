// What must hold between the options of a health check.
import type { z } from "zod";
import type { CheckType, Options } from "./health.ts";
import { oneOf } from "./suggest.ts";

/** The options that not every type has. */
const OPTIONS: Readonly<Record<string, readonly CheckType[]>> = {
  method: ["http", "https"],
  path: ["http", "https"],
  host: ["http", "https"],
  status: ["http", "https"],
  body: ["http", "https"],
  tls: ["https", "grpc"],
  query: ["dns", "udp"],
  expect: ["dns", "udp"],
  recordType: ["dns"],
  rcode: ["dns"],
  service: ["grpc"],
  command: ["exec"],
};

/** Options any of which may be unknown, because it has an error of its own. */
type Draft = Partial<{ [Key in keyof Options]: Options[Key] | undefined }>;

/** Reports what does not go together. Runs even when options have errors of their own, on what is left. */
export function checkOptions(draft: Draft | undefined, context: z.core.$RefinementCtx<Options>): void {
  if (typeof draft !== "object" || draft === null) return;
  const report = (path: string[], message: string, at?: "key") =>
    context.addIssue({ code: "custom", path, message, params: { at } });
  const { type, interval, timeout } = draft;
  if (timeout !== undefined && interval !== undefined && timeout > interval)
    report(["timeout"], `${timeout} ms is longer than the interval, expected at most ${interval} ms`);
  if (interval !== undefined && draft.jitter !== undefined && "ms" in draft.jitter)
    if (draft.jitter.ms > interval / 2)
      report(
        ["jitter"],
        `${draft.jitter.ms} ms is more than half of the interval, expected at most ${interval / 2} ms`,
      );
  if (type === undefined) return;
  for (const [option, types] of Object.entries(OPTIONS))
    if (draft[option as keyof Draft] !== undefined && !types.includes(type))
      report(
        [option],
        `is not an option of type ${type}, only of ${oneOf(types).replace(/ or (?=\w+$)/, " and ")}`,
        "key",
      );
  if (type === "exec") {
    if (draft.via === "tunnel") report(["via"], "type exec cannot go through a tunnel, expected direct");
    const [program] = draft.command ?? [];
    if (draft.command === undefined)
      report(["command"], "is missing, expected a list of a program's absolute path and its arguments");
    else if (draft.command.length === 0)
      report(["command"], "is an empty list, expected a program's absolute path and its arguments");
    else if (program !== undefined && !program.startsWith("/"))
      report(
        ["command"],
        `${JSON.stringify(program)} is not an absolute path, expected one such as /usr/bin/${program.replace(/.*\//, "")}`,
      );
  }
  if (type === "dns") {
    if (draft.query === undefined) report(["query"], "is missing, expected the name to ask for");
    else if (!isDomainName(draft.query))
      report(
        ["query"],
        `${JSON.stringify(draft.query.slice(0, 60))} is not a domain name, expected one such as example.com`,
      );
  }
  if (draft.method === "HEAD" && draft.body !== undefined && OPTIONS.body!.includes(type))
    report(["body"], "the answer to HEAD has none, expected another method");
}

/** A name as it is written (RFC 1035 §2.3.4): labels of up to 63 characters, 253 in all, or the root. */
function isDomainName(text: string): boolean {
  return text.length <= 253 && /^(\.|([\w-]{1,63}\.)*[\w-]{1,63}\.?)$/.test(text);
}
