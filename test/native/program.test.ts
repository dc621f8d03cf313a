// Attaching and detaching the XDP program.
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
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

/** Detaches by force whatever link holds a program, as an administrator could (bpf(2): get next id, get fd, info, detach). */
const DETACH = `
  my ($bpf, $program) = (321, shift);
  for (my $id = 0; ; ) {
    my $next = pack("L4", $id, 0, 0, 0);
    last if syscall($bpf, 31, $next, 16) < 0;
    $id = unpack("x4 L", $next);
    my $fd = syscall($bpf, 30, my $by = pack("L4", $id, 0, 0, 0), 16);
    my $info = "\\0" x 32;
    syscall($bpf, 15, my $ask = pack("L2 Q", $fd, 32, unpack("Q", pack("p", $info))), 16);
    next if unpack("x8 L", $info) != $program;
    exit(syscall($bpf, 34, my $at = pack("L4", $fd, 0, 0, 0), 16) == 0 ? 0 : 2);
  }
  exit 1;`;

test("it is known whether the program is still attached", { skip }, () => {
  const program = native.XdpProgram.load(SIZES);
  assert.equal(program.isAttached("near"), false);
  program.attach("near", "auto");
  assert.equal(program.isAttached("near"), true);
  execFileSync("perl", ["-e", DETACH, `${linkOf("near").xdp!.prog.id}`]);
  assert.equal(linkOf("near").xdp, undefined);
  assert.equal(program.isAttached("near"), false);
  program.detachAll();
});

test("an interface that was made anew has no program", { skip }, () => {
  createVeth("brief", "peer");
  const program = native.XdpProgram.load(SIZES);
  program.attach("brief", "auto");
  ip("link del brief");
  assert.equal(program.isAttached("brief"), false);
  createVeth("brief", "peer");
  assert.equal(program.isAttached("brief"), false);
  program.detachAll();
  ip("link del brief");
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
