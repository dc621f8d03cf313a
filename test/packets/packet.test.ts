// The expected bytes were written by hand after the RFCs, the checksums computed by scapy.

import assert from "node:assert/strict";
import { test } from "node:test";
import { toHex } from "../model/bytes.ts";
import { onesSum } from "../model/checksum.ts";
import { decode } from "./decode.ts";
import { packet } from "./packet.ts";

const v4 = { src: "192.0.2.1", dst: "10.99.0.1" };
const v6 = { src: "2001:db8::1", dst: "2001:db8:99::1" };
const hex = (text: string) => text.replace(/\s/g, "");

test("a TCP SYN over IPv4", () => {
  assert.equal(
    toHex(packet().ethernet().ipv4(v4).tcp({ dport: 80 }).bytes()),
    hex(`02bb00000001 02aa00000001 0800
         4500 0028 0000 4000 40 06 6e6b c0000201 0a630001
         9c40 0050 00000001 00000000 50 02 ffff 46ec 0000`),
  );
});

test("a UDP datagram over IPv6 behind two tags", () => {
  const outer = { id: 100, tpid: 0x88a8 };
  assert.equal(
    toHex(packet().ethernet().vlan(outer).vlan({ id: 5, pcp: 3 }).ipv6(v6).udp().payload("abc").bytes()),
    hex(`02bb00000001 02aa00000001 88a8 0064 8100 6005 86dd
         60000000 000b 11 40 20010db8000000000000000000000001 20010db8009900000000000000000001
         9c40 0035 000b 42f3 616263`),
  );
});

test("ICMP, ICMPv6 and what follows an IPv6 header are announced and summed", () => {
  const echo = packet().ethernet().ipv4(v4).icmp({ id: 1, seq: 2 }).payload("ping").bytes();
  assert.equal(toHex(echo.subarray(34)), hex("08 00 192c 0001 0002 70696e67"));
  assert.equal(onesSum(echo.subarray(34)), 0xffff);
  const chain = packet().ethernet().ipv6(v6).extension({ type: 0 }).fragment({ more: true, id: 7 }).icmpv6();
  assert.equal(
    toHex(chain.bytes().subarray(54)),
    hex("2c 00 0104 00000000 3a 00 0001 00000007 80 00 117b 1234 0001"),
  );
});

test("every field gives way to the one given", () => {
  const bytes = packet()
    .ethernet({ type: 0x1234 })
    .ipv4({
      ...v4,
      version: 7,
      ihl: 15,
      totalLength: 1,
      checksum: 2,
      protocol: 3,
      ttl: 0,
      moreFragments: true,
    })
    .udp({ length: 4, checksum: 5 })
    .cut(40)
    .pad(42);
  assert.equal(
    toHex(bytes.bytes()),
    hex(
      "02bb00000001 02aa00000001 1234 7f00 0001 0000 6000 00 03 0002 c0000201 0a630001 9c40 0035 0004 0000",
    ),
  );
});

test("decode names what differs", () => {
  const bytes = packet()
    .ethernet()
    .vlan(5)
    .ipv4({ ...v4, ttl: 9 })
    .tcp({ flags: "SA" })
    .payload("hi")
    .pad(70)
    .bytes();
  assert.deepEqual(decode(bytes), [
    "ethernet 02:aa:00:00:00:01 > 02:bb:00:00:00:01 type 0x8100 bytes 70",
    "vlan 5 pcp 0 dei 0 type 0x800",
    "ipv4 192.0.2.1 > 10.99.0.1 version 4 header 20 tos 0x0 length 42 id 0 flags 2 offset 0 ttl 9 protocol 6 checksum 0xa569",
    "tcp 40000 > 80 seq 1 ack 0 header 20 flags SA window 65535 checksum 0xde70",
    "data 6869",
    "padding 00000000000000000000",
  ]);
  assert.deepEqual(decode(Uint8Array.of(1, 2)), ["short 0102"]);
});
