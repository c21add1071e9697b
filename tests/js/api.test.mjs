// AosuiApi against a double of fetch: addresses, bodies, errors.
import assert from "node:assert/strict";
import { test } from "node:test";

import { AosuiApi, AosuiError } from "../../aosui/web/aosui-client.js";
import { EPOCH, failure, server, snapshot } from "./doubles.mjs";

function setUp(routes = {}, options = {}) {
  const web = server(routes);
  return { web, api: new AosuiApi({ base: "http://localhost:8765/ui/", fetch: web.fetch, ...options }) };
}

const P = "/ui/api/projects";
const CALLS = [
  ["openProject", ["/srv/site"], "POST", P, {}, { root: "/srv/site" }],
  ["openProject", ["/srv/site", { name: "Site", id: "i" }], "POST", P, {}, { root: "/srv/site", name: "Site", id: "i" }],
  ["closeProject", ["a"], "DELETE", `${P}/a`, {}],
  ["closeProject", ["a", { cancel: true, forget: true }], "DELETE", `${P}/a`, { cancel: "true", forget: "true" }],
  ["workflows", ["a"], "GET", `${P}/a/workflows`, {}],
  ["runs", ["a"], "GET", `${P}/a/runs`, {}],
  ["runs", ["a", { before: "r9", limit: 10 }], "GET", `${P}/a/runs`, { before: "r9", limit: "10" }],
  ["run", ["a", "r/1"], "GET", `${P}/a/runs/r%2F1`, {}],
  ["events", ["a", { after: 0, runId: "r1" }], "GET", `${P}/a/events`, { after: "0", runId: "r1" }],
  ["events", ["a", { before: 7, limit: 3 }], "GET", `${P}/a/events`, { before: "7", limit: "3" }],
  ["startRun", ["a", "shell:x"], "POST", `${P}/a/runs`, {}, { workflow: "shell:x", params: {} }],
  ["startRun", ["a", "shell:x", { n: 1 }, { id: "i" }], "POST", `${P}/a/runs`, {}, { id: "i", workflow: "shell:x", params: { n: 1 } }],
  ["cancelRun", ["a", "r1"], "POST", `${P}/a/runs/r1/cancel`, {}, {}],
  ["retryRun", ["a", "r1", { s: "x" }], "POST", `${P}/a/runs/r1/retry`, {}, { params: { s: "x" } }],
  ["sendInput", ["a", "r1", "y\n"], "POST", `${P}/a/runs/r1/input`, {}, { text: "y\n" }],
  ["answerQuestion", ["a", "q1", { p: ["x"] }], "POST", `${P}/a/questions/q1/answer`, {}, { answers: { p: ["x"] } }],
  ["executors", [], "GET", "/ui/api/executors", {}],
];

for (const [name, args, method, path, query, body] of CALLS) {
  test(`${name}(${JSON.stringify(args).slice(1, -1)})`, async () => {
    const { api, web } = setUp({ [`${method} ${path}`]: { status: method === "DELETE" ? 204 : 200, json: { answer: 42 } } });
    assert.deepEqual(await api[name](...args), method === "DELETE" ? undefined : { answer: 42 });
    const [call] = web.calls;
    assert.deepEqual(call.query, query);
    assert.deepEqual(call.body, body);
    assert.equal(call.headers["Content-Type"], body && "application/json");
    assert.equal(call.headers.Authorization, undefined);
  });
}

test("a token is a Bearer header; signing in sends the one given", async () => {
  const { api, web } = setUp({ "GET /ui/api/executors": { json: {} }, "POST /ui/api/session": { status: 204 } }, { token: "mine" });
  await api.executors();
  await api.signIn("theirs");
  assert.deepEqual(web.calls.map(({ headers }) => headers.Authorization), ["Bearer mine", "Bearer theirs"]);
});

test("a project is its snapshot", async () => {
  const { api } = setUp({ [`GET ${P}/a`]: { json: { ...snapshot({ projectId: "a", seq: 3 }), type: undefined } } });
  assert.deepEqual(await api.project("a"), { projectId: "a", epoch: EPOCH, seq: 3, project: { name: "demo" }, runs: [], outputTails: {} });
});

test("the list and its ETag", async () => {
  const { api, web } = setUp({
    [`GET ${P}`]: ({ headers }) => (headers["If-None-Match"] ? { status: 304 } : { json: { projects: [] }, headers: { ETag: '"1"' } }),
  });
  assert.deepEqual(await api.projects(), { projects: [], etag: '"1"' });
  assert.deepEqual(await api.projects({ etag: '"1"' }), { projects: null, etag: '"1"' });
  assert.equal(web.calls[1].headers["If-None-Match"], '"1"');
});

test("an error is the server's own", async () => {
  const { api } = setUp({ "GET /ui/api/executors": failure("limitExceeded", 429) });
  await assert.rejects(api.executors(), (error) => {
    assert(error instanceof AosuiError);
    assert.deepEqual([error.code, error.message, error.status, error.retryable], ["limitExceeded", "limitExceeded!", 429, true]);
    return true;
  });
});

test("what is not aosui's answer is badResponse; no answer is offline", async () => {
  const { api, web } = setUp({ "GET /ui/api/executors": { status: 502, text: "<h1>Bad gateway</h1>" } });
  await assert.rejects(api.executors(), { code: "badResponse", status: 502, retryable: true });
  web.routes["GET /ui/api/executors"] = { status: 200, text: "<h1>Hotel wifi</h1>" };
  await assert.rejects(api.executors(), { code: "badResponse", status: 200, retryable: true });
  web.routes["GET /ui/api/executors"] = null;
  await assert.rejects(api.executors(), { code: "offline", status: null, retryable: true });
});

test("the base is a directory, with or without its slash; without a page it has to be said", () => {
  for (const base of ["http://h/ui", "http://h/ui/", "http://h/ui/#token=x", new URL("http://h/ui?x=1")]) {
    assert.equal(new AosuiApi({ base }).base.href, "http://h/ui/");
  }
  assert.throws(() => new AosuiApi(), /base/);
});
