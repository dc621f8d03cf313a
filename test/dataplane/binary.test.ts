// What the compiled modules must be like, and that a stale one is refused.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { suite, test } from "node:test";
import { fileURLToPath } from "node:url";
import * as layout from "../../assembly/layout.ts";
import { instantiate, loadModule, noSockets } from "../../src/dataplane/binary.ts";
import {
  importedMemories,
  SECTION_DATA,
  SECTION_DATA_COUNT,
  SECTION_START,
  sections,
  withGlobal,
} from "./wasm.ts";

const binary = readFileSync(fileURLToPath(import.meta.resolve("#dataplane.wasm")));
const sharedMemory = () => new WebAssembly.Memory({ initial: 16, maximum: 65536, shared: true });

suite("dataplane.wasm", () => {
  test("has no Data section: an instance that starts must not write into the memory that all share", () => {
    const ids = sections(binary).map(({ id }) => id);
    assert.ok(ids.length > 0);
    for (const id of [SECTION_DATA, SECTION_DATA_COUNT]) assert.ok(!ids.includes(id), `section ${id}`);
  });

  test("has no start function", () => {
    assert.ok(!sections(binary).some(({ id }) => id === SECTION_START));
  });

  test("leaves the memory as it is when it is instantiated", () => {
    const memory = sharedMemory();
    const bytes = new Uint8Array(memory.buffer).fill(0xa5);
    instantiate(loadModule("#dataplane.wasm"), memory, noSockets);
    assert.ok(bytes.every((byte) => byte === 0xa5));
  });

  test("imports its memory, shared, of any size up to 4 GiB", () => {
    assert.deepEqual(
      [...importedMemories(binary)],
      [["env.memory", { shared: true, initial: 1, maximum: 65536 }]],
    );
  });

  test("refuses a memory that is not shared", () => {
    const memory = new WebAssembly.Memory({ initial: 16, maximum: 65536 });
    assert.throws(() => instantiate(loadModule("#dataplane.wasm"), memory, noSockets), WebAssembly.LinkError);
  });

  test("asks for nothing else but its host's two calls", () => {
    const imports = WebAssembly.Module.imports(loadModule("#dataplane.wasm")).map(
      ({ module, name }) => `${module}.${name}`,
    );
    assert.deepEqual(imports.sort(), ["env.memory", "host.kick", "host.wake"]);
  });

  test("exports every constant of the layout with its value", () => {
    const { exports } = new WebAssembly.Instance(new WebAssembly.Module(binary), {
      env: { memory: sharedMemory() },
      host: { ...noSockets },
    });
    for (const [name, value] of Object.entries(layout)) {
      assert.equal((exports[name] as WebAssembly.Global).value >>> 0, value, name);
    }
  });
});

suite("a binary of another layout is refused", () => {
  const refused = (bytes: Uint8Array<ArrayBuffer>, says: RegExp) =>
    assert.throws(() => instantiate(new WebAssembly.Module(bytes), sharedMemory(), noSockets), {
      code: "LAYOUT",
      message: says,
    });

  test("with another version", () => {
    const stale = layout.LAYOUT_VERSION + 1;
    refused(
      withGlobal(binary, "LAYOUT_VERSION", stale),
      new RegExp(`LAYOUT_VERSION = ${stale}, .* says ${layout.LAYOUT_VERSION}: .*npm run setup`),
    );
  });

  test("with any other constant changed", () => {
    for (const [name, value] of Object.entries(layout)) {
      const stale = value === 1 ? 2 : 1;
      refused(
        withGlobal(binary, name, stale),
        new RegExp(`has ${name} = ${stale}, assembly/layout\\.ts says ${value}`),
      );
    }
  });

  test("without the constants", () => {
    // A module that has nothing but its preamble.
    refused(Uint8Array.of(0, 0x61, 0x73, 0x6d, 1, 0, 0, 0), /= undefined/);
  });
});

suite("builder.wasm", () => {
  test("has a memory of its own and needs nothing", () => {
    const module = loadModule("#builder.wasm");
    assert.deepEqual(WebAssembly.Module.imports(module), []);
    assert.ok(
      WebAssembly.Module.exports(module).some(({ name, kind }) => name === "memory" && kind === "memory"),
    );
  });
});
