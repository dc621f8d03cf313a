// Who may ask what of the admin API.
//
//   way in                    reads            changes   why it can be trusted
//   unix socket               yes              yes       the file belongs to the machine's operator alone
//   TCP with a token          with the token   with it   whoever has the token is an operator
//   TCP on loopback without   yes              no        every user of this machine can connect
//
// Web pages are users of this machine too, by their browser. A page of another site can send requests here but not
// read answers; what is left is refused: requests by a name that was made to resolve to loopback (DNS rebinding:
// Host), and changes in a form's content type, which browsers send without asking first (CSRF: Content-Type).

import { isIP } from "node:net";
import { isLoopback } from "../config/listen-address.ts";
import type { Token } from "./token.ts";

/** The way that a request came. */
export type Entrance = { kind: "socket" } | { kind: "tcp"; loopback: boolean; token: Token | undefined };

export interface Asking {
  method: string;
  host: string | undefined;
  authorization: string | undefined;
  contentType: string | undefined;
  /** Whether everybody may ask this: `/healthz`, `/readyz`. */
  open: boolean;
}

export type Answer =
  /** `trusted`: may hear details. */
  | { allowed: true; trusted: boolean }
  | { allowed: false; status: 401 | 403 | 415; code: string; message: string };

const refused = (status: 401 | 403 | 415, code: string, message: string): Answer => ({
  allowed: false,
  status,
  code,
  message,
});

/** Whether a Host header names this machine's loopback; any port, for those who forward one. */
export function namesLoopback(host: string | undefined): boolean {
  const [, bracketed, plain] = /^(?:\[([^\]]+)\]|([^:[\]]+))(?::\d+)?$/.exec(host ?? "") ?? [];
  const name = bracketed ?? plain;
  if (name === undefined) return false;
  return isIP(name) !== 0 ? isLoopback(name) : name.toLowerCase() === "localhost";
}

function isJson(contentType = ""): boolean {
  return /^application\/json *(;|$)/i.test(contentType);
}

export function admit(entrance: Entrance, asking: Asking): Answer {
  const { method, open } = asking;
  const reads = method === "GET" || method === "HEAD";
  let trusted = true;
  if (entrance.kind === "tcp") {
    const { loopback, token } = entrance;
    if (loopback && !namesLoopback(asking.host))
      return refused(
        403,
        "HOST",
        "the Host header names another machine, expected localhost or a loopback address",
      );
    trusted = token?.admits(asking.authorization) ?? true;
    if (!trusted && !open)
      return refused(401, "TOKEN", 'expected "Authorization: Bearer …" with the token of admin.token.file');
    if (!reads && token === undefined)
      return refused(
        403,
        "READ_ONLY",
        "over TCP without a token nothing can be changed: use the unix socket (admin.socket), or set admin.token",
      );
  }
  if (!reads && !isJson(asking.contentType))
    return refused(415, "CONTENT_TYPE", "expected content-type: application/json");
  return { allowed: true, trusted };
}
