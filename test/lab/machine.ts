/** What lab tests need of the machine, and what they leave on it. */
import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, renameSync, statSync } from "node:fs";
import { arch } from "node:os";
import { join } from "node:path";
import { decapObject } from "../../src/lab/object.ts";
import { packageRoot } from "../../src/lab/paths.ts";
import { findTool } from "../../src/lab/process.ts";

/** Why tests with namespaces cannot run here; false when they can. Builds the XDP object where it is missing or old. */
export function skipReason(...tools: string[]): string | false {
  if (process.platform !== "linux") return "needs Linux";
  if (process.geteuid?.() !== 0) return "needs root";
  const missing = ["ip", "bridge", "ethtool", ...tools].filter((tool) => findTool(tool) === undefined);
  if (missing.length > 0) return `needs ${missing.join(", ")}`;
  return buildObject();
}

let prefixes = 0;

/** A prefix that no other test process has. */
export function testPrefix(): string {
  return `t${process.pid.toString(36)}${(prefixes++).toString(36)}`;
}

/** Names of the namespaces and host interfaces that could be of this lab, or of a lab at all in the case of interfaces. */
export function traces(prefix: string): string[] {
  const links = execFileSync("ip", ["-brief", "link"], { encoding: "utf8" });
  const namespaces = execFileSync("ip", ["netns", "list"], { encoding: "utf8" });
  return [
    ...links.split("\n").map((line) => line.split(/[\s@]/)[0]!),
    ...namespaces.split("\n").filter((line) => line.startsWith(`${prefix}-`)),
  ].filter((name) => name !== "");
}

function buildObject(): string | false {
  const root = packageRoot();
  const source = join(root, "native/bpf/decap.bpf.c");
  const object = decapObject();
  if (existsSync(object) && statSync(object).mtimeMs >= statSync(source).mtimeMs) return false;
  if (findTool("clang") === undefined)
    return existsSync(object) ? false : "needs clang, or the XDP object built";
  mkdirSync(join(root, "build"), { recursive: true });
  // Test files run side by side: each makes its own, and the last one stays.
  const made = `${object}.${process.pid}`;
  const machine = arch() === "arm64" ? "aarch64" : "x86_64";
  const include = `-I/usr/include/${machine}-linux-gnu`;
  const result = spawnSync("clang", ["-O2", "-g", "-target", "bpf", include, "-c", source, "-o", made]);
  if (result.status !== 0) throw new Error(`clang: ${result.stderr}`);
  renameSync(made, object);
  return false;
}
