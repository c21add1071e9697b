import assert from "node:assert/strict";
import { test } from "node:test";

import { initial, matching, read, readAll, rememberable } from "../../../aosui/web/page/params.js";

/** A parameter as the server lists it. */
const param = (more = {}) => ({ name: "p", type: "string", required: false, default: null, choices: [], description: "", secret: false, ...more });

test("a field begins with the last value, else the default", () => {
  assert.equal(initial(param({ default: "a" }), {}), "a");
  assert.equal(initial(param({ default: "a" }), { p: "b" }), "b");
  assert.equal(initial(param({ required: true }), {}), "");
  assert.equal(initial(param({ type: "integer", default: 3 }), {}), "3");
  assert.equal(initial(param({ type: "boolean", default: true }), {}), true);
  assert.equal(initial(param({ type: "boolean", default: true }), { p: false }), false);
  assert.equal(initial(param({ choices: ["a", "b"], default: "a" }), { p: "gone" }), "a");
  assert.equal(initial(param({ secret: true, default: null }), { p: "leaked" }), "");
});

test("text", () => {
  assert.deepEqual(read(param(), "x"), { value: "x" });
  assert.deepEqual(read(param(), ""), {});
  assert.deepEqual(read(param({ default: "a" }), ""), { value: "" });
  assert.deepEqual(read(param({ required: true }), ""), { problem: "is needed" });
});

test("numbers", () => {
  const integer = param({ type: "integer", required: true });
  assert.deepEqual(read(integer, "-12"), { value: -12 });
  for (const wrong of ["1.5", "1e3", "x", "9007199254740993"]) {
    assert.deepEqual(read(integer, wrong), { problem: "must be a whole number" }, wrong);
  }
  assert.deepEqual(read(integer, ""), { problem: "is needed" });
  assert.deepEqual(read(param({ type: "number", default: 2 }), ""), {});
  assert.deepEqual(read(param({ type: "number" }), "1.5e3"), { value: 1500 });
  assert.deepEqual(read(param({ type: "number" }), "Infinity"), { problem: "must be a number" });
});

test("choices come back with their own type", () => {
  assert.deepEqual(read(param({ type: "integer", choices: [1, 2] }), "2"), { value: 2 });
  assert.deepEqual(read(param({ choices: ["a"] }), "b"), { problem: "is not one of the choices" });
});

test("all fields, and what is remembered of them", () => {
  const params = [param({ name: "a" }), param({ name: "b", type: "boolean" }), param({ name: "s", secret: true }), param({ name: "n", type: "integer", required: true })];
  const raw = { a: "x", b: true, s: "hush", n: "" };
  assert.deepEqual(readAll(params, (name) => raw[name]), { values: { a: "x", b: true, s: "hush" }, problems: { n: "is needed" } });
  assert.deepEqual(rememberable(params, { a: "x", s: "hush", other: 1 }), { a: "x" });
});

test("workflows are found by every word, names first", () => {
  const workflows = [
    { workflow: "shell:make:build", title: "", description: "run the unit test first" },
    { workflow: "shell:make:test", title: "Test it", description: "" },
    { workflow: "claude:prompt", title: "Prompt", description: "" },
  ];
  assert.deepEqual(matching(workflows, "").length, 3);
  assert.deepEqual(matching(workflows, "TEST").map(({ workflow }) => workflow), ["shell:make:test", "shell:make:build"]);
  assert.deepEqual(matching(workflows, "make unit").map(({ workflow }) => workflow), ["shell:make:build"]);
  assert.deepEqual(matching(workflows, "nothing"), []);
});
