// Sizes of the randomised tests: seeded and small in `npm test`, full in `npm run test:long`.

const long = process.env.GUIDEWAY_TEST === "long";

export const runs = {
  seed: 20161,
  /** Configurations, and most packets of each. */
  model: long ? { cases: 2000, packets: 400 } : { cases: 60, packets: 200 },
  /** Steps of each sequence, and packets through threads. */
  frames: long ? { steps: 100_000, packets: 1_000_000 } : { steps: 10_000, packets: 20_000 },
  /** Packets at wrong workers. */
  handoff: long ? { packets: 200_000 } : { packets: 4000 },
};
