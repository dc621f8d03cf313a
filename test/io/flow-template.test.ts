// Generated packets are valid, and each flow has one of its own.

import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { FlowTemplate, MAX_FLOWS, type Service, smallestPacket } from "../../src/io/flow-template.ts";
import { macBytes } from "../../src/mac.ts";
import { onesSum } from "../model/checksum.ts";
import { decode } from "../packets/decode.ts";

const MAC = macBytes("02:bb:00:00:00:01");
const CASES: { service: Service; smallest: number; opens: string[] }[] = [
  {
    service: { address: "10.99.0.1", protocol: "tcp", port: 80 },
    smallest: 54,
    opens: ["ipv4 198.18.0.7 > 10.99.0.1", "1024 > 80"],
  },
  {
    service: { address: "10.99.0.1", protocol: "udp", port: 53 },
    smallest: 42,
    opens: ["ipv4 198.18.0.7 > 10.99.0.1", "1024 > 53"],
  },
  {
    service: { address: "fd99::1", protocol: "tcp", port: 80 },
    smallest: 74,
    opens: ["ipv6 2001:0002:0000:0000:0000:0000:0000:0007 > fd99:", "1024 > 80"],
  },
  {
    service: { address: "fd99::1", protocol: "udp", port: 53 },
    smallest: 62,
    opens: ["ipv6 2001:0002:0000:0000:0000:0000:0000:0007 > fd99:", "1024 > 53"],
  },
];

function write(template: FlowTemplate, flow: number, opens: boolean): Uint8Array {
  const words = new Uint32Array(512);
  template.write(words, new Uint16Array(words.buffer), 0, flow, opens);
  return new Uint8Array(words.buffer, 0, template.bytes.length);
}

/** Ones' complement sum of pseudo header and layer 4: all ones when the checksum is right (RFC 1071, RFC 8200 §8.1). */
function transportSum(packet: Uint8Array, protocol: number): number {
  const v4 = packet[12] === 0x08;
  const l4 = v4 ? 34 : 54;
  const addresses = packet.subarray(v4 ? 26 : 22, l4);
  const length = packet.length - l4;
  const pseudo = Uint8Array.from([...addresses, 0, protocol, length >> 8, length & 255]);
  return onesSum(Uint8Array.from([...pseudo, ...packet.subarray(l4)]));
}

suite("flow template", () => {
  for (const { service, smallest, opens } of CASES) {
    const name = `${service.protocol} to ${service.address}`;
    const protocol = service.protocol === "tcp" ? 6 : 17;

    test(`${name}: headers`, () => {
      assert.equal(smallestPacket(service), smallest);
      const text = decode(write(new FlowTemplate(service, MAC, smallest), 7, true)).join("\n");
      assert.ok(text.startsWith("ethernet 02:67:65:6e:00:01 > 02:bb:00:00:00:01 "), text);
      for (const part of opens) assert.ok(text.includes(part), text);
    });

    test(`${name}: checksums and flow numbers`, () => {
      for (const bytes of [smallest, smallest + 1, 128, 1400]) {
        const template = new FlowTemplate(service, MAC, bytes);
        for (const flow of [0, 1, 65_535, 65_536, 131_071, 131_072, 4_194_303, 2 ** 32, MAX_FLOWS - 1]) {
          for (const first of [true, false]) {
            const packet = write(template, flow, first);
            assert.equal(packet.length, bytes);
            if (packet[12] === 0x08) assert.equal(onesSum(packet.subarray(14, 34)), 0xffff, `flow ${flow}`);
            assert.equal(transportSum(packet, protocol), 0xffff, `flow ${flow}`);
            assert.equal(template.flowOf(packet), flow);
          }
        }
      }
    });
  }

  test("a TCP flow opens with SYN and goes on with ACK", () => {
    const template = new FlowTemplate(CASES[0]!.service, MAC, 54);
    assert.equal(write(template, 0, true)[47], 0x02);
    assert.equal(write(template, 0, false)[47], 0x10);
  });
});
