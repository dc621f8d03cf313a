// Sizes of the randomised tests: seeded and small in `npm test`, full in `npm run test:long`.

const long = process.env.GUIDEWAY_TEST === "long";

export const runs = {
  seed: 20161,
  /** Configurations, and most packets of each. */
  model: long ? { cases: 2000, packets: 400 } : { cases: 60, packets: 200 },
  /** Steps of each sequence, and packets through threads. */
  frames: long ? { steps: 100_000, packets: 1_000_000 } : { steps: 10_000, packets: 20_000 },
  /** Packets in few lines of the connection table. */
  lines: long ? { packets: 1_000_000 } : { packets: 20_000 },
  /** Flows that stay, and how often each has a packet in each test. */
  flows: long ? { flows: 30_000, passes: 50 } : { flows: 3000, passes: 3 },
  /** Tables that are swapped under load. */
  publication: long ? { tables: 20_000 } : { tables: 1000 },
  /** Packets of each mode and families that Scapy looks at. */
  scapy: long ? { packets: 5000 } : { packets: 200 },
  /** Packets of any bytes. */
  hostile: long ? { packets: 1_000_000 } : { packets: 20_000 },
  /** Configurations that follow each other on a running machine. */
  reload: long ? { reloads: 500 } : { reloads: 50 },
  /** Sequences of configurations. */
  directory: long ? { cases: 1000 } : { cases: 40 },
  /** Threads of workers that die. */
  deaths: long ? { deaths: 1000 } : { deaths: 50 },
  /** Changes of the number of workers. */
  resize: long ? { resizes: 1000 } : { resizes: 50 },
  /** The same on a machine in a lab. */
  workers: long ? { changes: 200 } : { changes: 12 },
  /** Headers and tables of connections that are damaged, and processes that are killed while they write. */
  persistence: long ? { headers: 20_000, tables: 500, kills: 200 } : { headers: 500, tables: 20, kills: 6 },
  /** Packets at wrong workers. */
  handoff: long ? { packets: 200_000 } : { packets: 4000 },
};
