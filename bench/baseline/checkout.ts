// Another commit, ready to be measured: a git worktree of its own in a temporary folder, with this checkout's packages, and built
// by its own set-up. What its set-up finds unchanged it takes from here.

import { execFileSync, spawnSync } from "node:child_process";
import { copyFileSync, cpSync, existsSync, mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, delimiter, join } from "node:path";
import { GuidewayError } from "../../src/errors.ts";
import { packageRoot } from "../../src/lab/paths.ts";
import type { Say } from "../suite.ts";

const BUILD_MS = 900_000;
/** Of build/: large, and of no use there; or made by whoever runs. */
const NOT_COPIED = ["gobgpd", "compile-cache", "lock"];

export interface Checkout {
  path: string;
  /** Full name. */
  commit: string;
  remove(): void;
}

function git(root: string, ...args: string[]): string {
  return execFileSync("git", args, {
    cwd: root,
    encoding: "utf8",
    stdio: ["ignore", "pipe", "pipe"],
  }).trim();
}

/** @returns the full name of a commit. @throws GuidewayError BASELINE */
export function resolveCommit(name: string, root = packageRoot()): string {
  try {
    return git(root, "rev-parse", "--verify", "--quiet", "--end-of-options", `${name}^{commit}`);
  } catch (cause) {
    throw new GuidewayError(
      "BASELINE",
      `${JSON.stringify(name)} is neither a file nor a commit of this checkout: expected a result that --out wrote, ` +
        "or what git rev-parse knows",
      { cause, exitCode: 2 },
    );
  }
}

/**
 * @param root the checkout whose repository, packages and build it has
 * @param parts what the set-up is to make besides, as its argument
 * @throws GuidewayError BASELINE when it cannot be checked out, NOT_BUILT when it cannot be built
 */
export function checkOut(commit: string, parts: readonly string[], say: Say, root = packageRoot()): Checkout {
  const folder = mkdtempSync(join(tmpdir(), "guideway-baseline-"));
  const path = join(folder, "guideway");
  const remove = () => {
    if (existsSync(path)) git(root, "worktree", "remove", "--force", path);
    rmSync(folder, { recursive: true, force: true });
  };
  try {
    say(`checking out ${commit.slice(0, 12)} in ${path}`);
    git(root, "worktree", "add", "--detach", "--quiet", path, commit);
    prepare(root, path, parts, say);
    return { path, commit, remove };
  } catch (error) {
    remove();
    if (error instanceof GuidewayError) throw error;
    throw new GuidewayError("BASELINE", `cannot check out ${commit}: ${(error as Error).message}`, {
      cause: error,
    });
  }
}

function prepare(root: string, path: string, parts: readonly string[], say: Say): void {
  // Both sides run with the same packages: and its set-up must not install others into this checkout.
  symlinkSync(join(root, "node_modules"), join(path, "node_modules"));
  copyFileSync(join(root, "package-lock.json"), join(path, "package-lock.json"));
  cpSync(join(root, "build"), join(path, "build"), {
    recursive: true,
    preserveTimestamps: true,
    filter: (source) => !NOT_COPIED.includes(basename(source)),
  });
  say("building it");
  const { status, error } = spawnSync("sh", [join(path, "scripts", "setup.sh"), ...parts], {
    cwd: path,
    stdio: ["ignore", 2, 2],
    timeout: BUILD_MS,
    env: {
      ...process.env,
      PATH: `${join(root, "node_modules", ".bin")}${delimiter}${process.env.PATH}`,
      // Neither system packages nor the lab's routers are wanted.
      npm_lifecycle_event: "bench",
      CARGO_TARGET_DIR: join(root, "native", "target", "baseline"),
    },
  });
  if (status !== 0) {
    throw new GuidewayError(
      "NOT_BUILT",
      `the baseline cannot be built: ${error?.message ?? `its scripts/setup.sh ended with exit code ${status}`}`,
    );
  }
}
