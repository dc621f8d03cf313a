/**
 * Records traffic.pcap and traffic.json, as root: `node test/captures/record.ts`.
 *
 * Real clients talk to real servers through `guideway run` in a lab with traffic.yaml; tcpdump listens on the port of the switch
 * that the balancer is connected to, to what comes to it. (On the balancer's own interface XDP is ahead of it.) traffic.json
 * says of each flow which backend served it, by the servers' word.
 */
import assert from "node:assert/strict";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { readFileSync, statSync, writeFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { parse } from "yaml";
import { Lab } from "../../src/lab/lab.ts";
import type { Family } from "../../src/lab/topology.ts";
import { startBalancer } from "../e2e/harness.ts";
import { ping } from "../e2e/ping.ts";
import type { ServedFlow } from "./server.ts";

const path = (name: string) => fileURLToPath(new URL(name, import.meta.url));
const CAPTURE = path("traffic.pcap");
const FLOWS = path("traffic.json");
const MOST_BYTES = 500_000;
const VIP = { v4: "10.99.0.1", v6: "fd99::1" };
const FAMILIES = ["v4", "v6"] as const;
/** The client's addresses, between which QUIC connections move. */
const FROM = { v4: ["10.0.1.2", "10.0.1.3"], v6: ["fd00:1::2", "fd00:1::3"] };
/** MTU of the link to the client, which only the router knows of. */
const SMALL_MTU = 1320;

const lab = await Lab.up({ prefix: "gwcapt", backends: 4, queues: 2 });
try {
  await record();
} finally {
  await lab.down();
}

async function record(): Promise<void> {
  await lab.exec("client", ["ip", "addr", "add", `${FROM.v4[1]}/24`, "dev", "eth0"]);
  await lab.exec("client", ["ip", "addr", "add", `${FROM.v6[1]}/64`, "dev", "eth0", "nodad"]);
  const served: ServedFlow[] = [];
  await Promise.all(lab.nodes("backend").map((node, i) => serve(node, `0a0${i + 1}`, served)));
  const balancer = await startBalancer(lab, "lb1", parse(readFileSync(path("traffic.yaml"), "utf8")));
  const listener = lab.spawn("router", [
    ...[
      "tcpdump",
      "-Z",
      "root",
      "--immediate-mode",
      "-Q",
      "out",
      "-i",
      "p-lb1",
      "-s",
      "0",
      "-B",
      "16384",
      "-w",
      CAPTURE,
    ],
  ]);
  await said(listener, listener.stderr!, /listening on/);
  for (const family of FAMILIES) await traffic(family);
  // What the last step sent is on its way still.
  await sleep(500);
  const gone = once(listener, "exit");
  listener.kill("SIGINT");
  await gone;
  await balancer.close();
  served.sort((a, b) => (a.flow < b.flow ? -1 : 1));
  writeFileSync(
    FLOWS,
    `[\n${served
      .map(
        (each) =>
          `  ${JSON.stringify(each)
            .replace(/([{,:])"/g, '$1 "')
            .replace(/}$/, " }")}`,
      )
      .join(",\n")}\n]\n`,
  );
  const { size } = statSync(CAPTURE);
  assert.ok(size <= MOST_BYTES, `${size} bytes are too many to be kept`);
  console.log(`${CAPTURE}: ${size} bytes, ${served.length} flows`);
}

async function serve(node: string, id: string, served: ServedFlow[]): Promise<void> {
  const child = lab.spawn(node, [process.execPath, path("server.ts"), "--name", node, "--id", id]);
  child.stderr!.pipe(process.stderr);
  await said(child, child.stdout!, /ready/);
  createInterface({ input: child.stdout! }).on("line", (line) => served.push(JSON.parse(line)));
}

/** Waits for a word of a process. */
async function said(child: ChildProcess, stream: NodeJS.ReadableStream, word: RegExp): Promise<void> {
  let text = "";
  await new Promise<void>((resolve, reject) => {
    child.once("exit", (code) => reject(new Error(`${child.spawnfile} ended with ${code}: ${text}`)));
    stream.on("data", function listen(chunk: Buffer) {
      text += chunk;
      if (!word.test(text)) return;
      stream.off("data", listen);
      resolve();
    });
  });
}

/** All that a family's clients do, one after the other. */
async function traffic(family: Family): Promise<void> {
  const vip = VIP[family];
  const host = family === "v4" ? vip : `[${vip}]`;
  const node = (script: string, ...argv: string[]) =>
    lab.exec("client", [process.execPath, fileURLToPath(new URL(script, import.meta.url)), ...argv]);
  const curl = (...argv: string[]) => lab.exec("client", ["curl", "-sS", "-o", "/dev/null", ...argv]);
  const udp = (flows: number, datagrams: number, bytes: number) =>
    node(
      "../e2e/udp.ts",
      "client",
      "--address",
      vip,
      ...["--flows", `${flows}`, "--datagrams", `${datagrams}`, "--bytes", `${bytes}`],
    );

  for (let i = 0; i < 8; i++) await curl(`http://${host}/`);
  // Opened while nothing comes back: SYNs are sent again.
  await silence(family, 400, () => curl(`http://${host}/`));
  // Half of an upload is not acknowledged for a while: segments are sent again.
  await Promise.all([node("clients.ts", "upload", vip), sleep(700).then(() => silence(family, 1000))]);
  // In the middle of a download some of it is lost: the client acknowledges what it got behind the gap.
  await Promise.all([curl(`http://${host}/slow?n=90000`), sleep(300).then(() => silence(family, 60))]);
  // Given up in the middle: RST.
  await lab.exec(
    "client",
    ["curl", "-sS", "--limit-rate", "1", "-m", "1", "-o", "/dev/null", `http://${host}/bytes?n=200000`],
    { check: false },
  );
  // No service, and the balancer's kernel has none either: not the engine's business.
  await lab.exec("client", ["curl", "-sS", "-m", "1", `http://${host}:81/`], { check: false });

  await node("clients.ts", "dns", vip);
  await node(
    "../e2e/quic-peer.ts",
    "client",
    "--address",
    vip,
    ...FROM[family].flatMap((from) => ["--from", from]),
    "--connections",
    "4",
    "--moves",
    "4",
  );
  await udp(6, 3, 8000);
  // The answer finds the port closed: port unreachable.
  await node("clients.ts", "leave", vip);
  await ping(lab, "client", vip, 3);
  // A larger one than fits into a packet.
  await ping(lab, "client", vip, 1, 2000);

  await lab.exec("router", ["ip", "link", "set", "dev", "p-client", "mtu", String(SMALL_MTU)]);
  for (let i = 0; i < 3; i++) await curl(`http://${host}/bytes?n=40000`);
  await udp(4, 2, 1440);
  await lab.exec("router", ["ip", "link", "set", "dev", "p-client", "mtu", "1500"]);
}

/** For a while nothing reaches the client; what it sends arrives. @param then begun in that while, and awaited */
async function silence(family: Family, ms: number, then?: () => Promise<unknown>): Promise<void> {
  const ip = ["ip", family === "v4" ? "-4" : "-6", "route"];
  const change = async (what: "add" | "del") => {
    for (const address of FROM[family]) await lab.exec("router", [...ip, what, "blackhole", address]);
  };
  await change("add");
  const begun = then?.();
  await sleep(ms);
  await change("del");
  await begun;
}
