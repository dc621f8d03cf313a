// udp: a datagram, and what comes back. ICMP "unreachable" fails; whether silence does depends on `expect`.
import { compilePattern, payloadBytes } from "../../config/expectation.ts";
import type { Question } from "../../config/health.ts";
import type { Attempt } from "../attempt.ts";
import type { ProbeTarget } from "../target.ts";
import { send } from "./datagram.ts";

export function prepareUdp(target: ProbeTarget<Extract<Question, { type: "udp" }>>) {
  const { query, expect } = target.check;
  const payload = payloadBytes(query);
  const matches = expect === undefined ? undefined : compilePattern(expect);
  return (attempt: Attempt): void => {
    if (!matches) attempt.onTimeout = () => attempt.pass("no ICMP error");
    send(target, attempt, payload, (datagram) => {
      if (!matches || matches(datagram)) attempt.pass(`an answer of ${datagram.length} bytes`);
      else attempt.fail(`an answer that does not contain ${JSON.stringify(expect)}`);
    });
  };
}
