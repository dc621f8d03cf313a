// A flame graph of folded stacks as SVG: a row for each depth, the outermost functions at the bottom, as wide as the time that was
// spent in them and what they called. Functions of a row are in alphabetical order; what is narrower than a pixel is left out.

import { percent } from "../../src/columns.ts";
import { type FoldedStacks, SEPARATOR } from "./fold.ts";

const WIDTH = 1200;
const ROW = 17;
const MARGIN = 10;
const TITLE = 28;
const CHARACTER = 6.6;
const LEAST_WIDTH = 0.5;

interface Frame {
  name: string;
  us: number;
  callees: Map<string, Frame>;
}

function frame(name: string): Frame {
  return { name, us: 0, callees: new Map() };
}

function treeOf(folded: FoldedStacks): Frame {
  const root = frame("all");
  for (const [stack, us] of folded) {
    let at = root;
    at.us += us;
    for (const name of stack.split(SEPARATOR)) {
      let callee = at.callees.get(name);
      if (!callee) {
        callee = frame(name);
        at.callees.set(name, callee);
      }
      callee.us += us;
      at = callee;
    }
  }
  return root;
}

function depthOf({ callees }: Frame): number {
  return 1 + Math.max(0, ...[...callees.values()].map(depthOf));
}

function escaped(text: string): string {
  return text.replace(/[&<>"]/g, (character) => `&#${character.charCodeAt(0)};`);
}

/** WebAssembly is orange, what V8 and Node do themselves is grey, JavaScript is green; of two that meet one is lighter. */
function colourOf(name: string, column: number): string {
  const lightness = 62 + (column % 2) * 8;
  if (/^(assembly|bench\/assembly)\/|^wasm-|^wasm:/.test(name)) return `hsl(28 85% ${lightness}%)`;
  return name.startsWith("(") || name === "all"
    ? `hsl(0 0% ${lightness + 15}%)`
    : `hsl(105 40% ${lightness}%)`;
}

/** @param title above it */
export function flameGraph(folded: FoldedStacks, title: string): string {
  const root = treeOf(folded);
  const rows = depthOf(root);
  const height = TITLE + rows * ROW + MARGIN;
  const scale = root.us === 0 ? 0 : (WIDTH - 2 * MARGIN) / root.us;
  const boxes: string[] = [];
  let column = 0;
  const draw = (each: Frame, x: number, depth: number): void => {
    const width = each.us * scale;
    if (width < LEAST_WIDTH) return;
    const y = TITLE + (rows - 1 - depth) * ROW;
    const room = Math.floor((width - 4) / CHARACTER);
    const label = each.name.length <= room ? each.name : `${each.name.slice(0, Math.max(0, room - 1))}…`;
    boxes.push(
      `<g><title>${escaped(each.name)}: ${(each.us / 1000).toFixed(1)} ms, ${percent(each.us, root.us)}</title>` +
        `<rect x="${x.toFixed(1)}" y="${y}" width="${width.toFixed(1)}" height="${ROW - 1}" fill="${colourOf(each.name, column++)}"/>` +
        (room > 2 ? `<text x="${(x + 3).toFixed(1)}" y="${y + 12}">${escaped(label)}</text>` : "") +
        "</g>",
    );
    let at = x;
    for (const callee of [...each.callees.values()].sort((a, b) => (a.name < b.name ? -1 : 1))) {
      draw(callee, at, depth + 1);
      at += callee.us * scale;
    }
  };
  draw(root, MARGIN, 0);
  return (
    `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${height}" font-family="monospace" font-size="11">\n` +
    `<rect width="100%" height="100%" fill="white"/>\n<text x="${MARGIN}" y="18" font-size="13">${escaped(title)}</text>\n` +
    `${boxes.join("\n")}\n</svg>\n`
  );
}
