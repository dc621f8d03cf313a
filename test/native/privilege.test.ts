// Giving capabilities up: a process that did is looked at by the kernel's account of it, /proc/PID/status.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";
import { native } from "./addon.ts";
import { withoutRoot } from "./namespace.ts";

const NET_ADMIN = 12;
const NET_RAW = 13;
const KEPT = ((1n << BigInt(NET_ADMIN)) | (1n << BigInt(NET_RAW))).toString(16).padStart(16, "0");
const NONE = "0".repeat(16);
const addon = new URL(import.meta.resolve("#native")).pathname;

interface Account {
  CapInh: string;
  CapPrm: string;
  CapEff: string;
  CapBnd: string;
  CapAmb: string;
  NoNewPrivs: string;
}

/** What the kernel says of a process that limits itself, does `more`, and reads `file`, itself or by a child's `cat`. */
function account(more: string, read: string, options: { uid?: number; gid?: number } = {}): Account {
  const source = `
    const native = require(${JSON.stringify(addon)});
    native.limitCapabilities([${NET_ADMIN}, ${NET_RAW}]);
    ${more};
    process.stdout.write(${read});`;
  const { stdout, stderr } = spawnSync(process.execPath, ["-e", source], { encoding: "utf8", ...options });
  assert.equal(stderr, "");
  const field = (name: string) => new RegExp(`^${name}:\\t(.*)$`, "m").exec(stdout)![1]!;
  const names = ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs"] as const;
  return Object.fromEntries(names.map((name) => [name, field(name)])) as unknown as Account;
}

const own = 'require("fs").readFileSync("/proc/thread-self/status")';
const child = 'require("child_process").execFileSync("cat", ["/proc/self/status"])';
const all = (set: string) => ({
  CapInh: set,
  CapPrm: set,
  CapEff: set,
  CapAmb: set,
  CapBnd: KEPT,
  NoNewPrivs: "1",
});

test("root keeps what it asked for in all sets, and cannot get more", { skip: withoutRoot }, () => {
  assert.deepEqual(account("", own), all(KEPT));
});

test("root's programs start with the same, and without capabilities after the ambient set is cleared", {
  skip: withoutRoot,
}, () => {
  assert.deepEqual(account("", child), all(KEPT));
  const cleared = "native.clearAmbientCapabilities()";
  assert.deepEqual(account(cleared, own), { ...all(KEPT), CapAmb: NONE });
  assert.deepEqual(account(cleared, child), { ...all(NONE), CapInh: KEPT });
});

test("a user without capabilities gets none, and no_new_privs", { skip: withoutRoot }, () => {
  const { CapBnd, ...sets } = account("", own, { uid: 65534, gid: 65534 });
  const { CapBnd: _, ...expected } = all(NONE);
  assert.deepEqual(sets, expected);
  assert.notEqual(CapBnd, NONE, "that takes CAP_SETPCAP");
});

test("a number that no capability can have is refused", () => {
  assert.throws(() => native.limitCapabilities([12, 64]), {
    code: "ERR_NATIVE_ARGUMENT",
    message: /a capability is 64, expected a number below 64/,
  });
});
