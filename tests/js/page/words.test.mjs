import assert from "node:assert/strict";
import { test } from "node:test";

import { call, titleText } from "../../../aosui/web/page/attention.js";
import { connectionWords } from "../../../aosui/web/page/connection-words.js";
import { executorWords } from "../../../aosui/web/page/executor-words.js";
import { counted, duration, progressText, size, when } from "../../../aosui/web/page/format.js";
import { refusal } from "../../../aosui/web/page/open-dialog.js";
import { format, parse, runHref } from "../../../aosui/web/page/route.js";
import { takeToken } from "../../../aosui/web/page/sign-in.js";

test("durations", () => {
  const cases = [[0, "0.0 s"], [412, "0.4 s"], [9949, "9.9 s"], [9960, "10 s"], [59_400, "59 s"], [59_700, "1:00 min"], [187_000, "3:07 min"], [3_753_000, "1:02:33 h"], [187_200_000, "2 d 4 h"], [-5, "0.0 s"]];
  for (const [milliseconds, text] of cases) assert.equal(duration(milliseconds), text);
});

test("times of day", () => {
  const now = new Date(2026, 2, 12, 14, 3, 7);
  assert.equal(when(new Date(2026, 2, 12, 0, 1), now), "00:01");
  assert.equal(when(new Date(2026, 2, 11, 23, 59), now), "yesterday 23:59");
  assert.equal(when(new Date(2026, 2, 9, 8, 5), now), "Mon 08:05");
  assert.equal(when(new Date(2026, 1, 1, 8, 5), now), "2026-02-01 08:05");
});

test("counts, sizes and progress", () => {
  assert.equal(counted(1, "line"), "1 line");
  assert.equal(counted(50_000, "line"), "50,000 lines");
  assert.equal(size(999), "999 bytes");
  assert.equal(size(3 * 1024 * 1024), "3.0 MiB");
  assert.equal(progressText({ current: 3, total: 10, message: "packing" }), "3 of 10 · packing");
  assert.equal(progressText({ current: 42, total: 100, message: "" }), "42 %");
  assert.equal(progressText({ current: 0.5, total: 1.5, message: "" }), "33 %");
  assert.equal(progressText({ current: 17, total: null, message: "" }), "17");
});

test("places are addresses and back", () => {
  const places = ["#/", "#/p/site-1a2b3c", "#/p/site-1a2b3c/r/0f", "#/p/site-1a2b3c/start", "#/p/site-1a2b3c/start/shell%3Amake%2Ftest%20it"];
  for (const place of places) assert.equal(format(parse(place)), place);
  assert.equal(parse("#/p/a/start/shell%3Ax").workflow, "shell:x");
  assert.equal(runHref("a", "b"), "#/p/a/r/b");
  for (const nothing of ["", "#main", "#/x/y", "#/p/", "#/p/a/r/", "#/p/a/r/b/c", "#/p/%zz"]) assert.equal(parse(nothing), null, nothing);
});

test("the token is taken out of the address", () => {
  assert.deepEqual(takeToken("#token=abc_-9"), { token: "abc_-9", hash: "" });
  assert.deepEqual(takeToken("#/p/a&token=abc"), { token: "abc", hash: "#/p/a" });
  assert.deepEqual(takeToken("#token=a%2Bb&/p/a"), { token: "a+b", hash: "#/p/a" });
  assert.deepEqual(takeToken("#/p/token=abc"), { token: null, hash: "#/p/token=abc" });
  assert.deepEqual(takeToken(""), { token: null, hash: "" });
});

const state = (name, more = {}) => ({ name, at: 0, retryAt: null, attempt: 0, error: null, ...more });
const seen = { known: true, heardAt: new Date(2026, 2, 12, 14, 3, 7).getTime(), now: 10_000 };

test("how a connection stands", () => {
  assert.deepEqual(connectionWords(state("live"), seen), { tone: "live", text: "live", countdown: "", detail: "", action: "" });
  assert.equal(connectionWords(state("idle"), seen).detail, "no connection needed");
  assert.equal(connectionWords(state("idle"), { ...seen, known: false }).text, "loading…");
  assert.deepEqual(connectionWords(state("reconnecting", { retryAt: 12_400 }), seen), { tone: "warn", text: "reconnecting", countdown: "in 3 s", detail: "as of 14:03:07", action: "now" });
  assert.equal(connectionWords(state("offline", { retryAt: 9_000 }), seen).countdown, "now…");
  assert.match(connectionWords(state("reconnecting", { error: { code: "webSocketBlocked" } }), seen).text, /proxy/);
  assert.equal(connectionWords(state("replaced"), seen).action, "connect");
  assert.equal(connectionWords(state("signedOut"), seen).action, "signIn");
  assert.equal(connectionWords(state("closed", { error: { code: "unsupportedVersion", message: "" } }), seen).action, "reload");
  assert.equal(connectionWords(state("closed", { error: { code: "projectClosed", message: "" } }), seen).text, "no longer open on the server");
  assert.equal(connectionWords(state("closed", { error: { code: "other", message: "odd" } }), seen).text, "odd");
});

test("what is wrong with an executor", () => {
  const fine = { name: "shell", distribution: "aosui-shell", version: "0.1.0", status: "ok", reason: null, blocked: null };
  assert.equal(executorWords(fine), null);
  const broken = executorWords({ ...fine, status: "broken", reason: "ImportError: no" });
  assert.equal(broken.text, "The executor shell (aosui-shell 0.1.0) is broken.");
  assert.equal(broken.more, "ImportError: no");
  const blocked = executorWords({ ...fine, blocked: { at: "2026-03-12T14:03:07.000Z", seconds: 1.53, where: "a.py:3" } });
  assert.match(blocked.text, /blocked the whole server for 1\.5 s.*isolation = "process"/);
  assert.equal(blocked.more, "a.py:3");
});

test("why a directory was not opened", () => {
  assert.match(refusal({ code: "notFound" }, "/x").text, /no directory \/x/);
  assert.equal(refusal({ code: "outsideRoot" }, "/my work/x").command, "aosui serve --root '/my work/x'");
  assert.equal(refusal({ code: "limitExceeded", message: "too many" }, "/x").text, "Not opened: too many.");
});

test("the title says what is most urgent", () => {
  const quiet = { waiting: 0, failed: 0, done: 0, running: 0 };
  assert.equal(titleText(quiet, ""), "aosui");
  assert.equal(titleText({ ...quiet, running: 2 }, "site"), "▸ site · aosui");
  assert.equal(titleText({ ...quiet, done: 1, running: 1 }, "site"), "(1) done · site · aosui");
  assert.equal(titleText({ ...quiet, failed: 1, done: 1 }, ""), "(2) failed · aosui");
  assert.equal(titleText({ ...quiet, waiting: 1, failed: 2 }, ""), "(3) needs you · aosui");
  assert.deepEqual(call([]), quiet);
});
