export function profiled<T>(_name: string, run: () => T): T {
  return run();
}
