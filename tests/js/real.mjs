// A real server in a process of its own, a TCP line to it that can be cut and muted, and waiting.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

export const TOKEN = "a-token-for-tests-only";
const SECONDS = 30;

const root = fileURLToPath(new URL("../../", import.meta.url));
const python = process.env.AOSUI_PYTHON ?? (existsSync(`${root}.venv/bin/python`) ? `${root}.venv/bin/python` : "python3");

/** A running server on the projects `names`, each a directory of its own. */
export class Site {
  static async start(names, { log = "memory", dormant = 30 } = {}) {
    const site = new Site();
    site.folder = mkdtempSync(join(tmpdir(), "aosui-js-"));
    site.folders = names.map((name) => join(site.folder, name));
    site.folders.forEach((folder) => mkdirSync(folder));
    site.log = log === "sqlite" ? join(site.folder, "log.sqlite") : log;
    site.dormant = dormant;
    site.port = 0;
    await site.up();
    return site;
  }

  async up() {
    const args = [join(root, "tests/js/serve.py"), this.port, this.log, this.dormant, ...this.folders];
    this.child = spawn(python, args, { cwd: root, stdio: ["pipe", "pipe", "inherit"] });
    this.ended = once(this.child, "exit");
    const lines = createInterface(this.child.stdout);
    const gone = this.ended.then(([code]) => {
      throw new Error(`the server ended with ${code}`);
    });
    gone.catch(() => {});
    const [line] = await Promise.race([once(lines, "line"), gone]);
    const { port, projects } = JSON.parse(line);
    this.port = port;
    this.projects = projects;
  }

  get base() {
    return `http://127.0.0.1:${this.port}/`;
  }

  async down(signal = "SIGTERM") {
    this.child.kill(signal);
    await this.ended;
  }

  async stop() {
    if (this.child.exitCode === null && this.child.signalCode === null) await this.down();
    rmSync(this.folder, { recursive: true });
  }
}

/** A line to a server: `cut` breaks it without a word, `mute` loses what the server says. */
export class Line {
  #pairs = new Set();
  mute = false;
  /** Bytes that the server may still say before the line breaks. */
  left = Infinity;
  made = 0;

  static async to(site) {
    const line = new Line();
    line.server = createServer((near) => line.#join(near, site.port));
    line.server.listen(0, "127.0.0.1");
    await once(line.server, "listening");
    line.base = `http://127.0.0.1:${line.server.address().port}/`;
    return line;
  }

  #join(near, port) {
    this.made++;
    const far = connect(port, "127.0.0.1");
    const pair = [near, far];
    this.#pairs.add(pair);
    for (const end of pair) {
      end.on("error", () => {});
      end.on("close", () => {
        this.#pairs.delete(pair);
        pair.forEach((other) => other.destroy());
      });
    }
    near.on("data", (data) => far.write(data));
    far.on("data", (data) => {
      if (this.mute) return;
      near.write(data.subarray(0, this.left));
      this.left -= data.length;
      if (this.left <= 0) {
        this.left = Infinity;
        near.end(() => this.cut());
      }
    });
  }

  cut() {
    for (const pair of this.#pairs) pair.forEach((end) => end.destroy());
  }

  async close() {
    this.cut();
    this.server.close();
    await once(this.server, "close");
  }
}

/** Wait for the state that `condition` tells of; looked at after each event of `target`. */
export function until(target, condition, what = String(condition)) {
  const types = ["state", "snapshot", "event", "reset", "gap", "projects"];
  return new Promise((resolve, reject) => {
    const look = () => {
      let value;
      try {
        value = condition();
      } catch (error) {
        done(() => reject(error));
        return;
      }
      if (value) done(() => resolve(value));
    };
    const timer = setTimeout(() => done(() => reject(new Error(`${SECONDS} s went by without: ${what}`))), SECONDS * 1000);
    const done = (then) => {
      clearTimeout(timer);
      for (const type of types) target.removeEventListener(type, look);
      then();
    };
    for (const type of types) target.addEventListener(type, look);
    look();
  });
}

/** A clock that runs `factor` times as fast, so that a watchdog bites within a test's patience. */
export const fastClock = (factor) => ({
  now: () => performance.timeOrigin + performance.now() * factor,
  setTimeout: (callback, ms) => setTimeout(callback, ms / factor),
  clearTimeout: (timer) => clearTimeout(timer),
});
