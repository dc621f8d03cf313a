// The text of a configuration file: YAML 1.2 (core schema) to plain values, with the way back to positions.
import {
  type Alias,
  type Document,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  Lexer,
  type Node,
  type Pair,
  parseDocument,
  visit,
  type YAMLError,
  type YAMLMap,
} from "yaml";
import type { ConfigIssue } from "./error.ts";
import { Lines } from "./lines.ts";

/** Most bytes of a file: the largest configuration, 65,535 backends, has half as many. */
export const MAX_FILE_BYTES = 16 << 20;
/** A bound on the parser's time (seconds) and memory (about 2 GB). The largest configuration has two million. */
const MAX_TOKENS = 4_000_000;
/** Most values after aliases are expanded: a few lines can stand for billions. */
const MAX_VALUES = 2_000_000;
const MAX_DEPTH = 64;

const OPTIONS = {
  version: "1.2",
  schema: "core",
  merge: false,
  resolveKnownTags: false,
  intAsBigInt: true,
  stringKeys: true,
  uniqueKeys: false, // quadratic; the reader below finds duplicates
  prettyErrors: false,
} as const;

export type Path = readonly PropertyKey[];

/** A document that is well-formed YAML. */
export interface Source {
  /** Plain objects, arrays, strings, booleans, null and numbers; integers beyond 2⁵³ are bigints. */
  value: unknown;
  /** Keys that are there twice or cannot be; the values of the others are in `value`. */
  issues: ConfigIssue[];
  /** Completes an issue with its position: that of the value, or of the last key of the path. */
  issue(path: Path, message: string, at?: "key"): ConfigIssue;
}

/** A text that is not. */
export interface Refused {
  issues: ConfigIssue[];
}

/** Reads YAML; what is wrong with it is returned, not thrown. */
export function readSource(text: string, file: string): Source | Refused {
  const source = text.startsWith("\ufeff") ? text.slice(1) : text;
  const lines = new Lines(source);
  const at = (offset: number, message: string, path = ""): ConfigIssue => {
    return { file, ...lines.position(offset), path, message };
  };

  const whole = (message: string) => ({ issues: [{ file, line: 0, column: 0, path: "", message }] });
  const size = oversize(source);
  if (size !== undefined) return whole(size);
  let document: Document.Parsed;
  let targets: Map<Alias, Node>;
  try {
    document = parseDocument(source, OPTIONS);
    targets = resolveAliases(document);
  } catch (error) {
    // The parser recurses, and counts neither indentation nor what it makes of errors.
    if (error instanceof RangeError) return whole(`values are nested too deep (${error.message})`);
    throw error;
  }
  const problems = [...document.errors, ...document.warnings].sort((a, b) => a.pos[0] - b.pos[0]);
  if (problems.length > 0) return { issues: problems.map((problem) => at(problem.pos[0], explain(problem))) };
  const root = document.contents as Node | null;
  if (root === null)
    return { issues: [at(0, "the file is empty, expected at least the keys pools and vips")] };

  const follow = (node: unknown): unknown => (isAlias(node) ? targets.get(node) : node);

  const reader = new Reader(follow, at);
  const value = reader.read(root, []);
  if (reader.broken) return { issues: reader.issues };
  const find = pairFinder();
  return {
    value,
    issues: reader.issues,
    issue(path, message, kind) {
      const place = locate(root, path, follow, find, kind);
      return at(place.offset, message, formatPath(path.slice(0, place.depth)));
    },
  };
}

function explain(problem: YAMLError): string {
  if (problem.code === "RESOURCE_EXHAUSTION") return "values are nested too deep, expected a configuration";
  if (problem.code === "MULTIPLE_DOCS") return "a second document starts here, expected one";
  return `not valid YAML: ${problem.message}`;
}

/** Why the text is too much for the parser, found without building anything; undefined when it is not. */
function oversize(text: string): string | undefined {
  if (text.length > MAX_FILE_BYTES)
    return `the file is larger than ${MAX_FILE_BYTES >> 20} MiB, expected a configuration`;
  let tokens = 0;
  let depth = 0;
  let dashes = 0;
  for (const token of new Lexer().lex(text)) {
    if (++tokens > MAX_TOKENS) return `the file has more than ${MAX_TOKENS} tokens, expected a configuration`;
    if (token === "[" || token === "{") depth++;
    else if (token === "]" || token === "}") depth = Math.max(0, depth - 1);
    dashes = token === "-" || token === "?" ? dashes + 1 : token.trim() === "" && token !== "\n" ? dashes : 0;
    if (depth > MAX_DEPTH || dashes > MAX_DEPTH)
      return `values are nested more than ${MAX_DEPTH} deep, expected a configuration`;
  }
  return undefined;
}

/** The node that each alias stands for: the last one before it with that anchor. */
function resolveAliases(document: Document): Map<Alias, Node> {
  const targets = new Map<Alias, Node>();
  const anchors = new Map<string, Node>();
  visit(document, {
    Node(_key, node) {
      if (isAlias(node)) {
        const target = anchors.get(node.source);
        if (target) targets.set(node, target);
      } else if (node.anchor) anchors.set(node.anchor, node);
    },
  });
  return targets;
}

/** Turns nodes into plain values. */
class Reader {
  readonly issues: ConfigIssue[] = [];
  /** Values are missing from the result. */
  broken = false;
  readonly #follow: (node: unknown) => unknown;
  readonly #at: (offset: number, message: string, path?: string) => ConfigIssue;
  readonly #open = new Set<unknown>();
  #values = 0;

  constructor(
    follow: (node: unknown) => unknown,
    at: (offset: number, message: string, path?: string) => ConfigIssue,
  ) {
    this.#follow = follow;
    this.#at = at;
  }

  read(from: unknown, path: PropertyKey[]): unknown {
    if (this.#values >= MAX_VALUES) return null;
    const node = this.#follow(from);
    if (node === undefined) return this.#refuse(from, path, `there is no anchor for the alias ${from}`);
    if (this.#open.has(node)) return this.#refuse(from, path, `the alias ${from} is inside its own anchor`);
    if (++this.#values === MAX_VALUES)
      return this.#refuse(from, path, `aliases make more than ${MAX_VALUES} values, expected fewer`);
    if (isScalar(node)) return plainScalar(node.value);
    if (this.#open.size >= MAX_DEPTH)
      return this.#refuse(from, path.slice(0, 4), `values are nested more than ${MAX_DEPTH} deep`);
    this.#open.add(node);
    const value = isMap(node)
      ? this.#map(node.items, path)
      : isSeq(node)
        ? node.items.map((item, index) => this.read(item, [...path, index]))
        : null;
    this.#open.delete(node);
    return value;
  }

  #map(items: readonly Pair[], path: PropertyKey[]): Record<string, unknown> {
    const map: Record<string, unknown> = {};
    const seen = new Set<string>();
    for (const { key, value } of items) {
      const name = keyText(key);
      const inner = [...path, name];
      if (seen.has(name)) this.#report(key, inner, "this key is there twice, expected it once");
      seen.add(name);
      // Plain assignment would set the prototype.
      if (name === "__proto__") this.#report(key, inner, 'unknown key "__proto__", expected another name');
      else map[name] = this.read(value, inner);
    }
    return map;
  }

  #report(node: unknown, path: Path, message: string): void {
    this.issues.push(this.#at(startOf(node) ?? 0, message, formatPath(path)));
  }

  #refuse(node: unknown, path: Path, message: string): null {
    this.#report(node, path, message);
    this.broken = true;
    return null;
  }
}

/** Integers are bigints only where a number would not be exact. */
function plainScalar(value: unknown): unknown {
  if (typeof value !== "bigint") return value;
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}

function keyText(key: unknown): string {
  return isScalar(key) ? String(key.value ?? "") : "";
}

function startOf(node: unknown): number | undefined {
  return (node as Node | null)?.range?.[0];
}

/** Finds the last pair of a key, with an index for each map that was asked: a map may have many errors. */
function pairFinder(): (map: YAMLMap, key: string) => Pair | undefined {
  const indexes = new Map<YAMLMap, Map<string, Pair>>();
  return (map, key) => {
    let index = indexes.get(map);
    if (index === undefined) {
      index = new Map(map.items.map((pair) => [keyText(pair.key), pair]));
      indexes.set(map, index);
    }
    return index.get(key);
  };
}

/**
 * The place of a path: of its value, or of the nearest thing that is there. `depth` is how much of the path the
 * file has, counting a key that is missing.
 */
function locate(
  root: Node,
  path: Path,
  follow: (node: unknown) => unknown,
  find: ReturnType<typeof pairFinder>,
  kind?: "key",
) {
  let node: unknown = root;
  let offset = startOf(root) ?? 0;
  for (const [index, segment] of path.entries()) {
    const inside = follow(node);
    if (isMap(inside)) {
      const pair = find(inside, String(segment));
      if (pair === undefined) return { offset: startOf(inside) ?? offset, depth: index + 1 };
      node = pair.value;
      const empty = isScalar(node) && node.value === null;
      const keyed = empty || (kind === "key" && index === path.length - 1);
      offset = startOf(keyed ? pair.key : node) ?? startOf(pair.key) ?? offset;
    } else if (isSeq(inside)) {
      node = inside.items[segment as number];
      offset = startOf(node) ?? offset;
    } else return { offset, depth: index };
  }
  return { offset, depth: path.length };
}

/** `pools.web.backends[3].port`; keys with other characters are quoted: `pools["a.b"]`. */
export function formatPath(path: Path): string {
  let text = "";
  for (const segment of path) {
    if (typeof segment === "number") text += `[${segment}]`;
    else if (/^[\w-]+$/.test(String(segment))) text += `${text === "" ? "" : "."}${String(segment)}`;
    else text += `[${JSON.stringify(segment)}]`;
  }
  return text;
}
