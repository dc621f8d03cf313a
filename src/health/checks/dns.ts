// dns: a query over UDP (RFC 1035 §4), as a stub resolver sends it.
import { randomInt } from "node:crypto";
import {
  type Answer,
  type DecodedPacket,
  decode,
  encode,
  RECURSION_DESIRED,
  type RecordType,
} from "dns-packet";
import { compilePattern } from "../../config/expectation.ts";
import type { Question } from "../../config/health.ts";
import type { Attempt } from "../attempt.ts";
import type { ProbeTarget } from "../target.ts";
import { send } from "./datagram.ts";

export function prepareDns(target: ProbeTarget<Extract<Question, { type: "dns" }>>) {
  const { query, recordType, rcode, expect } = target.check;
  const name = query === "." ? "." : query.replace(/\.$/, "");
  const type = recordType as RecordType;
  const matches = expect === undefined ? undefined : compilePattern(expect);
  return (attempt: Attempt): void => {
    const id = randomInt(65_536);
    const packet = encode({ type: "query", id, flags: RECURSION_DESIRED, questions: [{ type, name }] });
    send(target, attempt, packet, (datagram) => {
      // An answer to an earlier query.
      if (datagram.length < 2 || datagram.readUInt16BE(0) !== id) return;
      const answer = parse(datagram);
      if (!answer) attempt.fail("an answer that is malformed");
      else if (answer.questions?.[0]?.name.toLowerCase() !== name.toLowerCase())
        attempt.fail("an answer to another question");
      else if (!rcode.includes(answer.rcode))
        attempt.fail(`response code ${answer.rcode}, expected ${rcode.join(" or ")}`);
      else if (matches && !answer.answers?.some((each) => matches(dataBytes(each))))
        attempt.fail(`no ${recordType} record contains ${JSON.stringify(expect)}`);
      else attempt.pass(answer.rcode);
    });
  };
}

function parse(datagram: Buffer): (DecodedPacket & { rcode: string }) | undefined {
  try {
    const packet = decode(datagram) as DecodedPacket & { rcode: string };
    return packet.type === "response" ? packet : undefined;
  } catch {
    return undefined;
  }
}

/** The data of a record as text: an address, a name, the text of a TXT record, JSON for those of several fields. */
function dataBytes(answer: Answer): Uint8Array {
  const data: unknown = (answer as { data?: unknown }).data;
  if (typeof data === "string") return Buffer.from(data);
  if (data instanceof Uint8Array) return data;
  if (Array.isArray(data))
    return Buffer.concat(data.map((part: string | Buffer) => Buffer.from(part as string)));
  return Buffer.from(JSON.stringify(data ?? ""));
}
