// Where the backends of `bench health` are, and what is said to the process that plays them.

/** One port for all: the addresses differ. */
const PORT = 18_999;

/** 127.1.0.1 and on. */
export function locate(index: number): { host: string; port: number } {
  return {
    host: `127.${1 + Math.floor(index / 62_500)}.${Math.floor(index / 250) % 250}.${1 + (index % 250)}`,
    port: PORT,
  };
}

export function isHttp(index: number): boolean {
  return index % 2 === 1;
}

export type ListenersOrder = { start: number } | { stop: number[] };
export type ListenersAnswer = { started: true } | { stopped: number[] } | { failed: string };
