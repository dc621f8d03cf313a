// Attaching and detaching the XDP program.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { before, test } from "node:test";
import { native } from "./addon.ts";
import { until } from "./arena.ts";
import { createVeth, enterNamespace, ip, linkOf, withoutRoot } from "./namespace.ts";

enterNamespace(import.meta.filename);

const skip = withoutRoot || (native.hasProgram() ? false : "built without the XDP program");
const SIZES = { sockets: 64, services: 16, interfaces: 2 };

before(() => {
  if (skip) return;
  createVeth("near", "far");
  ip("link set dev lo up");
});

test("one program serves several interfaces, in the driver where that is possible", { skip }, () => {
  const program = native.XdpProgram.load(SIZES);
  assert.equal(program.attach("near", "auto"), "native");
  assert.equal(program.attach("far", "generic"), "generic");
  assert.equal(program.attach("lo", "auto"), "generic");
  program.detachAll();
  for (const name of ["near", "far", "lo"]) assert.equal(linkOf(name).xdp, undefined);
});

test("a driver without XDP refuses native mode with the way out", { skip }, () => {
  const program = native.XdpProgram.load(SIZES);
  assert.throws(() => program.attach("lo", "native"), {
    code: "EOPNOTSUPP",
    message: /to lo \(native\).*use mode 'auto' or 'generic'/,
  });
});

test("an interface takes one XDP program", { skip }, () => {
  const first = native.XdpProgram.load(SIZES);
  const second = native.XdpProgram.load(SIZES);
  first.attach("near", "auto");
  assert.throws(() => second.attach("near", "auto"), {
    code: "EBUSY",
    message: /has an XDP program already/,
  });
  assert.throws(() => first.attach("near", "auto"), { code: "ERR_NATIVE_ARGUMENT" });
  first.detachAll();
  assert.equal(second.attach("near", "auto"), "native");
  second.detachAll();
});

test("the interface and the mode are checked", { skip }, () => {
  const program = native.XdpProgram.load(SIZES);
  assert.throws(() => program.attach("nowhere", "auto"), { code: "ENODEV", message: /"nowhere"/ });
  assert.throws(() => program.attach("near", "fast" as "auto"), {
    code: "ERR_NATIVE_ARGUMENT",
    message: /mode is "fast"/,
  });
  assert.throws(() => program.testRun("other" as "steer", new Uint8Array(64)), {
    code: "ERR_NATIVE_ARGUMENT",
  });
  assert.throws(() => program.setSocket(0, 0), { message: /is it an AF_XDP socket/ });
});

test("the program is detached when its process is killed", { skip }, async () => {
  const child = spawn(
    process.execPath,
    [
      "--input-type=module",
      "-e",
      `const { native } = await import(${JSON.stringify(import.meta.resolve("./addon.ts"))});
       const program = native.XdpProgram.load(${JSON.stringify(SIZES)});
       console.log(program.attach("near", "auto"));
       setInterval(() => program.detachAll, 1000);`,
    ],
    { stdio: ["ignore", "pipe", "inherit"] },
  );
  await once(child.stdout, "data");
  assert.ok(linkOf("near").xdp);
  child.kill("SIGKILL");
  await once(child, "exit");
  assert.ok(await until(() => linkOf("near").xdp === undefined));
});
