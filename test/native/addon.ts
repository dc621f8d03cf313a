// The addon as the tests load it: by the package's own name for it, like the program does.
import { createRequire } from "node:module";

export type Native = typeof import("../../build/native.d.ts");

export const native = createRequire(import.meta.url)("#native") as Native;
