// A service manager's end of NOTIFY_SOCKET. Node has no unix datagram sockets, but perl is always there (perl-base is
// essential).

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";

/** Binds to a path, or to an abstract name after `@`, and writes what arrives, a line of hex digits for each datagram. All may send. */
const RECEIVE = `
use Socket;
$| = 1;
my ($address) = @ARGV;
socket(my $s, AF_UNIX, SOCK_DGRAM, 0) or die $!;
bind($s, pack_sockaddr_un($address =~ s/^@/\\0/r)) or die $!;
chmod 0666, $address;
print "bound\\n";
while (defined recv($s, my $message, 65536, 0)) { print unpack("H*", $message), "\\n" }
`;
const WAIT_MS = 20_000;

export class Receiver {
  /** Everything that arrived, whole datagrams. */
  readonly messages: string[] = [];
  readonly address: string;
  readonly #child: ChildProcess;
  #arrived = Promise.withResolvers<void>();

  private constructor(address: string, child: ChildProcess) {
    this.address = address;
    this.#child = child;
  }

  /** @param address a path where nothing is yet, or `@` and an abstract name, in this process's network namespace */
  static async listen(address: string): Promise<Receiver> {
    const child = spawn("perl", ["-e", RECEIVE, address], { stdio: ["ignore", "pipe", "inherit"] });
    process.once("exit", () => child.kill("SIGKILL"));
    const receiver = new Receiver(address, child);
    const lines = createInterface({ input: child.stdout! });
    const [first] = (await Promise.race([once(lines, "line"), once(child, "exit")])) as [unknown];
    if (first !== "bound") throw new Error(`perl ended with ${String(first)}`);
    lines.on("line", (line) => {
      receiver.messages.push(Buffer.from(line, "hex").toString());
      receiver.#arrived.resolve();
      receiver.#arrived = Promise.withResolvers();
    });
    return receiver;
  }

  /** The first message from number `from` on that fits. @throws Error when none came in time, with those that did */
  async find(fits: RegExp, from = 0): Promise<string> {
    const late = AbortSignal.timeout(WAIT_MS);
    const end = new Promise((resolve) => late.addEventListener("abort", resolve, { once: true }));
    for (;;) {
      const found = this.messages.slice(from).find((message) => fits.test(message));
      if (found !== undefined) return found;
      if (late.aborted)
        throw new Error(`no message like ${fits} within ${WAIT_MS} ms, but ${JSON.stringify(this.messages)}`);
      await Promise.race([this.#arrived.promise, end]);
    }
  }

  async close(): Promise<void> {
    const ended = once(this.#child, "exit");
    if (this.#child.kill("SIGKILL")) await ended;
  }
}
