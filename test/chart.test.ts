// Charts: what is drawn where. The text is read by an XML reader of its own, a few lines, that refuses what is not well formed.

import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { type Chart, renderChart } from "../src/chart.ts";

interface Element {
  name: string;
  attributes: Record<string, string>;
  text: string;
}

/** All elements in the order of the file. Throws for what is not well formed. */
export function elementsOf(xml: string): Element[] {
  const open: Element[] = [];
  const all: Element[] = [];
  let at = 0;
  const token = /<(\/?)([a-z]+)((?:\s+[\w-]+="[^"<]*")*)\s*(\/?)>|([^<]+)/y;
  while (at < xml.length) {
    token.lastIndex = at;
    const match = token.exec(xml);
    assert.ok(match, `not well formed at ${xml.slice(at, at + 60)}`);
    const [whole, closes, name, list, empty, text] = match;
    at += whole.length;
    if (text !== undefined) {
      assert.doesNotMatch(text, /&(?!(amp|lt|gt|quot);)/);
      const decoded = text.replaceAll("&lt;", "<").replaceAll("&gt;", ">").replaceAll("&amp;", "&");
      if (open.length > 0) open.at(-1)!.text += decoded;
    } else if (closes) assert.equal(open.pop()!.name, name);
    else {
      const pairs = [...list!.matchAll(/([\w-]+)="([^"]*)"/g)].map(([, key, value]) => [key!, value!]);
      const element = {
        name: name!,
        attributes: Object.fromEntries(pairs) as Record<string, string>,
        text: "",
      };
      all.push(element);
      if (!empty) open.push(element);
    }
  }
  assert.deepEqual(open, []);
  return all;
}

const of = (xml: string, name: string, kind = /./) =>
  elementsOf(xml).filter((each) => each.name === name && kind.test(each.attributes.class ?? " "));
const number = (value: string | undefined) => Number(value);

const CHART: Chart = {
  title: "Packets & <flows>",
  note: "made up",
  kind: "lines",
  x: { label: "workers" },
  y: { label: "Mpps" },
  series: [
    {
      name: "a",
      points: [
        { x: 1, y: 10, low: 8, high: 12 },
        { x: 2, y: 20 },
        { x: 4, y: 30, label: "this one" },
      ],
    },
  ],
};

suite("renderChart", () => {
  test("is well formed, says its title, and is the same every time", () => {
    const xml = renderChart(CHART);
    assert.equal(of(xml, "title")[0]!.text, "Packets & <flows>");
    assert.equal(renderChart(structuredClone(CHART)), xml);
    assert.match(xml, /prefers-color-scheme:dark/);
    assert.doesNotMatch(xml, /NaN|Infinity|undefined/);
  });

  test("puts points in proportion, on both axes", () => {
    const [one, two, four] = of(renderChart(CHART), "circle", /^f/).map(({ attributes }) => attributes);
    const [x, y] = [(each: typeof one) => number(each!.cx), (each: typeof one) => number(each!.cy)];
    assert.ok(Math.abs(x(four) - x(one) - 3 * (x(two) - x(one))) < 0.3);
    assert.ok(Math.abs(y(one) - y(two) - (y(two) - y(four))) < 0.3 && y(four) < y(two));
    const ticks = of(renderChart(CHART), "line", /^(grid|axis)$/).filter(
      ({ attributes }) => attributes.x1 === "64",
    );
    // From 0 in even steps up to what holds the largest.
    assert.deepEqual(
      of(renderChart(CHART), "text", /faint/)
        .filter((t) => t.attributes["text-anchor"] === "end")
        .map((t) => t.text),
      ["0", "10", "20", "30"],
    );
    assert.equal(ticks.length, 4);
    assert.ok(Math.abs(number(ticks[1]!.attributes.y1) - y(one)) < 0.2, "10 is at the tick of 10");
  });

  test("error bars reach from low to high; a label has a ring", () => {
    const xml = renderChart(CHART);
    const [bar, low, high] = of(xml, "line", /^error/).map(({ attributes }) => attributes);
    assert.equal(of(xml, "line", /^error/).length, 3);
    assert.deepEqual([bar!.y1, bar!.y2], [low!.y1, high!.y1]);
    const y = number(of(xml, "circle", /^f/)[0]!.attributes.cy);
    assert.ok(Math.abs(number(bar!.y1) - y - (y - number(bar!.y2))) < 0.3);
    assert.equal(of(xml, "circle", /ring/).length, 1);
    assert.ok(of(xml, "text").some(({ text }) => text === "this one"));
  });

  test("a logarithmic axis has equal steps for equal ratios", () => {
    const points = [1, 10, 100].map((x) => ({ x, y: x }));
    const xml = renderChart({
      ...CHART,
      x: { label: "", log: true },
      y: { label: "", log: true },
      series: [{ name: "a", points }],
    });
    const at = of(xml, "circle").map(
      ({ attributes }) => [number(attributes.cx), number(attributes.cy)] as const,
    );
    for (const axis of [0, 1] as const)
      assert.ok(Math.abs(at[2]![axis] - at[1]![axis] - (at[1]![axis] - at[0]![axis])) < 0.3);
  });

  test("bars of several series stand next to each other, from the axis on, with a legend", () => {
    const points = (y: number) => [0, 1, 2].map((x) => ({ x, y }));
    const xml = renderChart({
      ...CHART,
      kind: "bars",
      x: { label: "", format: (i) => ["few", "some", "many"][i]! },
      series: [
        { name: "parked", points: points(1) },
        { name: "polling", points: points(2) },
      ],
    });
    const bars = of(xml, "rect", /^f/).map(({ attributes: { x, y, width, height } }) => ({
      x: number(x),
      end: number(x) + number(width),
      foot: number(y) + number(height),
    }));
    assert.equal(bars.length, 6);
    for (const { foot } of bars) assert.ok(Math.abs(foot - 348) < 0.2);
    bars.sort((a, b) => a.x - b.x);
    for (const [i, { x }] of bars.slice(1).entries()) assert.ok(x > bars[i]!.end - 0.2, "they overlap");
    const texts = of(xml, "text").map(({ text }) => text);
    for (const expected of ["few", "some", "many", "parked", "polling"])
      assert.ok(texts.includes(expected), expected);
  });

  test("one point, and nothing but zeros, are charts", () => {
    for (const y of [0, 5])
      elementsOf(renderChart({ ...CHART, series: [{ name: "a", points: [{ x: 3, y }] }] }));
  });

  for (const [what, change, message] of [
    ["no point", { series: [] }, /there is no point/],
    [
      "a number that is none",
      { series: [{ name: "a", points: [{ x: 1, y: Number.NaN }] }] },
      /y of a point is NaN/,
    ],
    [
      "less than nothing",
      { series: [{ name: "a", points: [{ x: 1, y: 1, low: -1, high: 2 }] }] },
      /low of a point is -1/,
    ],
    [
      "0 on a logarithmic axis",
      { x: { label: "", log: true }, series: [{ name: "a", points: [{ x: 0, y: 1 }] }] },
      /x of a point is 0, expected a number above 0/,
    ],
  ] as const) {
    test(`refuses ${what}`, () => {
      assert.throws(() => renderChart({ ...CHART, ...change }), { code: "CHART", message });
    });
  }
});
