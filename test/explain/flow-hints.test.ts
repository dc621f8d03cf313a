import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { parseConfig } from "../../src/config/load.ts";
import { type Explanation, explain } from "../../src/explain/explain.ts";
import { renderExplanation } from "../../src/explain/render.ts";
import { packet } from "../packets/packet.ts";

const { config } = parseConfig(
  `
machine: { address: 10.0.0.11 }
pools:
  web: { tableSize: 251, backends: [{ name: web-1, address: 10.0.0.21 }, { name: web-2, address: 10.0.0.22 }] }
  inner: { tableSize: 251, backends: [{ name: inner-1, address: 10.0.0.31, port: 8080 }] }
vips:
  - { name: inner, address: 10.97.0.1, port: 80, pool: inner, forward: nat }
  - { name: web, address: 10.99.0.1, protocol: any, port: [53, 80], pool: web }
  - { name: web6, address: "2001:db8::1", port: 80, pool: web }
  - { name: wide, address: 10.98.0.0/24, port: 0, pool: web }
`,
  "lb.yaml",
);

const from = (src: string, dst = "10.99.0.1") => packet().ethernet().ipv4({ src, dst });
/** A row of the text. */
const row = (explanation: Explanation, name: string) =>
  new RegExp(`^${name} +(.*)$`, "m").exec(renderExplanation(explanation))?.[1];

suite("what a packet says of its flow", () => {
  test("an ICMP error: what it quotes, whose flow is the one that is looked up", async () => {
    const error = from("198.51.100.1")
      .icmp({ type: 3, code: 4, id: 0, seq: 1400 })
      .ipv4({ src: "10.99.0.1", dst: "192.0.2.1", totalLength: 1500 })
      .tcp({ sport: 80, dport: 50000 });
    const found = await explain(config, error.bytes());
    assert.deepEqual(found.quote, {
      ...{ protocol: "tcp", source: "10.99.0.1", destination: "192.0.2.1" },
      ...{ sourcePort: 80, destinationPort: 50000 },
    });
    const client = from("192.0.2.1").tcp({ sport: 50000, dport: 80, flags: "S" });
    const flow = await explain(config, client.bytes());
    assert.equal(found.reason, "icmp-error");
    assert.deepEqual([found.flow, found.backend, flow.quote], [flow.flow, flow.backend, null]);
    assert.equal(row(found, "quotes"), "tcp 10.99.0.1:80 > 192.0.2.1:50000");
    assert.match(row(found, "flow key")!, /, mixed from quoted destination, service \d+ and the secret$/);
    assert.match(row(flow, "flow key")!, /, mixed from source, service \d+ and the secret$/);
  });

  test("an ICMP error of a backend's, about what a client has sent", async () => {
    const error = from("10.0.0.31", "192.0.2.1")
      .icmp({ type: 3, code: 3 })
      .ipv4({ src: "192.0.2.1", dst: "10.0.0.31" })
      .tcp({ sport: 50000, dport: 8080 });
    const found = await explain(config, error.bytes());
    const flow = await explain(
      config,
      from("192.0.2.1", "10.97.0.1").tcp({ sport: 50000, dport: 80 }).bytes(),
    );
    assert.deepEqual([found.reason, found.answer, found.connection], ["return", true, null]);
    assert.deepEqual(found.flow, flow.flow);
    assert.equal(
      row(found, "answer"),
      "about a packet of the client's to where backend inner-1 answers for it",
    );
    assert.equal(row(found, "connection table"), "not asked");
  });

  test("a fragment of an answer", async () => {
    const ip = { src: "10.0.0.31", dst: "192.0.2.1", df: false, moreFragments: true };
    const first = packet().ethernet().ipv4(ip).tcp({ sport: 8080, dport: 50000 }).payload(4);
    const found = await explain(config, first.bytes());
    assert.equal(found.reason, "return");
    assert.match(row(found, "fragment")!, /^the first of datagram 0, with the ports$/);
    assert.equal(row(found, "answer"), "from where backend inner-1 answers for it, to the client");
  });

  test("an ICMP error about a flow of many addresses and ports", async () => {
    const error = from("198.51.100.1", "10.98.0.7")
      .icmp({ type: 11 })
      .ipv4({ src: "10.98.0.7", dst: "192.0.2.1" })
      .tcp({ sport: 99, dport: 50000 });
    const found = await explain(config, error.bytes());
    assert.match(row(found, "flow key")!, /mixed from quoted destination, quoted source, service/);
    const client = from("192.0.2.1", "10.98.0.7").tcp({ sport: 50000, dport: 99 });
    const flow = await explain(config, client.bytes());
    assert.deepEqual(found.flow, flow.flow);
    assert.match(row(flow, "flow key")!, /mixed from source, destination, service/);
  });

  test("an ICMPv6 error, and one whose quote is too short or of another protocol", async () => {
    const v6 = packet()
      .ethernet()
      .ipv6({ src: "2001:db8::9", dst: "2001:db8::1" })
      .icmpv6({ type: 2, id: 0, seq: 1280 })
      .ipv6({ src: "2001:db8::1", dst: "2001:db8::9", payloadLength: 1400 })
      .tcp({ sport: 80, dport: 50000 });
    assert.equal(
      row(await explain(config, v6.bytes()), "quotes"),
      "tcp [2001:db8::1]:80 > [2001:db8::9]:50000",
    );
    const about = (protocol: number, bytes: number) =>
      from("198.51.100.1")
        .icmp({ type: 11 })
        .ipv4({ src: "10.99.0.1", dst: "192.0.2.1", totalLength: 40, protocol })
        .payload(new Uint8Array(bytes));
    const short = await explain(config, about(17, 3).bytes());
    assert.equal(short.reason, "icmp-unsupported");
    assert.equal(row(short, "quotes"), "udp 10.99.0.1:0 > 192.0.2.1");
    assert.equal(
      row(await explain(config, about(132, 8).bytes()), "quotes"),
      "protocol 132 10.99.0.1 > 192.0.2.1",
    );
  });

  test("a fragment: its place in its datagram", async () => {
    const place = async (fragmentOffset: number, moreFragments: boolean) => {
      const ip = { src: "192.0.2.1", dst: "10.99.0.1", id: 77, df: false, protocol: 17 };
      const fragment = packet()
        .ethernet()
        .ipv4({ ...ip, fragmentOffset, moreFragments });
      const length = moreFragments ? 100 : 24;
      const whole = fragmentOffset === 0 ? fragment.udp({ dport: 53, length }) : fragment;
      const found = await explain(config, whole.payload(16).bytes());
      return [found.reason, row(found, "fragment")];
    };
    assert.deepEqual(await place(0, true), ["new", "the first of datagram 77, with the ports"]);
    assert.deepEqual(await place(2, true), [
      ...["fragment-timeout", "one of datagram 77, from byte 16: the first has the ports"],
    ]);
    assert.deepEqual(await place(3, false), [
      ...["fragment-timeout", "the last of datagram 77, from byte 24: the first has the ports"],
    ]);
    assert.deepEqual(await place(0, false), ["new", undefined]);
    const v6 = packet().ethernet().ipv6({ src: "2001:db8::9", dst: "2001:db8::1" });
    const fragment = v6.fragment({ offset: 2, id: 9, nextHeader: 17 }).payload(8);
    const found = await explain(config, fragment.bytes());
    assert.deepEqual(found.fragment, { identification: "0x00000009", offset: 16, more: false });
  });
});
