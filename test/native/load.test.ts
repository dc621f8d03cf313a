// The addon on machines and for users that cannot use it: it loads, and says what is missing.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";
import { native } from "./addon.ts";
import { withoutRoot } from "./namespace.ts";

const NOBODY = 65534;
const addon = new URL(import.meta.resolve("#native")).pathname;

/** Runs a script without privileges and returns what it prints, as JSON. */
function asNobody(script: string): unknown {
  const source = `const native = require(${JSON.stringify(addon)}); console.log(JSON.stringify(${script}));`;
  const options = { encoding: "utf8" as const, cwd: "/", uid: NOBODY, gid: NOBODY };
  const { stdout, stderr } = spawnSync(process.execPath, ["-e", source], options);
  assert.equal(stderr, "");
  return JSON.parse(stdout);
}

const refusal = (call: string): string =>
  `(() => { try { ${call} } catch (error) { return error.code + " " + error.message; } })()`;

test("it loads without privileges, and knows that it has none", { skip: withoutRoot }, () => {
  const capabilities = asNobody("native.capabilities()") as Record<string, boolean>;
  assert.deepEqual(Object.values(capabilities), Array(8).fill(false));
  assert.equal(asNobody("native.hasProgram()"), native.hasProgram());
});

test("without privileges, each function names the capability that it needs", { skip: withoutRoot }, () => {
  const options = {
    interface: "lo",
    queue: 0,
    frames: { offset: 1 << 20, bytes: 1 << 20, frameBytes: 2048 },
    rings: { rx: 0, tx: 1 << 16, fill: 1 << 17, completion: 3 << 16 },
    entries: { rx: 64, tx: 64, fill: 64, completion: 64 },
    mode: "auto",
  };
  const memory = "new Uint8Array(new SharedArrayBuffer(4 << 20))";
  const opening = asNobody(refusal(`native.openSocket(${memory}, ${JSON.stringify(options)})`)) as string;
  assert.match(opening, /^EPERM opening an AF_XDP socket: .*CAP_NET_RAW/);
  if (!native.hasProgram()) return;
  const loading = asNobody(refusal("native.XdpProgram.load({ sockets: 1, services: 1, interfaces: 1 })"));
  assert.match(loading as string, /^EPERM loading the XDP program: .*CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON/);
});

test("root has what it needs", { skip: withoutRoot }, () => {
  const { netRaw, netAdmin, bpf } = native.capabilities();
  assert.deepEqual({ netRaw, netAdmin, bpf }, { netRaw: true, netAdmin: true, bpf: true });
});

test("a processor that does not exist is refused", () => {
  assert.throws(() => native.pinThread(1023), { code: "EINVAL", message: /processor 1023.*taskset/ });
  assert.throws(() => native.pinThread(5000), {
    code: "ERR_NATIVE_ARGUMENT",
    message: /cpu is 5000, expected below 1024/,
  });
});

test("advice takes whole pages of the arena", () => {
  const bytes = new Uint8Array(new WebAssembly.Memory({ initial: 64, maximum: 64, shared: true }).buffer);
  native.dontFork(bytes, 4096, 8192);
  assert.throws(() => native.dontFork(bytes, 1, 4096), {
    code: "ERR_NATIVE_ARGUMENT",
    message: /MADV_DONTFORK: offset is 1/,
  });
  assert.throws(() => native.dontFork(bytes, 0, bytes.length + 1), { code: "ERR_NATIVE_ARGUMENT" });
  try {
    native.adviseHugePages(bytes, 0, bytes.length);
  } catch (error) {
    assert.equal((error as { code: string }).code, "EINVAL");
  }
});
