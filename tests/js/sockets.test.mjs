// ProjectSockets against doubles: the lazy rule of section 4.
import assert from "node:assert/strict";
import { test } from "node:test";

import { ProjectSockets } from "../../aosui/web/aosui-client.js";
import { Clock, EPOCH, Page, failure, server, settle, snapshot, sockets } from "./doubles.mjs";

const info = (projectId, { seq = 5, epoch = EPOCH, active = 0 } = {}) => ({
  projectId,
  name: projectId,
  root: `/home/anna/${projectId}`,
  epoch,
  seq: active ? null : seq,
  activity: { active, queued: 0, waiting: 0 },
});

function setUp(list = []) {
  const clock = new Clock();
  const Socket = sockets();
  const page = new Page();
  let version = 1;
  const web = server({
    "GET /api/projects": ({ headers }) =>
      headers["If-None-Match"] === `"${version}"` ? { status: 304 } : { json: { projects: list }, headers: { ETag: `"${version}"` } },
  });
  const show = (...projects) => {
    list = projects;
    version++;
    for (const { projectId, seq, epoch } of projects) {
      web.routes[`GET /api/projects/${projectId}`] = { json: snapshot({ projectId, seq: seq ?? 5, epoch }) };
    }
  };
  show(...list);
  const all = new ProjectSockets({ base: "http://localhost/", WebSocket: Socket, fetch: web.fetch, clock, random: () => 0, window: page });
  const polls = () => web.calls.filter(({ path }) => path === "/api/projects").length;
  const connected = () => Socket.all.filter((ws) => ws.closedWith === null).map((ws) => ws.url.searchParams.get("projectId"));
  return { all, clock, Socket, page, web, show, polls, connected };
}

/** Greet as the project that the socket asked for. */
function greet(ws, seq = 5, epoch = EPOCH) {
  const projectId = ws.url.searchParams.get("projectId");
  const recovered = ws.url.searchParams.get("epoch") === epoch;
  ws.say(
    { type: "welcome", projectId, epoch, seq, resume: { recovered, reason: recovered ? "ok" : "fresh", replayed: 0 }, limits: { maxMessageBytes: 262144 } },
    snapshot({ projectId, seq, epoch }),
    { type: "synced", projectId, seq },
  );
}

test("the list is asked for at the start, every 5 s, hidden every 60 s, stopped never", async () => {
  const { all, clock, page, polls } = setUp();
  await clock.advance(20_000);
  assert.equal(polls(), 0);
  all.start();
  all.start();
  await settle();
  assert.equal(polls(), 1);
  await clock.advance(4_999);
  assert.equal(polls(), 1);
  await clock.advance(1);
  assert.equal(polls(), 2);
  page.become("hidden");
  await clock.advance(59_999);
  assert.equal(polls(), 2);
  await clock.advance(1);
  assert.equal(polls(), 3);
  all.stop();
  await clock.advance(600_000);
  page.become("visible");
  page.fire("focus");
  await settle();
  assert.equal(polls(), 3);
  assert.equal(clock.waiting, 0);
});

test("at once on focus, pageshow, online, when visible again and after a start", async () => {
  const { all, page, polls, web } = setUp();
  all.start();
  await settle();
  let count = 1;
  for (const type of ["focus", "pageshow", "online"]) {
    page.fire(type);
    await settle();
    assert.equal(polls(), ++count, type);
  }
  page.become("hidden");
  page.become("visible");
  await settle();
  assert.equal(polls(), ++count);
  web.routes["POST /api/projects/a/runs"] = { status: 202, json: { runId: "r1", since: 5, epoch: EPOCH } };
  await all.startRun("a", "shell:make");
  await settle();
  assert.equal(polls(), ++count);
});

test("asked for while an answer is on its way: asked once more, as it may be old", async () => {
  const { all, polls, web } = setUp();
  const answers = [];
  web.routes["GET /api/projects"] = () => new Promise((resolve) => answers.push(resolve));
  all.start();
  const done = Promise.all([all.poll(), all.poll(), all.poll()]);
  assert.equal(polls(), 1);
  answers[0]({ json: { projects: [] } });
  await settle();
  assert.equal(polls(), 2);
  answers[1]({ json: { projects: [info("a")] } });
  await done;
  assert.equal(polls(), 2);
  assert.equal(all.projects[0].projectId, "a");
});

test("the ETag is sent, and an unchanged list is no event", async () => {
  const { all, clock, web, show } = setUp([info("a")]);
  const lists = [];
  all.on("projects", ({ projects }) => lists.push(projects.map(({ projectId }) => projectId)));
  all.start();
  await clock.advance(5_000);
  assert.equal(web.calls.at(-1).headers["If-None-Match"], '"2"');
  assert.deepEqual(lists, [["a"]]);
  show(info("a"), info("b"));
  await clock.advance(5_000);
  assert.deepEqual(lists, [["a"], ["a", "b"]]);
  assert.equal(all.state.name, "ok");
});

test("whether the server answers is a state, said once", async () => {
  const { all, clock, web } = setUp();
  const states = [];
  all.on("state", ({ name }) => states.push(name));
  const route = web.routes["GET /api/projects"];
  assert.equal(all.state.name, "unknown");
  all.start();
  await clock.advance(10_000);
  web.routes["GET /api/projects"] = null;
  await clock.advance(10_000);
  web.routes["GET /api/projects"] = failure("unauthorized", 401);
  await clock.advance(10_000);
  assert.equal(all.state.error.code, "unauthorized");
  web.routes["GET /api/projects"] = route;
  await clock.advance(10_000);
  assert.deepEqual(states, ["ok", "offline", "signedOut", "ok"]);
});

test("opening connects, once", async () => {
  const { all, Socket, connected } = setUp([info("a"), info("b")]);
  const a = all.open("a");
  assert.equal(all.open("a"), a);
  all.open("b", { epoch: EPOCH, since: 3 });
  assert.deepEqual(connected(), ["a", "b"]);
  assert.equal(Socket.all[1].url.searchParams.get("since"), "3");
  assert.equal(all.get("a"), a);
  assert.deepEqual([...all].map(({ projectId }) => projectId), ["a", "b"]);
});

test("closing is 1000, and forgets", async () => {
  const { all, Socket } = setUp();
  const a = all.open("a");
  all.close("a");
  assert.equal(Socket.last.closedWith, 1000);
  assert.equal(a.state.name, "closed");
  assert.equal(all.get("a"), undefined);
  assert.notEqual(all.open("a"), a);
});

test("stop closes all of them", () => {
  const { all, Socket } = setUp();
  all.open("a");
  all.open("b");
  all.stop();
  assert.deepEqual(Socket.all.map((ws) => ws.closedWith), [1000, 1000]);
});

test("restoring an idle project shows it and does not connect it", async () => {
  const { all, clock, web, connected } = setUp([info("a", { seq: 12 })]);
  all.start();
  const a = all.restore("a");
  await clock.advance(60_000);
  assert.deepEqual(connected(), []);
  assert.equal(a.state.name, "idle");
  assert.deepEqual(a.position, { epoch: EPOCH, since: 12 });
  assert.equal(web.calls.filter(({ path }) => path === "/api/projects/a").length, 1);
});

test("restoring an active project connects it", async () => {
  const { all, web, connected } = setUp([info("a", { active: 1 })]);
  all.start();
  all.restore("a");
  await settle();
  await settle();
  assert.deepEqual(connected(), ["a"]);
  assert.equal(web.calls.filter(({ path }) => path === "/api/projects/a").length, 0);
});

test("restoring before the server answers waits for it", async () => {
  const { all, clock, web, connected } = setUp([info("a")]);
  const route = web.routes["GET /api/projects"];
  web.routes["GET /api/projects"] = null;
  all.start();
  const a = all.restore("a");
  await clock.advance(20_000);
  assert.equal(a.snapshot, null);
  web.routes["GET /api/projects"] = route;
  await clock.advance(5_000);
  assert.notEqual(a.snapshot, null);
  assert.deepEqual(connected(), []);
});

test("a restored project that has gone says so", async () => {
  const { all, Socket } = setUp([]);
  all.start();
  const a = all.restore("gone");
  await settle();
  await settle();
  Socket.last.say({ type: "error", projectId: "gone", error: { code: "projectNotFound", message: "no such project is open", retryable: false, details: null }, fatal: true });
  Socket.last.drop(4503);
  assert.equal(a.state.name, "closed");
  assert.equal(a.state.error.code, "projectNotFound");
});

test("a dormant project comes back when the list says that it moved, and only then", async () => {
  for (const [change, comes] of [
    [{ seq: 5 }, false],
    [{ seq: 6 }, true],
    [{ seq: 5, epoch: "zyxwvutsrqpo" }, true],
    [{ active: 1 }, true],
  ]) {
    const { all, clock, Socket, show } = setUp([info("a")]);
    all.start();
    all.open("a");
    greet(Socket.last);
    await clock.advance(5_000);
    Socket.last.drop(4510);
    await clock.advance(5_000);
    assert.equal(Socket.all.length, 1);
    show(info("a", change));
    await clock.advance(5_000);
    assert.equal(Socket.all.length, comes ? 2 : 1, JSON.stringify(change));
    if (comes) assert.equal(Socket.last.url.searchParams.get("since"), "5");
  }
});

test("what is over is not brought back by the list", async () => {
  const { all, clock, Socket } = setUp([info("a", { active: 1 })]);
  all.start();
  all.open("a");
  greet(Socket.last);
  Socket.last.drop(4508);
  await clock.advance(30_000);
  assert.equal(Socket.all.length, 1);
  all.open("a");
  assert.equal(Socket.all.length, 2);
});

test("ten projects of which three run: three sockets, and none when they end", async () => {
  const names = Array.from({ length: 10 }, (_, n) => `p${n}`);
  const running = new Set(["p2", "p5", "p9"]);
  const { all, clock, Socket, show, connected } = setUp(names.map((name) => info(name, { active: running.has(name) ? 1 : 0 })));
  all.start();
  for (const name of names) all.restore(name);
  await clock.advance(1_000);
  assert.deepEqual(connected().sort(), [...running]);
  Socket.all.forEach((ws) => greet(ws));
  await clock.advance(20_000);
  assert.equal(Socket.all.length, 3);
  show(...names.map((name) => info(name, { seq: running.has(name) ? 8 : 5 })));
  await clock.advance(5_000);
  for (const ws of Socket.all) {
    const projectId = ws.url.searchParams.get("projectId");
    for (const seq of [6, 7, 8]) ws.say({ type: "run.output", projectId, seq, runId: "r", stream: "stdout", text: "x" });
    ws.drop(4510);
  }
  await clock.advance(60_000);
  assert.equal(Socket.all.length, 3);
  assert.deepEqual([...new Set([...all].map(({ state }) => state.name))], ["idle"]);
});

test("starting a run of an idle project connects it from its own position, else from the reply's", async () => {
  const { all, Socket, web } = setUp([info("a")]);
  for (const name of ["a", "b"]) web.routes[`POST /api/projects/${name}/runs`] = { status: 202, json: { runId: "r1", since: 9, epoch: EPOCH } };
  const a = all.restore("a");
  await a.load();
  assert.equal((await all.startRun("a", "shell:make", { fast: true })).runId, "r1");
  assert.deepEqual(web.calls.find(({ method }) => method === "POST").body, { workflow: "shell:make", params: { fast: true } });
  assert.equal(Socket.last.url.searchParams.get("since"), "5");
  await settle();
  all.restore("b");
  await all.startRun("b", "shell:make");
  assert.equal(Socket.last.url.searchParams.get("since"), "9");
});
