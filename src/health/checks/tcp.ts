// tcp: the port accepts a connection.
import type { Attempt } from "../attempt.ts";
import type { ProbeTarget } from "../target.ts";
import { open } from "./connection.ts";

export function prepareTcp(target: ProbeTarget) {
  return (attempt: Attempt): void => {
    open(target, attempt).once("connect", () => attempt.pass("connected"));
  };
}
