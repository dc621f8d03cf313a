// Against the server of @grpc/grpc-js with messages by protobufjs: nothing of the check's own encoding is in it.
import assert from "node:assert/strict";
import { createServer, type ServerHttp2Stream } from "node:http2";
import { suite, type TestContext, test } from "node:test";
import {
  loadPackageDefinition,
  Server,
  ServerCredentials,
  type ServerUnaryCall,
  type sendUnaryData,
  status,
} from "@grpc/grpc-js";
import { fromJSON } from "@grpc/proto-loader";
import { certificate } from "./certificate.ts";
import { answering, closedPort, failed, Listener, passed, probeLocal } from "./checks.ts";

/** grpc/health/v1/health.proto. */
const definition = fromJSON(
  {
    nested: {
      "grpc.health.v1": {
        nested: {
          HealthCheckRequest: { fields: { service: { type: "string", id: 1 } } },
          HealthCheckResponse: {
            fields: { status: { type: "ServingStatus", id: 1 } },
            nested: {
              ServingStatus: { values: { UNKNOWN: 0, SERVING: 1, NOT_SERVING: 2, SERVICE_UNKNOWN: 3 } },
            },
          },
          Health: {
            methods: { Check: { requestType: "HealthCheckRequest", responseType: "HealthCheckResponse" } },
          },
        },
      },
    },
  } as never,
  { defaults: true, enums: String },
);

type Health = { grpc: { health: { v1: { Health: { service: never } } } } };

async function serve(
  t: TestContext,
  answers: Record<string, string>,
  credentials = ServerCredentials.createInsecure(),
) {
  const server = new Server();
  const asked: string[] = [];
  const { service } = (loadPackageDefinition(definition) as unknown as Health).grpc.health.v1.Health;
  server.addService(service, {
    Check({ request }: ServerUnaryCall<{ service: string }, unknown>, reply: sendUnaryData<unknown>) {
      asked.push(request.service);
      const answer = answers[request.service];
      if (answer === undefined) reply({ code: status.NOT_FOUND, details: "who?" });
      else reply(null, { status: answer });
    },
  });
  const port = await new Promise<number>((resolve, reject) =>
    server.bindAsync("127.0.0.1:0", credentials, (error, bound) => (error ? reject(error) : resolve(bound))),
  );
  t.after(() => server.forceShutdown());
  return { port, asked };
}

suite("grpc", () => {
  test("SERVING passes, of the server and of a service", async (t) => {
    const long = `svc.${"x".repeat(251)}`;
    const { port, asked } = await serve(t, { "": "SERVING", "my.Service": "SERVING", [long]: "SERVING" });
    passed(await probeLocal("type: grpc", port), "SERVING");
    passed(await probeLocal("type: grpc, service: my.Service", port), "SERVING");
    passed(await probeLocal(`type: grpc, service: ${long}`, port), "SERVING");
    assert.deepEqual(asked, ["", "my.Service", long]);
  });

  test("every other status fails, and so does an error", async (t) => {
    const { port } = await serve(t, { "": "NOT_SERVING", a: "UNKNOWN", b: "SERVICE_UNKNOWN" });
    failed(await probeLocal("type: grpc", port), "NOT_SERVING, expected SERVING");
    failed(await probeLocal("type: grpc, service: a", port), "UNKNOWN, expected SERVING");
    failed(await probeLocal("type: grpc, service: b", port), "SERVICE_UNKNOWN, expected SERVING");
    failed(await probeLocal("type: grpc, service: c", port), "grpc-status 5 (who?), expected 0");
  });

  test("over TLS, verified and not", async (t) => {
    const { key, cert, file } = certificate(t, ["IP:127.0.0.1"]);
    const pair = { private_key: Buffer.from(key), cert_chain: Buffer.from(cert) };
    const { port } = await serve(t, { "": "SERVING" }, ServerCredentials.createSsl(null, [pair]));
    passed(await probeLocal(`type: grpc, tls: { ca: ${file} }`, port), "SERVING");
    passed(await probeLocal("type: grpc, tls: { verify: false }", port), "SERVING");
    failed(await probeLocal("type: grpc, tls: {}", port), /^TLS: /);
    failed(await probeLocal("type: grpc", port), /./);
  });

  test("it comes from the address and port that it is told, again and again", async (t) => {
    const from: string[] = [];
    const server = createServer((request, response) => {
      from.push(`${request.socket.remoteAddress}:${request.socket.remotePort}`);
      response.writeHead(404).end();
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    t.after(() => server.close());
    const { port } = server.address() as { port: number };
    const end = { localAddress: "127.0.0.2", localPort: await closedPort(t) };
    for (let count = 0; count < 3; count++)
      failed(await probeLocal("type: grpc", port, end), "HTTP status 404, expected 200");
    assert.deepEqual(from, Array(3).fill(`127.0.0.2:${end.localPort}`));
  });

  test("a closed port, another protocol, silence, a reset and a flood fail", async (t) => {
    failed(await probeLocal("type: grpc", await closedPort(t)), "connect ECONNREFUSED");
    const http1 = await answering(t, "HTTP/1.1 400 Bad Request\r\n\r\n");
    failed(await probeLocal("type: grpc", http1.port), /./);
    const silent = await Listener.start(t);
    failed(
      await probeLocal("type: grpc, timeout: 100ms", silent.port),
      "timed out after 100 ms (waiting for the response)",
    );
    await silent.idle();
    const reset = await Listener.start(t, (socket) => socket.once("data", () => socket.resetAndDestroy()));
    failed(await probeLocal("type: grpc", reset.port), /./);
    const flood = createServer();
    flood.on("sessionError", () => {});
    flood.on("stream", (stream: ServerHttp2Stream) => {
      stream.on("error", () => {});
      stream.respond({ ":status": 200, "content-type": "application/grpc" });
      stream.write(Buffer.alloc(1 << 16));
    });
    await new Promise<void>((resolve) => flood.listen(0, "127.0.0.1", resolve));
    t.after(() => flood.close());
    failed(
      await probeLocal("type: grpc", (flood.address() as { port: number }).port),
      "a response of more than 1024 bytes",
    );
  });

  for (const [what, frame, reason] of [
    ["a compressed message", "0100000002" + "0801", "a response that is malformed"],
    ["a length that is not its own", "0000000009" + "0801", "a response that is malformed"],
    ["an endless varint", "0000000006" + "08ffffffffff", "a response that is malformed"],
    ["a field beyond the end", "0000000002" + "12ff", "a response that is malformed"],
    ["no message", "", "a response that is malformed"],
    ["an empty message", "0000000000", "UNKNOWN, expected SERVING"],
    ["an unknown status", "0000000002" + "0809", "9, expected SERVING"],
  ] as const)
    test(`${what} fails`, async (t) => {
      const server = createServer();
      server.on("stream", (stream: ServerHttp2Stream) => {
        stream.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: true });
        stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0" }));
        stream.end(Buffer.from(frame, "hex"));
      });
      await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
      t.after(() => server.close());
      failed(await probeLocal("type: grpc", (server.address() as { port: number }).port), reason);
    });
});
