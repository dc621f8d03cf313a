// Asks HTTP servers one after the other who they are: `node ask.ts '[{"host": …, "port": …, "localAddress": …, "localPort": …}, …]'`.
// One JSON array on stdout: the names of the answering backends, or the codes of the errors. Each connection ends with a reset,
// so that its local port is free at once.

import { connect } from "node:net";
import { reset } from "../../src/health/checks/connection.ts";

interface Question {
  host: string;
  port: number;
  localAddress?: string;
  localPort?: number;
}

const TIMEOUT_MS = 1000;

function ask(question: Question): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect(question);
    let answer = "";
    const done = (result: string) => {
      clearTimeout(timer);
      reset(socket);
      resolve(result);
    };
    const timer = setTimeout(() => done("TIMEOUT"), TIMEOUT_MS);
    socket.on("connect", () => socket.write("GET / HTTP/1.1\r\nhost: vip\r\n\r\n"));
    socket.on("data", (bytes) => {
      answer += bytes;
      const name = /^x-backend: (\S+)/im.exec(answer)?.[1];
      if (name) done(name);
    });
    socket.on("error", (error: NodeJS.ErrnoException) => done(error.code ?? error.message));
    socket.on("end", () => done("END"));
  });
}

const answers: string[] = [];
for (const question of JSON.parse(process.argv[2]!) as Question[]) answers.push(await ask(question));
process.stdout.write(`${JSON.stringify(answers)}\n`);
