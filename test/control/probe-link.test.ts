// Routes of checks to VIPs, with a program in the place of `ip` that refuses some of them. What it does otherwise is the business
// of test/e2e/probe-link.test.ts.

import assert from "node:assert/strict";
import { appendFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { pino } from "pino";
import { parseConfig } from "../../src/config/load.ts";
import { ProbeLink } from "../../src/control/probe-link.ts";

/** Routes are lines of a file; a line of a batch that has a word of another file is refused, as iproute2 does it. */
const IP = `#!/bin/sh
cd "$(dirname "$0")"
case "$*" in
  *-batch*) ;;
  *del*|*flush*) exit 2 ;;
  *) exit 0 ;;
esac
number=0
failed=0
while read -r line; do
  number=$((number + 1))
  if echo "$line" | grep -qFf refused; then
    printf 'RTNETLINK answers: %s\nCommand failed -:%s\n' "$(cat reason)" "$number" >&2
    failed=1
    case "$*" in *-force*) continue ;; esac
    exit 1
  fi
  echo "$line" | { read -r _ action address _
    grep -vxF "$address" routes >rest; mv rest routes
    [ "$action" = del ] || echo "$address" >>routes; }
done
exit $failed
`;

class Bed {
  readonly #folder = mkdtempSync(join(tmpdir(), "guideway-link-"));
  readonly log: { address: string; reason: string }[] = [];
  readonly link: ProbeLink;

  constructor(t: TestContext) {
    const path = process.env.PATH;
    t.after(() => {
      process.env.PATH = path;
      rmSync(this.#folder, { recursive: true, force: true });
    });
    process.env.PATH = `${this.#folder}:${path}`;
    writeFileSync(join(this.#folder, "ip"), IP, { mode: 0o755 });
    writeFileSync(join(this.#folder, "ethtool"), "#!/bin/sh\n", { mode: 0o755 });
    writeFileSync(join(this.#folder, "routes"), "");
    this.refuse("Operation not permitted");
    const text = `
machine: { name: lb-1, address: 10.0.0.11, address6: "fd00::11" }
pools: { web: { backends: [{ name: a, address: 10.0.0.21 }] } }
vips: [{ name: web, address: 10.99.0.1, port: 80, pool: web }]
`;
    const { config } = parseConfig(text, "c.yaml");
    const write = (line: string) => void this.log.push(JSON.parse(line));
    this.link = ProbeLink.create(config, 1500, pino({ level: "info" }, { write }));
  }

  refuse(reason: string, ...addresses: string[]): void {
    writeFileSync(join(this.#folder, "reason"), reason);
    writeFileSync(join(this.#folder, "refused"), "");
    for (const address of addresses) appendFileSync(join(this.#folder, "refused"), `${address} \n`);
  }

  get routes(): string[] {
    return readFileSync(join(this.#folder, "routes"), "utf8").split("\n").filter(Boolean).sort();
  }
}

test("a route that fails keeps no other from being made, and is made the next time", (t) => {
  const bed = new Bed(t);
  assert.deepEqual(bed.routes, ["10.99.0.1"]);
  bed.refuse("Operation not permitted", "10.99.0.2", "fd99::2");
  const wanted = ["10.99.0.2", "10.99.0.3", "fd99::2", "fd99::3"];
  assert.throws(() => bed.link.setVips(wanted), {
    code: "PROBE_LINK",
    message:
      'the link for "via: tunnel" checks: no route to 10.99.0.2 (RTNETLINK answers: Operation not permitted), ' +
      "fd99::2 (RTNETLINK answers: Operation not permitted)",
  });
  assert.deepEqual(bed.routes, ["10.99.0.3", "fd99::3"]);
  bed.refuse("");
  bed.link.setVips(wanted);
  assert.deepEqual(bed.routes, wanted);
});

test("a failed change is put back as a whole", (t) => {
  const bed = new Bed(t);
  bed.refuse("Operation not permitted", "10.99.0.2");
  assert.throws(() => bed.link.setVips(["10.99.0.2", "10.99.0.3"]), { code: "PROBE_LINK" });
  bed.link.setVips(["10.99.0.1"]);
  assert.deepEqual(bed.routes, ["10.99.0.1"]);
});

test("a route that stays is told and tried again; one that is gone already is fine", (t) => {
  const bed = new Bed(t);
  bed.refuse("Operation not permitted", "10.99.0.1");
  bed.link.setVips(["10.99.0.2"]);
  assert.deepEqual(bed.routes, ["10.99.0.1", "10.99.0.2"]);
  assert.deepEqual(
    bed.log.map(({ address, reason }) => [address, reason]),
    [["10.99.0.1", "RTNETLINK answers: Operation not permitted"]],
  );
  bed.refuse("");
  bed.link.setVips(["10.99.0.2"]);
  assert.deepEqual(bed.routes, ["10.99.0.2"]);
  bed.refuse("No such process", "10.99.0.2");
  bed.link.setVips(["10.99.0.3"]);
  assert.equal(bed.log.length, 1);
});
