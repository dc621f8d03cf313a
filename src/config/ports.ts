// Ports of a VIP: one, a range, or every one.

/** A port, an inclusive range of them (`8000-8099`), or 0 for every port. */
export type Ports = number | `${number}-${number}`;

export interface PortRange {
  first: number;
  /** Inclusive. */
  last: number;
}

/** The port that stands for every port, where one has to be chosen: any would do. */
const SAMPLE_OF_EVERY_PORT = 80;

/** Which ports these are. Every port includes 0, which is a number that packets can have like any other. */
export function portRange(ports: Ports): PortRange {
  if (ports === 0) return { first: 0, last: 65535 };
  if (typeof ports === "number") return { first: ports, last: ports };
  const [first = 0, last = 0] = ports.split("-").map(Number);
  return { first, last };
}

export function isSinglePort(ports: Ports): ports is number {
  return typeof ports === "number" && ports !== 0;
}

export function containsPort(ports: Ports, port: number): boolean {
  const { first, last } = portRange(ports);
  return first <= port && port <= last;
}

/** All of these, one by one. */
export function singlePorts(ports: Ports): number[] {
  const { first, last } = portRange(ports);
  return Array.from({ length: last - first + 1 }, (_, i) => first + i);
}

/** How many those are. */
export function singlePortCount(ports: Ports): number {
  const { first, last } = portRange(ports);
  return last - first + 1;
}

/** Breadth of what is written: of a port, a range and every port the earlier one takes a packet. */
export function breadth(ports: Ports): 0 | 1 | 2 {
  if (ports === 0) return 2;
  return typeof ports === "number" ? 0 : 1;
}

/** One port out of these: the first; of every port a common one. */
export function samplePort(ports: Ports): number {
  return ports === 0 ? SAMPLE_OF_EVERY_PORT : portRange(ports).first;
}

/** Ports spread evenly over these, the first and the last among them. */
export function samplePorts(ports: Ports, count: number): number[] {
  if (count === 1) return [samplePort(ports)];
  const { first, last } = portRange(ports);
  return Array.from({ length: count }, (_, i) => first + Math.round(((last - first) * i) / (count - 1)));
}

/** For people. */
export function portsText(ports: Ports): string {
  return ports === 0 ? "any" : `${ports}`;
}
