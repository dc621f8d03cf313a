import assert from "node:assert/strict";
import { suite, test } from "node:test";
import fc from "fast-check";
import { decodeHeaders, fieldAt, placeOf } from "../../src/explain/headers.ts";
import { offlineSetup } from "../model/setup.ts";
import { hostilePacket } from "../packets/hostile.ts";
import { packet } from "../packets/packet.ts";

/** Headers as `name bytes`, and fields as `name=value`. */
const names = (bytes: Uint8Array) => decodeHeaders(bytes).map((header) => `${header.name} ${header.bytes}`);
const values = (bytes: Uint8Array, header: string) =>
  decodeHeaders(bytes)
    .find(({ name }) => name === header)!
    .fields.map(({ name, value }) => `${name}=${value}`);

const v4 = packet().ethernet().ipv4({ src: "192.0.2.1", dst: "10.99.0.1", tos: 0xb9, id: 7 });
const v6 = packet()
  .ethernet()
  .ipv6({ src: "2001:db8::1", dst: "fd99::1", trafficClass: 0xb9, flowLabel: 0xabcde });

suite("headers", () => {
  test("TCP with options, payload and padding", () => {
    const bytes = packet()
      .ethernet()
      .vlan({ id: 5, pcp: 3 })
      .ipv4({ src: "192.0.2.1", dst: "10.99.0.1", options: new Uint8Array(4) })
      .tcp({ sport: 40000, dport: 80, flags: "SA", seq: 1, options: new Uint8Array(8) })
      .payload("hi")
      .pad(100)
      .bytes();
    assert.deepEqual(names(bytes), [
      "Ethernet 14",
      "VLAN 4",
      "IPv4 20",
      "options 4",
      "TCP 20",
      "options 8",
      "payload 2",
      "padding 28",
    ]);
    assert.deepEqual(values(bytes, "VLAN"), ["tag=VLAN 5, priority 3", "type=0x0800 (IPv4)"]);
    assert.ok(values(bytes, "TCP").includes("flags=SYN ACK"));
    assert.ok(values(bytes, "TCP").includes("data offset=header of 28 bytes"));
  });

  test("IPv4", () => {
    assert.deepEqual(
      values(v4.udp({ sport: 1, dport: 53 }).bytes(), "IPv4").filter((each) => !each.startsWith("checksum")),
      [
        "version and length=version 4, header of 20 bytes",
        "service=DSCP 46, ECN 1",
        "total length=28",
        "identification=7",
        "fragment=don't fragment, offset 0",
        "TTL=64",
        "protocol=17 (UDP)",
        "source=192.0.2.1",
        "destination=10.99.0.1",
      ],
    );
  });

  test("IPv6", () => {
    assert.deepEqual(values(v6.icmpv6({ type: 128 }).bytes(), "IPv6"), [
      "version, class and label=version 6, DSCP 46, ECN 1, label 0xabcde",
      "payload length=8",
      "next header=58 (ICMPv6)",
      "hop limit=64",
      "source=2001:db8::1",
      "destination=fd99::1",
    ]);
    assert.ok(values(v6.icmpv6({ type: 128 }).bytes(), "ICMPv6").includes("type=128 (echo request)"));
  });

  test("a fragment has no layer 4", () => {
    const bytes = packet()
      .ethernet()
      .ipv4({ src: "192.0.2.1", dst: "10.99.0.1", df: false, moreFragments: true, fragmentOffset: 3 })
      .tcp()
      .bytes();
    assert.deepEqual(names(bytes), ["Ethernet 14", "IPv4 20", "payload 20"]);
    assert.ok(values(bytes, "IPv4").includes("fragment=more fragments, offset 24"));
  });

  test("a fragment of IPv6: the first has layer 4, others do not", () => {
    const place = (offset: number) =>
      v6.fragment({ offset, more: true, id: 9 }).udp({ dport: 53 }).payload(8).bytes();
    assert.deepEqual(names(place(0)), ["Ethernet 14", "IPv6 40", "fragment 8", "UDP 8", "payload 8"]);
    assert.deepEqual(names(place(2)), ["Ethernet 14", "IPv6 40", "fragment 8", "payload 16"]);
    assert.deepEqual(values(place(2), "fragment").slice(2), [
      "fragment=offset 16, more fragments",
      "identification=0x00000009",
    ]);
  });

  test("an ICMP error and the packet that it quotes", () => {
    const bytes = v4
      .icmp({ type: 3, code: 4, id: 0, seq: 1320 })
      .ipv4({ src: "10.99.0.1", dst: "192.0.2.1", totalLength: 1500 })
      .tcp({ sport: 80, dport: 50000, flags: "A", options: new Uint8Array(12) })
      .payload(20)
      .bytes();
    assert.deepEqual(names(bytes), [
      ...["Ethernet 14", "IPv4 20", "ICMP 8"],
      ...["quoted IPv4 20", "quoted TCP 20", "quoted options 12", "quoted payload 20"],
    ]);
    assert.deepEqual(
      values(bytes, "ICMP").filter((each) => !each.startsWith("checksum")),
      ["type=3 (unreachable)", "code=4 (fragmentation needed)", "unused=0x0000", "next-hop MTU=1320"],
    );
    assert.deepEqual(values(bytes, "quoted TCP").slice(0, 2), ["source port=80", "destination port=50000"]);
    // RFC 792: 8 bytes are enough. What is in them is shown, of the ports even fewer.
    const cut = (quoted: number) =>
      v4
        .icmp({ type: 11 })
        .ipv4({ src: "10.99.0.1", dst: "192.0.2.1", protocol: 6, totalLength: 40 })
        .payload(Uint8Array.of(0, 80, 1, 2, 3, 4, 5, 6).slice(0, quoted))
        .bytes();
    assert.deepEqual(values(cut(8), "quoted TCP"), [
      ...["source port=80", "destination port=258", "sequence=50595078"],
    ]);
    assert.deepEqual(names(cut(3)).slice(3), ["quoted IPv4 20", "quoted TCP 2", "cut off 1"]);
  });

  test("an ICMPv6 error: its MTU, and a quote with extension headers", () => {
    const bytes = v6
      .icmpv6({ type: 2, id: 0, seq: 1280 })
      .ipv6({ src: "fd99::1", dst: "2001:db8::1" })
      .extension({ type: 60 })
      .udp({ sport: 53, dport: 40000 })
      .bytes();
    assert.deepEqual(names(bytes).slice(2), [
      ...["ICMPv6 8", "quoted IPv6 40", "quoted destination options 2", "quoted options 6", "quoted UDP 8"],
    ]);
    assert.deepEqual(values(bytes, "ICMPv6")[0], "type=2 (packet too big)");
    assert.deepEqual(values(bytes, "ICMPv6").at(-1), "MTU=1280");
  });

  test("what follows a quoted packet in its message is the message's", () => {
    const quoted = packet().ipv4({ src: "10.99.0.1", dst: "192.0.2.1" }).udp().bytes();
    const extended = Uint8Array.from([...quoted, ...new Uint8Array(32)]);
    assert.deepEqual(names(v4.icmp({ type: 11 }).payload(extended).pad(120).bytes()).slice(2), [
      ...["ICMP 8", "quoted IPv4 20", "quoted UDP 8", "payload 32", "padding 18"],
    ]);
  });

  test("GRE and what is inside", () => {
    const bytes = v4.gre().ipv6({ src: "2001:db8::1", dst: "fd99::1" }).udp({ dport: 53 }).pad(200).bytes();
    assert.deepEqual(names(bytes), ["Ethernet 14", "IPv4 20", "GRE 4", "IPv6 40", "UDP 8", "padding 114"]);
  });

  test("IP in IP, and IP in UDP to the port of GUE", () => {
    const inner = v4.ipv6({ src: "2001:db8::1", dst: "fd99::1" }).tcp();
    assert.deepEqual(names(inner.bytes()), ["Ethernet 14", "IPv4 20", "IPv6 40", "TCP 20"]);
    const gue = v4.udp({ dport: 6080 }).ipv4({ src: "192.0.2.1", dst: "10.99.0.1" }).tcp().bytes();
    assert.deepEqual(names(gue), ["Ethernet 14", "IPv4 20", "UDP 8", "payload 40"]);
    const headers = decodeHeaders(gue, 6080).map(({ name, bytes }) => `${name} ${bytes}`);
    assert.deepEqual(headers, ["Ethernet 14", "IPv4 20", "UDP 8", "IPv4 20", "TCP 20"]);
    const none = v4.udp({ dport: 6080 }).bytes();
    assert.deepEqual(
      decodeHeaders(none, 6080).map(({ name }) => name),
      ["Ethernet", "IPv4", "UDP"],
    );
  });

  test("what is cut off says so", () => {
    const bytes = v4.tcp().bytes();
    assert.deepEqual(names(bytes.slice(0, 13)), ["cut off 13"]);
    assert.deepEqual(names(bytes.slice(0, 20)), ["Ethernet 14", "cut off 6"]);
    assert.deepEqual(names(bytes.slice(0, 40)), ["Ethernet 14", "IPv4 20", "cut off 6"]);
    assert.deepEqual(names(new Uint8Array(0)), []);
  });

  test("a byte has a place", () => {
    const headers = decodeHeaders(v4.tcp().payload("x").bytes());
    assert.equal(placeOf(headers, 0), "Ethernet destination");
    assert.equal(placeOf(headers, 33), "IPv4 destination");
    assert.equal(placeOf(headers, 54), "payload");
    assert.equal(fieldAt(headers, 22)?.value, "64");
    assert.equal(fieldAt(headers, 54), undefined);
  });

  test("every byte belongs to one header, whatever the bytes are", () => {
    const setup = offlineSetup({
      pools: { web: { backends: [{ address: "10.0.0.1" }] } },
      vips: [
        { name: "a", address: "10.99.0.1", port: 80, pool: "web" },
        { name: "b", address: "2001:db8::1", port: 80, pool: "web" },
      ],
    });
    fc.assert(
      fc.property(hostilePacket(setup), (bytes) => {
        let at = 0;
        for (const { offset, bytes: size, fields } of decodeHeaders(bytes)) {
          assert.equal(offset, at);
          for (const field of fields) {
            assert.equal(field.offset, at);
            at += field.bytes;
          }
          if (fields.length === 0) at += size;
          assert.equal(at, offset + size);
        }
        assert.equal(at, bytes.length);
      }),
      { numRuns: 1000, seed: 1 },
    );
  });
});
