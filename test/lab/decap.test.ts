/** native/bpf/decap.bpf.c on a backend: tunnel frames made by hand, seen by what the backend answers to the client. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { Lab } from "../../src/lab/lab.ts";
import { startServer, vipUrl } from "../../src/lab/traffic.ts";
import { ETHERTYPE, echo, echoReplyId, ethernet, gre, ip, listen, sendFrames, synAckMss } from "./frames.ts";
import { skipReason, testPrefix } from "./machine.ts";

const CLIENT = { v4: "10.0.1.2", v6: "fd00:1::2" };
const VIP = { v4: "10.99.0.1", v6: "fd99::1" };
const GRE = 47;
const UDP = 17;
const GUE_PORT = 6080;
const FAMILIES = ["v4", "v6"] as const;
type Family = (typeof FAMILIES)[number];

/** Protocol of the outer header, and what stands behind it. */
type Wrapped = [protocol: number, payload: Buffer];
/** IP in IP: the protocol says what is inside. */
const IPIP = { v4: 4, v6: 41 };
const WRAP: Record<string, (inner: Family, packet: Buffer) => Wrapped> = {
  GRE: (inner, packet) => [GRE, gre(ETHERTYPE[inner], packet)],
  IPIP: (inner, packet) => [IPIP[inner], packet],
  GUE: (_, packet) => [UDP, gue(packet)],
};

function gue(packet: Buffer, port = GUE_PORT, checksum = 0): Buffer {
  const header = Buffer.alloc(8);
  for (const [at, value] of [0xc123, port, 8 + packet.length, checksum].entries())
    header.writeUInt16BE(value, 2 * at);
  return Buffer.concat([header, packet]);
}

describe("decapsulation", { skip: skipReason("python3", "curl"), timeout: 60_000 }, () => {
  let lab: Lab;
  let client: Awaited<ReturnType<typeof listen>>;
  let id = 0;

  before(async () => {
    lab = await Lab.up({ prefix: testPrefix(), backends: 2, forward: "gre" });
    client = await listen(lab, "client");
  });
  after(async () => {
    client?.stop();
    await lab?.down();
  });

  /** A frame from lb1 to be1 with an outer header, everything in it replaceable. */
  const tunnelled = (
    outer: Family,
    payload: Buffer,
    protocol = GRE,
    to = lab.address("be1", outer),
    fragment = 0,
  ) =>
    ethernet(
      lab.mac("be1"),
      lab.mac("lb1"),
      ETHERTYPE[outer],
      ip(lab.address("lb1", outer), to, protocol, payload, fragment),
    );
  const request = (inner: Family, bytes?: number) => echo(CLIENT[inner], VIP[inner], ++id, bytes);

  /** Sends frames and returns the ids of the replies that the client got to them and to one that is always answered. */
  const replies = async (frames: Buffer[]): Promise<number[]> => {
    const seen = client.frames.length;
    const last = tunnelled("v4", gre(ETHERTYPE.v4, request("v4")));
    const sentinel = id;
    await sendFrames(lab, "lb1", [...frames, last]);
    const ids = () => client.frames.slice(seen).flatMap((frame) => echoReplyId(frame) ?? []);
    for (let waitedMs = 0; !ids().includes(sentinel) && waitedMs < 3000; waitedMs += 20) await sleep(20);
    assert.ok(ids().includes(sentinel), "the last frame is answered");
    return ids().filter((id) => id !== sentinel);
  };

  for (const outer of FAMILIES) {
    for (const inner of FAMILIES) {
      for (const [tunnel, wrap] of Object.entries(WRAP)) {
        test(`IP${inner} in IP${outer} by ${tunnel}`, async () => {
          const first = id + 1;
          const frames = [0, 8, 1400].map((dataBytes) => {
            const [protocol, payload] = wrap(inner, request(inner, dataBytes));
            return tunnelled(outer, payload, protocol);
          });
          assert.deepEqual(await replies(frames), [first, first + 1, first + 2]);
        });
      }
    }
    test(`the reply to an inner packet of IP${outer} is the backend's to its client, from the VIP`, async () => {
      await replies([tunnelled(outer, gre(ETHERTYPE[outer], request(outer)))]);
      const reply = client.frames.findLast((frame) => echoReplyId(frame) === id - 1)!;
      const source = outer === "v4" ? reply.subarray(26, 30) : reply.subarray(22, 38);
      assert.deepEqual(
        source,
        ip(VIP[outer], CLIENT[outer], 1, Buffer.alloc(0)).subarray(...(outer === "v4" ? [12, 16] : [8, 24])),
      );
    });
  }

  /** Each with one request. */
  const refused: Record<string, (outer: Family) => Buffer> = {
    "GRE for another address": (outer) =>
      tunnelled(outer, gre(ETHERTYPE.v4, request("v4")), GRE, lab.address("be2", outer)),
    "GRE for the VIP": (outer) => tunnelled(outer, gre(ETHERTYPE.v4, request("v4")), GRE, VIP[outer]),
    "GRE with a checksum": (outer) => tunnelled(outer, gre(ETHERTYPE.v4, request("v4"), 0x8000)),
    "GRE with a key": (outer) => tunnelled(outer, gre(ETHERTYPE.v4, request("v4"), 0x2000)),
    "GRE of version 1": (outer) => tunnelled(outer, gre(ETHERTYPE.v4, request("v4"), 0x0001)),
    "GRE with Ethernet inside": (outer) => tunnelled(outer, gre(0x6558, request("v4"))),
    "GRE with the wrong family inside": (outer) => tunnelled(outer, gre(ETHERTYPE.v6, request("v4", 40))),
    "GRE cut in the inner header": (outer) =>
      tunnelled(outer, gre(ETHERTYPE.v4, request("v4").subarray(0, 19))),
    "GRE cut in the GRE header": (outer) => tunnelled(outer, gre(ETHERTYPE.v4, request("v4")).subarray(0, 3)),
    "GRE of another protocol": (outer) => tunnelled(outer, gre(ETHERTYPE.v4, request("v4")), 4),
    "IPv4 in IP for another address": (outer) =>
      tunnelled(outer, request("v4"), 4, lab.address("be2", outer)),
    "IPv6 in IP that is said to be IPv4": (outer) => tunnelled(outer, request("v6"), 4),
    "IPv4 in IP that is said to be IPv6": (outer) => tunnelled(outer, request("v4", 40), 41),
    "IPv4 in IP cut in the inner header": (outer) => tunnelled(outer, request("v4").subarray(0, 19), 4),
    "IPv6 in IP cut in the inner header": (outer) => tunnelled(outer, request("v6").subarray(0, 39), 41),
    "GUE for another address": (outer) =>
      tunnelled(outer, gue(request("v4")), UDP, lab.address("be2", outer)),
    "GUE for another port": (outer) => tunnelled(outer, gue(request("v4"), GUE_PORT + 1), UDP),
    "GUE with a checksum": (outer) => tunnelled(outer, gue(request("v4"), GUE_PORT, 0x1234), UDP),
    "GUE of variant 0": (outer) =>
      tunnelled(outer, gue(Buffer.concat([Buffer.from([0, 4, 0, 0]), request("v4")])), UDP),
    "GUE of an IP version that is none": (outer) => {
      const packet = request("v4");
      packet[0] = 0x55;
      return tunnelled(outer, gue(packet), UDP);
    },
    "GUE cut in the UDP header": (outer) => tunnelled(outer, gue(request("v4")).subarray(0, 7), UDP),
    "GUE cut in the inner header": (outer) => tunnelled(outer, gue(request("v6").subarray(0, 39)), UDP),
  };
  for (const outer of FAMILIES) {
    test(`what is left alone in IP${outer}`, async () => {
      const first = id + 1;
      const frames = Object.values(refused).map((frame) => frame(outer));
      const answered = (await replies(frames)).map((id) => Object.keys(refused)[id - first]);
      assert.deepEqual(answered, []);
    });
  }

  test("a fragment of an outer IPv4 packet is left alone", async () => {
    for (const wrap of Object.values(WRAP)) {
      const fragments = [0x2000, 0x0001, 0x3fff].map((fragment) => {
        const [protocol, payload] = wrap("v4", request("v4"));
        return tunnelled("v4", payload, protocol, undefined, fragment);
      });
      assert.deepEqual(await replies(fragments), []);
    }
    const atomic = tunnelled("v4", gre(ETHERTYPE.v4, request("v4")), GRE, undefined, 0x4000);
    assert.deepEqual(await replies([atomic]), [id - 1], "DF alone is no fragment");
  });

  test("frames that are not IP, or too short for it, pass", async () => {
    const short = Buffer.from([0x45, 0, 0]);
    const from = (type: number, payload: Buffer) => ethernet(lab.mac("be1"), lab.mac("lb1"), type, payload);
    assert.deepEqual(await replies([from(0x0800, short), from(0x86dd, short), from(0x88b5, short)]), []);
  });

  test("segments that a backend asks for fit the MTU with a tunnel header", async (t) => {
    const server = await startServer(lab, "be2");
    t.after(() => server.stop());
    await lab.routeVips(["be2"]);
    const seen = client.frames.length;
    for (const family of FAMILIES) {
      const { stdout } = await lab.exec("client", ["curl", "-s", "-m", "5", vipUrl(VIP[family])]);
      assert.equal(stdout, "be2\n");
    }
    await sleep(100);
    const sizes = client.frames.slice(seen).flatMap((frame) => synAckMss(frame) ?? []);
    assert.deepEqual(sizes, [
      { v6: false, mss: 1500 - 20 - 20 - 52 },
      { v6: true, mss: 1500 - 40 - 20 - 52 },
    ]);
  });
});
