import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { parseConfig } from "../../src/config/load.ts";
import { newcomer, transition } from "../../src/control/transition.ts";
import { healthTargets } from "../../src/health/targets.ts";

const targetsOf = (backends: object[], health: object = {}) =>
  healthTargets(
    parseConfig(
      JSON.stringify({
        pools: { web: { backends, health: { type: "tcp", port: 80, ...health } } },
        vips: [{ name: "web", address: "10.99.0.1", port: 80, pool: "web" }],
      }),
      "c.yaml",
    ).config,
  );

const shown = (targets: ReturnType<typeof targetsOf>) =>
  targets
    .map(({ backend, address, check }) => `${backend} ${address}:${check.port} ${check.interval}`)
    .sort();

suite("checks while a configuration takes the place of another", () => {
  const before = targetsOf([
    { name: "stays", address: "10.0.0.1" },
    { name: "leaves", address: "10.0.0.2" },
    { name: "moves", address: "10.0.0.3" },
    { name: "port", address: "10.0.0.4" },
  ]);
  const next = targetsOf(
    [
      { name: "stays", address: "10.0.0.1" },
      { name: "comes", address: "10.0.0.5" },
      { name: "moves", address: "10.0.0.6" },
      { name: "port", address: "10.0.0.4", port: 81 },
    ],
    { port: undefined, interval: "7s" },
  );
  const { targets, coming } = transition(before, next);

  test("what stays is checked as the next says, what is used at its old address as before, what comes already", () => {
    const old = before[0]!.check.interval;
    assert.deepEqual(
      shown(targets),
      [
        "stays 10.0.0.1:80 7000",
        `leaves 10.0.0.2:80 ${old}`,
        `moves 10.0.0.3:80 ${old}`,
        `${newcomer("moves")} 10.0.0.6:80 7000`,
        `port 10.0.0.4:80 ${old}`,
        `${newcomer("port")} 10.0.0.4:81 7000`,
        "comes 10.0.0.5:80 7000",
      ].sort(),
    );
  });

  test("waited for is what the next one asks", () => {
    const names = coming.map(({ backend }) => backend);
    assert.deepEqual(names, ["stays", "comes", newcomer("moves"), newcomer("port")]);
  });

  test("the name of a newcomer is no backend's", () => {
    const document = {
      pools: { web: { backends: [{ name: newcomer("a"), address: "10.0.0.1" }] } },
      vips: [],
    };
    assert.throws(() => parseConfig(JSON.stringify(document), "c.yaml"), { code: "CONFIG" });
  });
});
