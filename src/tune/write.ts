// Putting a recommendation into a configuration file. Only the section `workers` is written anew, its comments kept; every other
// byte of the file stays as it is.

import { chmodSync, realpathSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { isMap, isScalar, type Pair, parseDocument, type YAMLMap } from "yaml";
import { parseConfig } from "../config/load.ts";
import { GuidewayError } from "../errors.ts";

const BOM = "\ufeff";

export interface WorkersChange {
  count: number;
  batch: number;
  /** CPUs to pin to; undefined for none. */
  cpus: readonly number[] | undefined;
}

/**
 * The text of a configuration with other workers.
 * @throws GuidewayError TUNE when the section is written in a way that cannot be changed; ConfigError when the result is not valid
 */
export function withWorkers(text: string, file: string, change: WorkersChange): string {
  const bom = text.startsWith(BOM) ? BOM : "";
  const changed = bom + edited(text.slice(bom.length), file, change);
  const { workers } = parseConfig(changed, file).config;
  const same = (a: readonly number[] | undefined, b: readonly number[] | undefined) =>
    a?.join() === b?.join();
  if (workers.count === change.count && workers.batch === change.batch && same(workers.cpus, change.cpus))
    return changed;
  throw new GuidewayError("TUNE", `${file}: the section workers cannot be changed: write it by hand`);
}

function edited(text: string, file: string, change: WorkersChange): string {
  const document = parseDocument(text);
  const root = document.contents;
  if (!isMap(root)) throw new GuidewayError("TUNE", `${file} is no map, expected a configuration`);
  const pair = root.items.find(({ key }) => isScalar(key) && key.value === "workers");
  const json = asJson(text, change);
  if (json !== undefined) return json;
  if (root.flow) {
    // YAML that looks like JSON: there are no lines that could stay.
    apply(document, ["workers"], change);
    return document.toString({ lineWidth: 0 });
  }
  const ends = (section: string) => (text.includes("\r\n") ? section.replace(/\r?\n/g, "\r\n") : section);
  if (!pair) return appended(text, ends(sectionText("workers: { }\n", change)), root);
  const [from, to] = rangeOf(pair, file);
  return text.slice(0, from) + ends(sectionText(text.slice(from, to), change)) + text.slice(to);
}

/** JSON stays JSON, indented as it was; undefined for other YAML. */
function asJson(text: string, { count, batch, cpus }: WorkersChange): string | undefined {
  let document: { workers?: object };
  try {
    document = JSON.parse(text);
  } catch {
    return undefined;
  }
  const { cpus: _before, ...workers }: { cpus?: unknown } = document.workers ?? {};
  const changed = { ...document, workers: { ...workers, count, batch, ...(cpus && { cpus }) } };
  return JSON.stringify(changed, null, /^[^\S\n]+(?=")/m.exec(text)?.[0]) + (text.endsWith("\n") ? "\n" : "");
}

/** Changes a text that has the section alone. */
function sectionText(section: string, change: WorkersChange): string {
  const document = parseDocument(section);
  apply(document, ["workers"], change);
  const text = document.toString({ lineWidth: 0, flowCollectionPadding: /[{[] /.test(section) });
  return section.endsWith("\n") ? text : text.replace(/\n$/, "");
}

function apply(
  document: ReturnType<typeof parseDocument>,
  path: string[],
  { count, batch, cpus }: WorkersChange,
): void {
  if (!isMap(document.getIn(path))) document.setIn(path, document.createNode({}));
  document.setIn([...path, "count"], count);
  document.setIn([...path, "batch"], batch);
  if (cpus) document.setIn([...path, "cpus"], document.createNode(cpus, { flow: true }));
  else document.deleteIn([...path, "cpus"]);
}

/** Where a key and its value are in the text, comments behind the value included. */
function rangeOf({ key, value }: Pair, file: string): [from: number, to: number] {
  const from = isScalar(key) ? key.range?.[0] : undefined;
  const to = isMap(value) || isScalar(value) ? value.range?.[2] : undefined;
  if (from !== undefined && to !== undefined) return [from, to];
  throw new GuidewayError(
    "TUNE",
    `${file}: workers is an alias, expected a section of its own: write it by hand`,
  );
}

/** Behind the last line of the document, in front of what ends it. */
function appended(text: string, section: string, root: YAMLMap): string {
  const end = root.range?.[2] ?? text.length;
  const before = text.slice(0, end);
  return `${before}${before.endsWith("\n") ? "" : "\n"}${section}${text.slice(end)}`;
}

/** Replaces a file by one with other text, as a whole, with the same mode. @throws GuidewayError OUTPUT */
export function replaceFile(file: string, text: string): void {
  let temporary: string | undefined;
  try {
    const path = realpathSync(file);
    const { mode } = statSync(path);
    temporary = `${path}.${process.pid}.tmp`;
    writeFileSync(temporary, text, { mode: mode & 0o777, flag: "wx" });
    chmodSync(temporary, mode & 0o777);
    renameSync(temporary, path);
  } catch (cause) {
    if (temporary) rmSync(temporary, { force: true });
    throw new GuidewayError(
      "OUTPUT",
      `${file} cannot be written (${(cause as Error).message}), expected a file in a folder that may be written`,
      { cause },
    );
  }
}
