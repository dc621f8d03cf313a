// Sizes of the randomised tests: seeded and small in `npm test`, full in `npm run test:long`.

const long = process.env["GUIDEWAY_TEST"] === "long";

export const runs = {
  seed: 20161,
  /** Configurations, and most packets of each. */
  model: long ? { cases: 2000, packets: 400 } : { cases: 60, packets: 200 },
};
