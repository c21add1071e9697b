import assert from "node:assert/strict";
import { test } from "node:test";

import { glance, newestFirst } from "../../../aosui/web/page/glance.js";

const run = (state, more = {}) => ({
  runId: more.runId ?? state,
  state,
  questions: [],
  createdAt: "2026-01-01T00:00:00.000Z",
  endedAt: ["succeeded", "failed", "cancelled", "interrupted"].includes(state) ? "2026-01-01T00:01:00.000Z" : null,
  firstSeq: 1,
  ...more,
});
const question = (questionId, askedAt = "2026-01-01T00:00:30.000Z") => ({ questionId, askedAt, prompts: [] });
const LOOKED = "2026-01-01T00:01:00.000Z";

/** State, unread and active of some runs. */
const brief = (...args) => {
  const { state, unread, active } = glance(...args);
  return [state, unread, active];
};

test("what is most urgent is the state", () => {
  assert.deepEqual(brief([], "0", null), ["idle", 0, 0]);
  assert.deepEqual(brief([run("running")], "0", null), ["running", 0, 1]);
  assert.deepEqual(brief([run("succeeded")], "0", null), ["done", 1, 0]);
  assert.deepEqual(brief([run("succeeded"), run("running")], "0", null), ["running", 1, 1]);
  assert.deepEqual(brief([run("failed"), run("running")], "0", null), ["failed", 1, 1]);
  assert.deepEqual(brief([run("interrupted")], "0", null), ["failed", 1, 0]);
  assert.deepEqual(brief([run("cancelled")], "0", null), ["done", 1, 0]);
  assert.deepEqual(brief([run("waiting", { questions: [question("q")] }), run("failed")], "0", null), ["waiting", 2, 1]);
});

test("what was looked at is no news", () => {
  assert.deepEqual(brief([run("failed"), run("succeeded")], LOOKED, null), ["idle", 0, 0]);
});

test("without runs the list of projects says it", () => {
  assert.deepEqual(brief(null, "", { active: 2, queued: 0, waiting: 0 }), ["running", 0, 2]);
  assert.deepEqual(brief(null, "", { active: 2, queued: 0, waiting: 1 }), ["waiting", 1, 2]);
  assert.deepEqual(brief(null, "", null), ["idle", 0, 0]);
});

test("questions are in the order in which they were asked", () => {
  const runs = [
    run("waiting", { runId: "b", questions: [question("q2", "2026-01-01T00:00:40.000Z")] }),
    run("waiting", { runId: "a", questions: [question("q1")] }),
  ];
  assert.deepEqual(glance(runs, "0", null).questions.map((each) => each.question.questionId), ["q1", "q2"]);
});

test("the newest run comes first, by its first event where the clock cannot tell", () => {
  const runs = [run("running", { runId: "a", firstSeq: 1 }), run("running", { runId: "b", firstSeq: 9 }), run("running", { runId: "c", createdAt: "2026-01-02T00:00:00.000Z" })];
  assert.deepEqual(newestFirst(runs).map(({ runId }) => runId), ["c", "b", "a"]);
});
