import assert from "node:assert/strict";
import { suite, test } from "node:test";
import fc from "fast-check";
import { flowPacket, parseFlow, parsePacket } from "../../src/explain/flow.ts";
import { macBytes } from "../../src/mac.ts";
import { decode } from "../packets/decode.ts";
import { packet } from "../packets/packet.ts";

const MACS = { source: macBytes("02:aa:00:00:00:01"), destination: macBytes("02:bb:00:00:00:01") };

suite("a flow", () => {
  const cases: [text: string, expected: string][] = [
    ["tcp 1.2.3.4:5 > 10.99.0.1:80", "tcp 1.2.3.4 5 10.99.0.1 80"],
    ["  UDP   1.2.3.4:0>10.99.0.1:65535 ", "udp 1.2.3.4 0 10.99.0.1 65535"],
    ["tcp [2001:DB8:0::1]:5 > [fd99::1]:443", "tcp 2001:db8::1 5 fd99::1 443"],
    ["icmp 1.2.3.4 > 10.99.0.1", "icmp 1.2.3.4 0 10.99.0.1 0"],
    ["icmp 2001:db8::1 > [fd99::1]", "icmp 2001:db8::1 0 fd99::1 0"],
  ];
  for (const [text, expected] of cases) {
    test(text.trim(), () => {
      const { protocol, source, destination } = parseFlow(text);
      assert.equal(
        [protocol, source.address, source.port, destination.address, destination.port].join(" "),
        expected,
      );
    });
  }

  const wrong: [text: string, says: RegExp][] = [
    ["", /expected PROTOCOL SOURCE > DESTINATION, such as "tcp 192\.0\.2\.1:40000 > 10\.99\.0\.1:80"/],
    ["tcp 1.2.3.4:5 10.99.0.1:80", /expected PROTOCOL SOURCE > DESTINATION/],
    ["tcp 1.2.3.4:5 > 10.99.0.1:80 > 1.1.1.1:1", /expected PROTOCOL SOURCE > DESTINATION/],
    ["sctp 1.2.3.4:5 > 10.99.0.1:80", /protocol "sctp" is not known, expected tcp, udp or icmp/],
    ["constructor 1.2.3.4:5 > 10.99.0.1:80", /protocol "constructor" is not known/],
    ["tcp 1.2.3.4 > 10.99.0.1:80", /source "1\.2\.3\.4" has no port, expected one, such as 1\.2\.3\.4:80/],
    ["tcp 1.2.3.4:5 > 10.99.0.1", /destination "10\.99\.0\.1" has no port/],
    [
      "tcp 2001:db8::1 > [fd99::1]:80",
      /source "2001:db8::1" has no port, expected one, such as \[2001:db8::1\]:80/,
    ],
    ["tcp [2001:db8::1] > [fd99::1]:80", /source "\[2001:db8::1\]" has no port/],
    [
      "tcp 1:2:3:4:5:6:7:8:80 > [fd99::1]:80",
      /source "1:2:3:4:5:6:7:8:80" is ambiguous, expected brackets: \[1:2:3:4:5:6:7:8\]:80/,
    ],
    [
      "tcp [1.2.3.4]:5 > 10.99.0.1:80",
      /source "\[1\.2\.3\.4\]:5" has an IPv4 address in brackets, expected 1\.2\.3\.4:80/,
    ],
    [
      "tcp 1.2.3.4:65536 > 10.99.0.1:80",
      /source "1\.2\.3\.4:65536" has port "65536", expected a number from 0 to 65535/,
    ],
    ["tcp 1.2.3.4:http > 10.99.0.1:80", /has port "http"/],
    ["tcp 1.2.3.4: > 10.99.0.1:80", /has port ""/],
    ["tcp 1.2.3:5 > 10.99.0.1:80", /source "1\.2\.3:5" has no address, expected IPv4, or IPv6 in brackets/],
    ["tcp localhost:5 > 10.99.0.1:80", /source "localhost:5" has no address/],
    ["tcp [fe80::1%eth0]:5 > [fd99::1]:80", /has no address/],
    ["tcp 1.2.3.4:5 > [fd99::1]:80", /the source is IPv4 and the destination IPv6, expected one family/],
    ["icmp 1.2.3.4:5 > 10.99.0.1", /source "1\.2\.3\.4:5" has a port, and ICMP has none/],
  ];
  for (const [text, says] of wrong) {
    test(`not: ${text}`, () => {
      assert.throws(() => parseFlow(text), { code: "USAGE", exitCode: 2, message: says });
    });
  }
});

suite("the packet of a flow is what the tests' builder builds", () => {
  const ports = fc.tuple(fc.nat(65535), fc.nat(65535));
  const v4 = fc.tuple(fc.ipV4(), fc.ipV4());
  const v6 = fc.tuple(fc.ipV6(), fc.ipV6()).filter((pair) => pair.every((address) => !address.includes(".")));
  const ethernet = packet().ethernet();

  const kinds = [
    [
      "tcp over IPv4",
      v4,
      (src: string, dst: string, sport: number, dport: number) => ({
        text: `tcp ${src}:${sport} > ${dst}:${dport}`,
        built: ethernet.ipv4({ src, dst }).tcp({ sport, dport, flags: "S", seq: 0 }),
      }),
    ],
    [
      "udp over IPv4",
      v4,
      (src: string, dst: string, sport: number, dport: number) => ({
        text: `udp ${src}:${sport} > ${dst}:${dport}`,
        built: ethernet.ipv4({ src, dst }).udp({ sport, dport }),
      }),
    ],
    [
      "tcp over IPv6",
      v6,
      (src: string, dst: string, sport: number, dport: number) => ({
        text: `tcp [${src}]:${sport} > [${dst}]:${dport}`,
        built: ethernet.ipv6({ src, dst }).tcp({ sport, dport, flags: "S", seq: 0 }),
      }),
    ],
    [
      "udp over IPv6",
      v6,
      (src: string, dst: string, sport: number, dport: number) => ({
        text: `udp [${src}]:${sport} > [${dst}]:${dport}`,
        built: ethernet.ipv6({ src, dst }).udp({ sport, dport }),
      }),
    ],
    [
      "ICMP",
      v4,
      (src: string, dst: string) => ({
        text: `icmp ${src} > ${dst}`,
        built: ethernet.ipv4({ src, dst }).icmp({ type: 8, id: 1, seq: 1 }),
      }),
    ],
    [
      "ICMPv6",
      v6,
      (src: string, dst: string) => ({
        text: `icmp ${src} > ${dst}`,
        built: ethernet.ipv6({ src, dst }).icmpv6({ type: 128, id: 1, seq: 1 }),
      }),
    ],
  ] as const;
  for (const [title, addresses, make] of kinds) {
    test(title, () => {
      fc.assert(
        fc.property(addresses, ports, ([src, dst], [sport, dport]) => {
          const { text, built } = make(src, dst, sport, dport);
          const found = flowPacket(parseFlow(text), MACS);
          assert.deepEqual(decode(found), decode(built.bytes()));
          assert.deepEqual(found, built.bytes());
        }),
        { numRuns: 100, seed: 1 },
      );
    });
  }
});

suite("a packet in hex", () => {
  test("digits, with blanks and colons", () => {
    for (const text of ["0a0B", "0a 0B", " 0a:0b\n", "0 a 0 b"])
      assert.deepEqual(parsePacket(text), Uint8Array.of(10, 11));
  });

  test("is refused when it is none", () => {
    const fails = (text: string, says: RegExp) =>
      assert.throws(() => parsePacket(text), { code: "USAGE", exitCode: 2, message: says });
    fails("", /it is empty, expected an Ethernet frame/);
    fails(" : ", /it is empty/);
    fails("0a0", /it has 3 digits, expected an even number/);
    fails("0x0a", /character 2 is "x", expected hexadecimal digits/);
    fails("00".repeat(65536), /it has 65536 bytes, expected at most 65535/);
  });
});
