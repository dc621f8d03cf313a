/**
 * The lab's HTTP client. Started inside a namespace:
 *
 *     node client.ts load --url http://10.99.0.1/ --url http://[fd99::1]/ --concurrency 8 --long-lived 4 --for 10s
 *     node client.ts download|upload --url http://10.99.0.1/ --bytes 20000000 --seed 1
 *
 * Writes one JSON object a line: `load` an interval report every `--interval` and a summary at the end, which comes with
 * `--for`, SIGTERM or SIGINT (load.ts says what is in them); the transfers one result per URL (transfer.ts), and they exit
 * with 1 when one is not ok.
 */
import { parseArgs } from "node:util";
import { Load } from "./load.ts";
import { download, upload } from "./transfer.ts";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    url: { type: "string", multiple: true, default: ["http://10.99.0.1/"] },
    timeout: { type: "string", default: "3s" },
    // load
    concurrency: { type: "string", default: "4" },
    "requests-per-connection": { type: "string", default: "1" },
    rate: { type: "string", default: "0" },
    "long-lived": { type: "string", default: "0" },
    "long-lived-interval": { type: "string", default: "100ms" },
    interval: { type: "string", default: "1s" },
    for: { type: "string" },
    // download, upload
    bytes: { type: "string", default: "20000000" },
    seed: { type: "string", default: "1" },
  },
});

const urls = values.url.map((url) => new URL(url));
const timeoutMs = milliseconds(values.timeout);
const [mode = "load"] = positionals;

// A reader that went away ends the client like a signal would; there is nobody to report to.
process.stdout.on("error", () => process.exit(0));

if (mode === "load") await load();
else if (mode === "download" || mode === "upload") await transfers(mode === "download" ? download : upload);
else fail(`unknown mode ${mode}: load, download or upload`);

async function load(): Promise<void> {
  const forMs = values.for === undefined ? undefined : milliseconds(values.for);
  const load = new Load({
    urls,
    timeoutMs,
    concurrency: count("concurrency"),
    requestsPerConnection: Math.max(1, count("requests-per-connection")),
    rate: count("rate"),
    longLived: count("long-lived"),
    longLivedIntervalMs: milliseconds(values["long-lived-interval"]),
  });
  const reports = setInterval(() => print(load.report()), milliseconds(values.interval));
  await new Promise<void>((resolve) => {
    if (forMs !== undefined) setTimeout(resolve, forMs);
    for (const name of ["SIGTERM", "SIGINT"] as const) process.once(name, () => resolve());
  });
  clearInterval(reports);
  print(await load.stop());
  process.exit(0);
}

async function transfers(transfer: typeof download): Promise<void> {
  for (const url of urls) {
    const result = await transfer({ url, timeoutMs, bytes: count("bytes"), seed: count("seed") });
    print(result);
    if (!result.ok) process.exitCode = 1;
  }
}

function print(value: object): void {
  process.stdout.write(`${JSON.stringify(value)}\n`);
}

function count(
  name: "concurrency" | "requests-per-connection" | "rate" | "long-lived" | "bytes" | "seed",
): number {
  const value = Number(values[name]);
  return Number.isInteger(value) && value >= 0
    ? value
    : fail(`--${name}: ${values[name]} is not a whole number`);
}

/** `250ms`, `10s` or `2m`; a bare number is seconds. */
function milliseconds(text: string): number {
  const [, number, unit] =
    /^(\d+(?:\.\d+)?)(ms|s|m)?$/.exec(text) ?? fail(`${text} is not a time such as 250ms, 10s or 2m`);
  return Number(number) * { ms: 1, s: 1000, m: 60_000 }[(unit ?? "s") as "ms" | "s" | "m"];
}

function fail(problem: string): never {
  process.stderr.write(`client: ${problem}\n`);
  process.exit(2);
}
