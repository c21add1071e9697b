import assert from "node:assert/strict";
import { test } from "node:test";

import { lineText } from "../../../aosui/web/page/lines.js";
import { RunOutput } from "../../../aosui/web/page/run-output.js";

const PROJECT = "site";
const output = (seq, text, runId = "run") => ({ type: "run.output", projectId: PROJECT, seq, ts: "2026-01-01T00:00:00.000Z", runId, stream: "stdout", text });

/** An API that keeps `events` and answers as the server does, `size` events a page. */
class Kept {
  constructor(events, { size = 2, firstSeq = 1 } = {}) {
    Object.assign(this, { events, size, firstSeq, calls: [], failures: 0 });
  }

  async events_(query) {
    this.calls.push(query);
    if (this.failures > 0) {
      this.failures -= 1;
      throw new Error("the server does not answer");
    }
    const { after, before, runId } = query;
    const mine = this.events.filter((event) => (event.runId ?? event.run?.runId) === runId && event.seq >= this.firstSeq);
    const page = before !== undefined ? mine.filter(({ seq }) => seq < before).slice(-this.size) : mine.filter(({ seq }) => seq > (after ?? 0)).slice(0, this.size);
    const rest = before !== undefined ? mine.some(({ seq }) => seq < (page[0]?.seq ?? 0)) : mine.some(({ seq }) => seq > (page.at(-1)?.seq ?? Infinity));
    const next = !rest ? null : before !== undefined ? page[0].seq : page.at(-1).seq;
    return { events: page, next, firstSeq: this.firstSeq, seq: 100, epoch: "e" };
  }
}

function make(events, { seq = events.at(-1)?.seq ?? 0, ...options } = {}) {
  const kept = new Kept(events, options);
  const api = { events: (projectId, query) => kept.events_(query) };
  const shown = new RunOutput({ api, projectId: PROJECT, runId: "run", seq });
  return { shown, kept };
}

const texts = ({ lines }) => lines.lines.map((line) => line.mark?.kind ?? lineText(line)).filter(Boolean);

test("all that was before is loaded, page by page, the newest first", async () => {
  const { shown, kept } = make([1, 2, 3, 4, 5].map((seq) => output(seq, `${seq}\n`)));
  const first = new Promise((resolve) => {
    const end = shown.on("change", () => {
      end();
      resolve(texts(shown));
    });
  });
  await shown.load();
  assert.deepEqual(await first, ["4", "5"]);
  assert.deepEqual(texts(shown), ["1", "2", "3", "4", "5"]);
  assert.equal(kept.calls.length, 3);
  assert.equal(shown.incomplete, false);
  await shown.load();
  assert.equal(kept.calls.length, 3);
});

test("what comes while loading is behind what was before, once", async () => {
  const { shown } = make([1, 2, 3].map((seq) => output(seq, `${seq}\n`)));
  const loaded = shown.load();
  shown.push(output(4, "4\n"));
  shown.push(output(4, "4\n"));
  shown.push(output(5, "other\n", "other"));
  shown.push(output(6, "6\n"));
  await loaded;
  assert.deepEqual(texts(shown), ["1", "2", "3", "4", "6"]);
  assert.equal(shown.lastSeq, 6);
});

test("a page may end in the middle of a colour or a line", async () => {
  const { shown } = make([output(1, "\x1b[3"), output(2, "1mred "), output(3, "still\n"), output(4, "too")], { size: 1 });
  await shown.load();
  assert.deepEqual(texts(shown), ["red still", "too"]);
  assert.equal(shown.lines.lines[1].spans[0].style.classes, "fg-1");
});

test("what could not be loaded is said, and loaded when asked again", async () => {
  const { shown, kept } = make([1, 2, 3].map((seq) => output(seq, `${seq}\n`)));
  kept.failures = 1;
  await shown.load();
  assert.equal(shown.error.message, "the server does not answer");
  assert.equal(shown.incomplete, true);
  shown.push(output(4, "4\n"));
  await shown.load();
  assert.equal(shown.error, null);
  assert.deepEqual(texts(shown), ["1", "2", "3", "4"]);
});

test("what the server does not keep any more is said", async () => {
  const kept = make([1, 2, 3].map((seq) => output(seq, `${seq}\n`)), { firstSeq: 3 }).shown;
  await kept.load();
  assert.equal(kept.forgotten, true);
  const queued = { type: "run.updated", projectId: PROJECT, seq: 50, ts: "", run: { runId: "run", state: "queued" } };
  const whole = make([queued, output(51, "1\n")], { firstSeq: 40 }).shown;
  await whole.load();
  assert.equal(whole.forgotten, false);
});

test("a gap is a mark, the tail stands behind it, and it can be filled", async () => {
  const events = [1, 2, 3, 4, 5, 6].map((seq) => output(seq, `${seq}\n`));
  const { shown, kept } = make(events, { seq: 2 });
  kept.events = events.slice(0, 2);
  await shown.load();
  shown.gap({ fromSeq: 3, toSeq: 6, reason: "tooFar" }, events.slice(4));
  assert.deepEqual(texts(shown), ["1", "2", "gap", "5", "6"]);
  shown.gap({ fromSeq: 3, toSeq: 6, reason: "tooFar" });
  shown.push(output(7, "7\n"));
  assert.deepEqual(texts(shown), ["1", "2", "gap", "5", "6", "7"]);
  kept.events = events;
  const gap = shown.lines.lines.find((line) => line.mark).mark.value;
  assert.deepEqual([gap.fromSeq, gap.toSeq], [3, 4]);
  await shown.fill(gap);
  assert.deepEqual(texts(shown), ["1", "2", "3", "4", "5", "6", "7"]);
});

test("a download has everything, whatever is shown", async () => {
  const { shown } = make([1, 2, 3].map((seq) => output(seq, `${seq}\n`)));
  const lines = await shown.whole();
  assert.deepEqual(lines.lines.map(lineText), ["1", "2", "3", ""]);
});
