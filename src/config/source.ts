// The text of a configuration file: YAML 1.2 (core schema) to plain values, with the way back to positions.
import {
  type Alias,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  Lexer,
  LineCounter,
  type Node,
  type Pair,
  parseDocument,
  visit,
} from "yaml";
import type { ConfigIssue } from "./error.ts";

/** Most bytes of a file: the largest configuration, 65,535 backends, has half as many. */
export const MAX_FILE_BYTES = 16 << 20;
/** A bound on the parser's time (seconds) and memory (about 2 GB). The largest configuration has two million. */
const MAX_TOKENS = 4_000_000;
/** Most values after aliases are expanded: a few lines can stand for billions. */
const MAX_VALUES = 2_000_000;
const MAX_DEPTH = 64;

export type Path = readonly PropertyKey[];

/** A document that is well-formed YAML. */
export interface Source {
  /** Plain objects, arrays, strings, booleans, null and numbers; integers beyond 2⁵³ are bigints. */
  value: unknown;
  /** Completes an issue with its position: that of the value, or of the last key of the path. */
  issue(path: Path, message: string, at?: "key"): ConfigIssue;
}

/** Reads YAML; what is wrong with it is returned, not thrown. */
export function readSource(text: string, file: string): Source | { issues: ConfigIssue[] } {
  const source = text.startsWith("\ufeff") ? text.slice(1) : text;
  const lines = new LineCounter();
  const at = (offset: number, message: string, path = ""): ConfigIssue => {
    const { line, col } = lines.linePos(offset);
    return { file, line: Math.max(1, line), column: Math.max(1, col), path, message };
  };

  const size = oversize(source);
  if (size !== undefined) return { issues: [{ file, line: 0, column: 0, path: "", message: size }] };
  const document = parseDocument(source, {
    version: "1.2",
    schema: "core",
    merge: false,
    resolveKnownTags: false,
    intAsBigInt: true,
    stringKeys: true,
    uniqueKeys: false, // quadratic; the reader below finds duplicates
    prettyErrors: false,
    logLevel: "silent",
    lineCounter: lines,
  });
  const problems = [...document.errors, ...document.warnings].sort((a, b) => a.pos[0] - b.pos[0]);
  if (problems.length > 0)
    return { issues: problems.map((problem) => at(problem.pos[0], `not valid YAML: ${problem.message}`)) };
  const root = document.contents as Node | null;
  if (root === null)
    return { issues: [at(0, "the file is empty, expected at least the keys pools and vips")] };

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
  const follow = (node: unknown): unknown => (isAlias(node) ? targets.get(node) : node);

  const reader = new Reader(follow, at);
  const value = reader.read(root, []);
  if (reader.issues.length > 0) return { issues: reader.issues };
  return {
    value,
    issue(path, message, kind) {
      const place = locate(root, path, follow, kind);
      return at(place.offset, message, formatPath(path.slice(0, place.depth)));
    },
  };
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

/** Turns nodes into plain values. */
class Reader {
  readonly issues: ConfigIssue[] = [];
  readonly #follow: (node: unknown) => unknown;
  readonly #at: (offset: number, message: string, path?: string) => ConfigIssue;
  #values = 0;

  constructor(
    follow: (node: unknown) => unknown,
    at: (offset: number, message: string, path?: string) => ConfigIssue,
  ) {
    this.#follow = follow;
    this.#at = at;
  }

  read(from: unknown, path: PropertyKey[]): unknown {
    const node = this.#follow(from);
    if (++this.#values === MAX_VALUES)
      this.#refuse(from, path, `aliases make more than ${MAX_VALUES} values of this, expected fewer`);
    if (this.#values >= MAX_VALUES) return null;
    if (path.length > MAX_DEPTH) {
      this.#refuse(from, path.slice(0, 4), `is nested more than ${MAX_DEPTH} deep, expected less`);
      this.#values = MAX_VALUES;
      return null;
    }
    if (isMap(node)) return this.#map(node.items, path);
    if (isSeq(node)) return node.items.map((item, index) => this.read(item, [...path, index]));
    const value = isScalar(node) ? node.value : null;
    if (typeof value !== "bigint") return value;
    const number = Number(value);
    return Number.isSafeInteger(number) ? number : value;
  }

  #map(items: readonly Pair[], path: PropertyKey[]): Record<string, unknown> {
    const map: Record<string, unknown> = {};
    const seen = new Set<string>();
    for (const { key, value } of items) {
      const name = keyText(key);
      const inner = [...path, name];
      if (seen.has(name)) this.#refuse(key, inner, "this key is there twice, expected it once");
      seen.add(name);
      // Plain assignment would set the prototype.
      if (name === "__proto__") this.#refuse(key, inner, 'unknown key "__proto__", expected another name');
      else map[name] = this.read(value, inner);
    }
    return map;
  }

  #refuse(node: unknown, path: Path, message: string): void {
    this.issues.push(this.#at(startOf(node) ?? 0, message, formatPath(path)));
  }
}

function keyText(key: unknown): string {
  return isScalar(key) ? String(key.value ?? "") : "";
}

function startOf(node: unknown): number | undefined {
  return (node as Node | null)?.range?.[0];
}

/**
 * The place of a path: of its value, or of the nearest thing that is there. `depth` is how much of the path the
 * file has, counting a key that is missing.
 */
function locate(root: Node, path: Path, follow: (node: unknown) => unknown, kind?: "key") {
  let node: unknown = root;
  let offset = startOf(root) ?? 0;
  for (const [index, segment] of path.entries()) {
    const inside = follow(node);
    if (isMap(inside)) {
      const pair = inside.items.find((item) => keyText(item.key) === segment);
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
