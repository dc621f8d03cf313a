import assert from "node:assert/strict";
import { createSocket, type RemoteInfo, type Socket } from "node:dgram";
import { once } from "node:events";
import { suite, type TestContext, test } from "node:test";
import { type Answer, decode, encode, type Packet, type Question } from "dns-packet";
import fc from "fast-check";
import { closedPort, failed, LOCAL, passed, probeLocal } from "./checks.ts";

/** A UDP server that sends what `answer` returns, if anything. */
async function serve(t: TestContext, answer: (datagram: Buffer, from: RemoteInfo) => Uint8Array | undefined) {
  const socket: Socket = createSocket("udp4");
  const seen: { datagram: Buffer; from: RemoteInfo }[] = [];
  socket.on("message", (datagram, from) => {
    seen.push({ datagram, from });
    const reply = answer(datagram, from);
    if (reply) socket.send(reply, from.port, from.address);
  });
  socket.bind(0, LOCAL);
  await once(socket, "listening");
  t.after(() => void socket.close());
  return { port: socket.address().port, seen };
}

async function freeUdpPort(): Promise<number> {
  const socket = createSocket("udp4");
  socket.bind(0, LOCAL);
  await once(socket, "listening");
  const { port } = socket.address();
  socket.close();
  await once(socket, "close");
  return port;
}

suite("udp", () => {
  test("the payload arrives as it is written, and any answer passes", async (t) => {
    const { port, seen } = await serve(t, () => Buffer.from("pong"));
    passed(await probeLocal('type: udp, query: "ping é"', port), "an answer of 4 bytes");
    passed(await probeLocal('type: udp, query: "hex:00 ff 10"', port), "an answer of 4 bytes");
    passed(await probeLocal("type: udp", port), "an answer of 4 bytes");
    assert.deepEqual(
      seen.map(({ datagram }) => datagram.toString("hex")),
      ["70696e6720c3a9", "00ff10", ""],
    );
  });

  test("what is expected, as text, pattern and bytes", async (t) => {
    const { port } = await serve(t, () => Buffer.from([0x70, 0x6f, 0x6e, 0x67, 0xff]));
    for (const expect of ["pong", "/p.ng/", "hex:67ff"])
      passed(await probeLocal(`type: udp, expect: "${expect}"`, port), "an answer of 5 bytes");
    failed(await probeLocal("type: udp, expect: ping", port), 'an answer that does not contain "ping"');
  });

  test("a closed port fails at once, with and without an expectation", async () => {
    const port = await freeUdpPort();
    failed(await probeLocal("type: udp", port), "recvmsg ECONNREFUSED");
    failed(await probeLocal("type: udp, expect: x", port), "recvmsg ECONNREFUSED");
  });

  test("silence passes without an expectation, and fails with one", async (t) => {
    const { port } = await serve(t, () => undefined);
    passed(await probeLocal("type: udp, timeout: 60ms", port), "no ICMP error");
    failed(
      await probeLocal("type: udp, timeout: 60ms, expect: x", port),
      "timed out after 60 ms (waiting for the answer)",
    );
  });

  test("it comes from the address and port that it is told", async (t) => {
    const { port, seen } = await serve(t, (datagram) => datagram);
    const localPort = await freeUdpPort();
    for (let count = 0; count < 3; count++)
      passed(
        await probeLocal("type: udp", port, { localAddress: "127.0.0.2", localPort }),
        "an answer of 0 bytes",
      );
    assert.deepEqual(
      seen.map(({ from }) => `${from.address}:${from.port}`),
      Array(3).fill(`127.0.0.2:${localPort}`),
    );
    const outcome = await probeLocal("type: udp", port, { localAddress: "192.0.2.1", localPort });
    assert.deepEqual([outcome.verdict, outcome.reason], ["inconclusive", "bind EADDRNOTAVAIL"]);
  });
});

type Reply = Partial<Packet> & { answers?: Answer[] };

/** A DNS server that answers every question so. `rcode` is the four bits of the flags. */
const dns = (t: TestContext, reply: (question: Question) => Reply, rcode = 0) =>
  serve(t, (datagram) => {
    const { id, questions } = decode(datagram);
    return encode({
      type: "response",
      id: id!,
      flags: 0x0180 | rcode,
      questions: questions!,
      ...reply(questions![0]!),
    });
  });

const A: Answer = { type: "A", name: "www.example.com", ttl: 60, data: "192.0.2.7" };

suite("dns", () => {
  test("a query for a name, as a resolver sends it", async (t) => {
    const { port, seen } = await dns(t, () => ({ answers: [A] }));
    passed(await probeLocal("type: dns, query: www.Example.com.", port), "NOERROR");
    passed(await probeLocal("type: dns, query: example.com, recordType: soa", port), "NOERROR");
    const bytes = seen.map(({ datagram }) => datagram.subarray(2).toString("hex"));
    // RFC 1035 §4.1: RD, one question, the name's labels, type, class IN.
    assert.deepEqual(bytes, [
      "01000001000000000000" + "03777777074578616d706c6503636f6d00" + "00010001",
      "01000001000000000000" + "076578616d706c6503636f6d00" + "00060001",
    ]);
  });

  test("the response code", async (t) => {
    const { port } = await dns(t, () => ({}), 3);
    failed(
      await probeLocal("type: dns, query: no.example", port),
      "response code NXDOMAIN, expected NOERROR",
    );
    passed(await probeLocal("type: dns, query: no.example, rcode: [NOERROR, NXDOMAIN]", port), "NXDOMAIN");
    const refusing = await dns(t, () => ({}), 5);
    failed(await probeLocal("type: dns, query: a.example", refusing.port), /^response code REFUSED/);
  });

  test("an expected record", async (t) => {
    const { port } = await dns(t, ({ name }) =>
      name === "txt.example"
        ? { answers: [{ type: "TXT", name, data: ["v=1 ", "ready"] }] }
        : { answers: [A] },
    );
    passed(await probeLocal("type: dns, query: www.example.com, expect: 192.0.2.7", port), "NOERROR");
    passed(
      await probeLocal('type: dns, query: txt.example, recordType: TXT, expect: "1 ready"', port),
      "NOERROR",
    );
    failed(
      await probeLocal("type: dns, query: www.example.com, expect: 192.0.2.8", port),
      'no A record contains "192.0.2.8"',
    );
  });

  test("answers to another query or question, and what is none", async (t) => {
    const stale = await serve(t, (datagram) => {
      const reply = Buffer.from(datagram);
      reply[0]! ^= 0xff;
      return reply;
    });
    failed(await probeLocal("type: dns, query: a.example, timeout: 60ms", stale.port), /^timed out/);
    const other = await dns(t, () => ({ questions: [{ type: "A", name: "b.example" }] }));
    failed(await probeLocal("type: dns, query: a.example", other.port), "an answer to another question");
    const echo = await serve(t, (datagram) => datagram);
    failed(await probeLocal("type: dns, query: a.example", echo.port), "an answer that is malformed");
    const cut = await serve(t, (datagram) => datagram.subarray(0, 11));
    failed(await probeLocal("type: dns, query: a.example", cut.port), "an answer that is malformed");
    failed(await probeLocal("type: dns, query: a.example", await closedPort(t)), "recvmsg ECONNREFUSED");
  });

  test("any bytes after a right id fail or pass, and nothing else", async (t) => {
    let body = new Uint8Array();
    const { port } = await serve(t, (datagram) => Buffer.concat([datagram.subarray(0, 2), body]));
    const header = fc.constantFrom("8180000100010000", "8180000100ffffff", "");
    const name = fc.constantFrom("c00c", "c00d", "0161c00c", "ff", "00", "3f");
    const piece = fc.oneof(
      name,
      fc.uint8Array({ maxLength: 40 }).map((each) => Buffer.from(each).toString("hex")),
    );
    await fc.assert(
      fc.asyncProperty(header, fc.array(piece, { maxLength: 8 }), async (start, pieces) => {
        body = Buffer.from(start + pieces.join(""), "hex");
        const { verdict } = await probeLocal("type: dns, query: a.example, expect: x, timeout: 1s", port);
        assert.equal(verdict, "failed");
      }),
      { numRuns: 300 },
    );
  });
});
