// The rules that need no I/O: the fold against the shared vectors, close codes, backoff.
import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { test } from "node:test";

import { EMPTY_VIEW, backoff, closeAction, fold, follow } from "../../aosui/web/aosui-client.js";

const folder = new URL("../vectors/fold/", import.meta.url);
const vectors = readdirSync(folder)
  .filter((name) => name.endsWith(".json"))
  .map((name) => [name, JSON.parse(readFileSync(new URL(name, folder), "utf8"))]);

/** What of `value` the expectation speaks of: objects may have more fields, arrays may not. */
function within(expected, value) {
  if (Array.isArray(expected)) return Array.isArray(value) ? value.map((item, i) => within(expected[i], item)) : value;
  if (expected === null || typeof expected !== "object" || value === null || typeof value !== "object") return value;
  return Object.fromEntries(Object.keys(expected).map((key) => [key, within(expected[key], value[key])]));
}

/** Deeply frozen, so that a fold that changes something in place throws. */
function frozen(value) {
  if (value !== null && typeof value === "object") Object.values(value).forEach(frozen);
  return Object.freeze(value);
}

function walk({ position, frames }) {
  let view = position ? { ...EMPTY_VIEW, epoch: position.epoch, lastSeq: position.since } : EMPTY_VIEW;
  const events = [];
  let resets = 0;
  let resync = false;
  for (const frame of frames) {
    assert(!resync, "frames go on after the client closed");
    const before = frozen(view);
    const step = follow(before, frozen(frame));
    view = step.view;
    if (step.verdict === "reset" && before.epoch !== null) resets++;
    if (step.verdict === "resync") resync = true;
    if (step.verdict === "event" || step.verdict === "history") {
      events.push({ seq: frame.seq, history: step.verdict === "history" });
    }
  }
  const { epoch, lastSeq, snapshot, missing } = view;
  return { epoch, lastSeq, snapshot, missing, events, resets, resync };
}

test("there are vectors", () => assert(vectors.length >= 25));

for (const [file, vector] of vectors) {
  test(`${file}: ${vector.name}`, () => {
    assert.deepEqual(within(vector.expect, walk(vector)), vector.expect);
  });

  test(`${file}, as a fold without a cursor`, () => {
    let snapshot = null;
    for (const frame of vector.frames) {
      if (frame.type === "snapshot" || frame.seq === snapshot?.seq + 1) snapshot = fold(snapshot, frame);
    }
    assert.deepEqual(within(vector.expect.snapshot, snapshot), vector.expect.snapshot);
  });
}

test("what changes nothing gives back the same object", () => {
  const snapshot = frozen({ projectId: "p", epoch: "e", seq: 5, project: { name: "p" }, runs: [], outputTails: {} });
  assert.equal(fold(snapshot, { type: "run.output", seq: 5 }), snapshot);
  assert.equal(fold(snapshot, { type: "pong" }), snapshot);
  assert.equal(fold(snapshot, { type: "synced", seq: 9 }), snapshot);
  assert.equal(fold(null, { type: "run.output", seq: 5 }), null);
});

test("an update of one run leaves the others' objects as they are", () => {
  const runs = [{ runId: "a", state: "running" }, { runId: "b", state: "running" }];
  const snapshot = { projectId: "p", epoch: "e", seq: 5, project: { name: "p" }, runs, outputTails: {} };
  const after = fold(frozen(snapshot), { type: "run.updated", seq: 6, run: { runId: "b", state: "waiting" } });
  assert.equal(after.runs[0], runs[0]);
  assert.deepEqual(after.runs.map((run) => run.state), ["running", "waiting"]);
});

test("an event before the welcome makes the client resume", () => {
  assert.equal(follow(EMPTY_VIEW, { type: "run.output", seq: 1 }).verdict, "resync");
});

test("close codes decide by themselves", () => {
  const expected = {
    reconnect: [1001, 1002, 1005, 1006, 1011, 1012, 2999, 3000, 4000, 4004, 4007, 4008, 4499],
    closed: [1000, 1009, 4500, 4502, 4503, 4504, 4505, 4506, 4507, 4999],
    idle: [4510],
    replaced: [4508],
    signedOut: [4501],
  };
  for (const [action, codes] of Object.entries(expected)) {
    for (const code of codes) assert.equal(closeAction(code), action, `${code}`);
  }
});

test("backoff grows and stays within 4 s", () => {
  assert.deepEqual([0, 1, 2, 3, 4, 40].map((n) => backoff(n, () => 0)), [500, 500, 500, 500, 500, 500]);
  assert.deepEqual([0, 1, 2, 3, 4, 4000].map((n) => backoff(n, () => 0.999999).toFixed(0)), ["1000", "1500", "2500", "4000", "4000", "4000"]);
});
