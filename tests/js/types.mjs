// Checks the client's JSDoc types and that aosui-client.d.ts is what they say; `--write` makes it so.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const tsc = createRequire(import.meta.url).resolve("typescript/bin/tsc");
const here = fileURLToPath(new URL(".", import.meta.url));
const committed = fileURLToPath(new URL("../../aosui/web/aosui-client.d.ts", import.meta.url));

/** @param {...string} args */
function run(...args) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [tsc, ...args], { cwd: here, encoding: "utf8" });
  assert.equal(status, 0, stdout + stderr);
}

const folder = mkdtempSync(join(tmpdir(), "aosui-types-"));
try {
  // One call checks and declares.
  run("-p", "tsconfig.json", "--noEmit", "false", "--declaration", "--emitDeclarationOnly", "--outDir", folder);
  const made = readFileSync(join(folder, "aosui-client.d.ts"), "utf8");
  if (process.argv.includes("--write")) writeFileSync(committed, made);
  assert.equal(readFileSync(committed, "utf8"), made, "aosui-client.d.ts is not what the JSDoc says: npm run types:write");
  // And somebody who uses it from TypeScript is understood.
  run("--noEmit", "--strict", "--target", "ES2022", "--module", "ES2022", "--moduleResolution", "Bundler", "--lib", "ES2022,DOM", "usage.ts");
  // The page is held to the same rules.
  run("-p", "page/tsconfig.json");
} finally {
  rmSync(folder, { recursive: true });
}
