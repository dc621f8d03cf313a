// However a response is cut into segments, the same is read from it; and nothing makes the reader throw or hoard.
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import fc from "fast-check";
import { Response } from "../../src/health/checks/response.ts";

function read(bytes: Buffer, cuts: number[], wantsBody = true) {
  const response = new Response(wantsBody);
  let from = 0;
  for (const cut of [
    ...cuts.map((share) => Math.floor(share * bytes.length)).sort((a, b) => a - b),
    bytes.length,
  ]) {
    response.push(bytes.subarray(from, cut));
    from = cut;
  }
  response.end();
  const { status, problem, complete } = response;
  return { status, problem, complete, body: Buffer.from(response.body).toString("latin1") };
}

const cuts = fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { maxLength: 12 });
const text = fc
  .string({ unit: "binary", maxLength: 200 })
  .map((each) => Buffer.from(each, "utf8").toString("latin1"));

/** Independent of the reader: written from RFC 9112 §7.1. */
const chunked = (parts: string[]) =>
  `${parts
    .filter((part) => part !== "")
    .map((part) => `${part.length.toString(16)};x=y\r\n${part}\r\n`)
    .join("")}0\r\n\r\n`;

suite("responses in pieces", () => {
  test("with a length, in chunks and until the end", () => {
    fc.assert(
      fc.property(
        fc.array(text, { maxLength: 5 }),
        cuts,
        fc.integer({ min: 200, max: 203 }),
        (parts, at, status) => {
          const body = parts.join("");
          const head = `HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 ${status} Fine\r\nServer: x\r\n`;
          for (const all of [
            `${head}Content-Length: ${body.length}\r\n\r\n${body}`,
            `${head}Transfer-Encoding: chunked\r\n\r\n${chunked(parts)}`,
            `${head}\r\n${body}`,
          ])
            assert.deepEqual(read(Buffer.from(all, "latin1"), at), {
              status,
              problem: undefined,
              complete: true,
              body,
            });
        },
      ),
      { numRuns: 500 },
    );
  });

  test("any bytes give a status or a problem, and at most 64 KiB", () => {
    const pieces = fc.array(
      fc.oneof(
        fc.constantFrom(
          "HTTP/1.1 200 OK\r\n",
          "\r\n\r\n",
          "\r\n",
          "Transfer-Encoding: chunked\r\n",
          "Content-Length: 9\r\n",
          "ffff\r\n",
          "HTTP/1.1 100 C\r\n\r\n",
          "a".repeat(20_000),
        ),
        text,
      ),
      { maxLength: 12 },
    );
    fc.assert(
      fc.property(pieces, cuts, fc.boolean(), (parts, at, wantsBody) => {
        const bytes = Buffer.from(parts.join(""), "latin1");
        const { status, problem, body } = read(bytes, at, wantsBody);
        assert.ok(status >= 200 || problem !== undefined || status === 101);
        assert.ok(body.length <= 65_536);
        assert.deepEqual(read(bytes, [], wantsBody).status, status, "cuts change nothing");
      }),
      { numRuns: 500 },
    );
  });
});
