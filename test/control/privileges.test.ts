// What counts as too much, by the kernel's account of a thread; and that the unit file gives just what is needed.
import assert from "node:assert/strict";
import { test } from "node:test";
import { isLimited, NEEDED, parsePrivileges } from "../../src/control/privileges.ts";
import { read } from "../structure/sources.ts";

// From `capsh --decode=c000007000`: net_admin, net_raw, ipc_lock, perfmon, bpf.
const LEAST = "000000c000007000";
const NONE = "0".repeat(16);
const ALL = "000001ffffffffff";

interface Sets {
  inheritable?: string;
  permitted?: string;
  effective?: string;
  bounding?: string;
  ambient?: string;
  noNewPrivs?: 0 | 1;
}

function status(sets: Sets): string {
  const { inheritable = NONE, permitted = LEAST, effective = permitted } = sets;
  const { bounding = LEAST, ambient = NONE, noNewPrivs = 1 } = sets;
  return `Name:\tnode\nCapInh:\t${inheritable}\nCapPrm:\t${permitted}\nCapEff:\t${effective}\nCapBnd:\t${bounding}\nCapAmb:\t${ambient}\nNoNewPrivs:\t${noNewPrivs}\nSeccomp:\t0\n`;
}

for (const [title, sets, expected] of [
  ["as a service", { inheritable: LEAST, ambient: LEAST }, true],
  ["root in a container with just these", {}, true],
  ["nothing", { permitted: NONE }, true],
  ["some of them", { permitted: "0000000000003000" }, true],
  ["what no exec can use", { bounding: ALL }, true],
  ["programs could gain more", { noNewPrivs: 0 }, false],
  ["root", { permitted: ALL, bounding: ALL, noNewPrivs: 0 }, false],
  ["one more, permitted", { permitted: "000000c000007100", effective: LEAST }, false],
  ["one more, effective", { effective: "000000c000207000" }, false],
  ["one more, inheritable", { inheritable: "000000c000007001" }, false],
] satisfies [string, Sets, boolean][]) {
  test(`${title}: ${expected ? "least" : "too much"}`, () => {
    assert.equal(isLimited(parsePrivileges(status(sets))), expected);
  });
}

test("what is no account of the kernel's is refused", () => {
  for (const text of ["", status({}).replace("CapBnd", "Cap"), status({ effective: "zz" })]) {
    assert.throws(() => parsePrivileges(text), { code: "PRIVILEGES", message: /no usable line (Cap|No)/ });
  }
});

test("the unit file gives these, and no more", () => {
  const unit = read("docs/systemd/guideway.service");
  for (const key of ["AmbientCapabilities", "CapabilityBoundingSet"]) {
    const [, value, ...more] = new RegExp(`^${key}=(.*)$`, "m").exec(unit)!;
    assert.deepEqual(more, []);
    assert.deepEqual(value!.split(" ").sort(), Object.keys(NEEDED).sort(), key);
  }
  assert.match(unit, /^NoNewPrivileges=yes$/m);
});

test("the manual says what each of them is for", () => {
  const manual = read("docs/operations.md");
  for (const name of Object.keys(NEEDED)) assert.match(manual, new RegExp(`^\\| \`${name}\` \\|`, "m"));
});
