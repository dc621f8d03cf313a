// The prober's thread, which dies or gets stuck when it is told to: for the tests of what follows.
import "../../src/health/prober.ts";

const channel = new BroadcastChannel("break the prober");
channel.onmessage = (event) => {
  if ((event as { data: unknown }).data === "stuck")
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
  throw new Error("broken by a test");
};
(channel as unknown as { unref(): void }).unref();
