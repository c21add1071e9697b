// The client against a real server: real sockets, real cuts, real restarts.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import WebSocket from "ws";

import { AosuiApi, ProjectSocket, ProjectSockets } from "../../aosui/web/aosui-client.js";
import { Line, Site, TOKEN, fastClock, until } from "./real.mjs";

const quick = { WebSocket, random: () => 0, token: TOKEN };

/** A socket that notes all it is told, closed at the end of its test. */
function watch(t, options) {
  const socket = new ProjectSocket({ ...quick, ...options });
  const seen = { seqs: [], text: "", states: [], gaps: [], resets: 0 };
  socket.on("event", ({ event }) => {
    seen.seqs.push(event.seq);
    if (event.type === "run.output") seen.text += event.text;
  });
  socket.on("state", ({ name }) => seen.states.push(name));
  socket.on("gap", (gap) => seen.gaps.push(gap));
  socket.on("reset", () => seen.resets++);
  t.after(() => socket.close());
  return { socket, seen };
}

const live = (socket) =>
  until(
    socket,
    () => {
      if (socket.state.name === "closed") throw socket.state.error;
      return socket.state.name === "live";
    },
    "live",
  );
const run = (socket, runId) => socket.snapshot?.runs.find((one) => one.runId === runId);
const ended = (socket, runId) => until(socket, () => run(socket, runId)?.endedAt && run(socket, runId), `${runId} has ended`);
const contiguous = (seqs) => seqs.every((seq, i) => i === 0 || seq === seqs[i - 1] + 1);

describe("one server", () => {
  let site;
  let base;
  let api;
  before(async () => {
    site = await Site.start(["one", "two", "three"]);
    base = site.base;
    api = new AosuiApi({ base, token: TOKEN });
  });
  after(() => site?.stop());

  test("two projects: a run in one is seen by all who look at it and by nobody else", async (t) => {
    const [one, two] = site.projects;
    const a = watch(t, { base, projectId: one });
    const b = watch(t, { base, projectId: one, clientId: "another-page" });
    const other = watch(t, { base, projectId: two });
    for (const { socket } of [a, b, other]) socket.connect();
    await Promise.all([a, b, other].map(({ socket }) => live(socket)));
    const { runId } = await a.socket.start("scripted:echo", { greeting: "moin" });
    await a.socket.input(runId, "one");
    await b.socket.input(runId, "two");
    await a.socket.input(runId, "end");
    const done = await ended(a.socket, runId);
    await ended(b.socket, runId);
    assert.deepEqual(done.result, { said: 2 });
    assert.equal(a.seen.text, "moin one\none\ntwo\n");
    assert.equal(b.seen.text, a.seen.text);
    assert.deepEqual(b.seen.seqs, a.seen.seqs);
    assert(contiguous(a.seen.seqs));
    assert.deepEqual(other.seen.seqs, []);
    assert.deepEqual(other.socket.snapshot.runs, []);
  });

  test("what is folded live is what the server says", async (t) => {
    const { socket } = watch(t, { base, projectId: site.projects[0] });
    socket.connect();
    await live(socket);
    for (let n = 0; n < 23; n++) await socket.start("scripted:fail");
    const { runId } = await socket.start("scripted:ask");
    await until(socket, () => run(socket, runId)?.state === "waiting" && socket.snapshot.runs.filter(({ endedAt }) => endedAt).length === 20, "23 failures and a question");
    const server = await until(
      socket,
      () => socket.snapshot.runs.every(({ runId: id, endedAt }) => endedAt || id === runId),
      "only the question is open",
    ).then(() => api.project(socket.projectId));
    assert.equal(socket.lastSeq, server.seq);
    assert.deepEqual({ ...socket.snapshot, outputTails: 0 }, { ...server, outputTails: 0 });
    await socket.cancel(runId);
    assert.equal((await ended(socket, runId)).state, "cancelled");
  });

  test("questions: found in the snapshot, answered once, the second answer is told of the first", async (t) => {
    const projectId = site.projects[1];
    const { runId } = await api.startRun(projectId, "scripted:ask");
    const a = watch(t, { base, projectId });
    const b = watch(t, { base, projectId, clientId: "another-page" });
    a.socket.connect();
    b.socket.connect();
    const question = (socket) => run(socket, runId)?.questions[0];
    await until(a.socket, () => question(a.socket), "a question");
    await until(b.socket, () => question(b.socket), "a question");
    const { questionId } = question(a.socket);
    const [first, second] = await Promise.allSettled([a.socket.answer(questionId, { sure: "yes" }), b.socket.answer(questionId, { sure: "no" })]);
    assert.equal([first, second].filter(({ status }) => status === "fulfilled").length, 1);
    const { reason } = first.status === "rejected" ? first : second;
    assert.equal(reason.code, "questionClosed");
    assert.equal(reason.details.outcome, "answered");
    const done = await ended(b.socket, runId);
    assert.deepEqual(done.questions, []);
    assert.equal(done.state, "succeeded");
  });

  test("retry, and refusals in the server's words", async (t) => {
    const { socket } = watch(t, { base, projectId: site.projects[1] });
    const { runId } = await socket.start("scripted:fail");
    await ended(socket, runId);
    assert.equal(run(socket, runId).error.code, "noLuck");
    const again = await socket.retry(runId);
    assert.equal((await ended(socket, again.runId)).retryOf, runId);
    assert.deepEqual(await socket.cancel(runId), { state: "failed" });
    await assert.rejects(socket.input(runId, "x"), { code: "runNotActive", retryable: false });
    await assert.rejects(socket.cancel("nobody"), { code: "runNotFound" });
    await assert.rejects(socket.start("scripted:count"), { code: "invalidParams" });
    await assert.rejects(socket.start("nobody:knows"), { code: "workflowNotFound" });
    await assert.rejects(socket.request("run.dream", {}), { code: "unknownType" });
  });

  test("the same id acts once", async (t) => {
    const { socket } = watch(t, { base, projectId: site.projects[1] });
    const id = crypto.randomUUID();
    const first = await socket.start("scripted:fail", {}, { id });
    assert.deepEqual(await socket.start("scripted:fail", {}, { id }), first);
    assert.deepEqual(await api.startRun(socket.projectId, "scripted:fail", {}, { id }), first);
    await assert.rejects(socket.start("scripted:ask", {}, { id }), { code: "idReused" });
  });

  test("the iterator has all of a run, in order", async (t) => {
    const { socket } = watch(t, { base, projectId: site.projects[1] });
    const events = socket[Symbol.asyncIterator]();
    const { runId } = await socket.start("scripted:count", { lines: 500 });
    let text = "";
    for await (const event of events) {
      if (event.type === "run.output" && event.runId === runId) text += event.text;
      if (event.type === "run.updated" && event.run.runId === runId && event.run.endedAt) break;
    }
    assert.equal(text, Array.from({ length: 500 }, (_, n) => `${n}\n`).join(""));
  });

  test("a run of an idle project, started by HTTP, then watched from the reply's position, misses nothing", async (t) => {
    const projectId = site.projects[2];
    const started = await api.startRun(projectId, "scripted:count", { lines: 200 });
    const { socket, seen } = watch(t, { base, projectId });
    socket.connect(started);
    await ended(socket, started.runId);
    await until(socket, () => seen.text.endsWith("199\n"), "all lines");
    assert.equal(seen.seqs[0], started.since + 1);
    assert(contiguous(seen.seqs));
    assert.equal(seen.text, Array.from({ length: 200 }, (_, n) => `${n}\n`).join(""));
  });

  test("a wrong token is signed out, an unknown project closed, each in the server's words", async (t) => {
    const stranger = watch(t, { base, projectId: site.projects[0], token: "not-the-token-of-the-tests" });
    const lost = watch(t, { base, projectId: "nowhere-000000" });
    stranger.socket.connect();
    lost.socket.connect();
    await until(stranger.socket, () => stranger.socket.state.name === "signedOut");
    await until(lost.socket, () => lost.socket.state.name === "closed");
    assert.equal(stranger.socket.state.error.code, "unauthorized");
    assert.equal(lost.socket.state.error.code, "projectNotFound");
    await assert.rejects(new AosuiApi({ base, token: "not-the-token-of-the-tests" }).projects(), { code: "unauthorized", status: 401 });
    await assert.rejects(lost.socket.start("scripted:fail"), { code: "projectNotFound" });
  });

  test("a second connection of the same page replaces the first", async (t) => {
    const first = watch(t, { base, projectId: site.projects[0], clientId: "one-page" });
    const second = watch(t, { base, projectId: site.projects[0], clientId: "one-page" });
    first.socket.connect();
    await live(first.socket);
    second.socket.connect();
    await until(first.socket, () => first.socket.state.name === "replaced");
    await live(second.socket);
    first.socket.connect();
    await live(first.socket);
    await until(second.socket, () => second.socket.state.name === "replaced");
  });

  test("closing a tab leaves its run alone", async (t) => {
    const projectId = site.projects[1];
    const { socket } = watch(t, { base, projectId });
    const { runId } = await socket.start("scripted:echo");
    socket.close();
    assert.equal((await api.run(projectId, runId)).endedAt, null);
    await api.sendInput(projectId, runId, "end");
    const again = watch(t, { base, projectId });
    again.socket.connect();
    assert.equal((await ended(again.socket, runId)).state, "succeeded");
  });

  test("every HTTP call", async () => {
    const [projectId] = site.projects;
    const { projects, etag } = await api.projects();
    assert.deepEqual(projects.map((info) => info.projectId).sort(), [...site.projects].sort());
    assert.deepEqual(await api.projects({ etag }), { projects: null, etag });
    assert.equal((await api.openProject(site.folders[0])).projectId, projectId);
    await assert.rejects(api.openProject("/"), { code: "outsideRoot" });
    const { workflows } = await api.workflows(projectId);
    assert.deepEqual(workflows.map(({ workflow }) => workflow).sort(), ["scripted:ask", "scripted:count", "scripted:echo", "scripted:fail"]);
    const { runId } = await api.startRun(projectId, "scripted:echo");
    assert.equal((await api.runs(projectId, { limit: 1 })).runs[0].runId, runId);
    assert.deepEqual(await api.sendInput(projectId, runId, "x"), {});
    await api.cancelRun(projectId, runId);
    const { questionId } = await openQuestion(projectId);
    assert.deepEqual(await api.answerQuestion(projectId, questionId, { sure: "no" }), {});
    const page = await api.events(projectId, { after: 0, limit: 2 });
    assert.deepEqual(page.events.map(({ seq }) => seq), [1, 2]);
    assert.equal(page.next, 2);
    assert.equal((await api.executors()).executors[0].name, "scripted");
    assert.equal(await api.signIn(TOKEN), undefined);
    await assert.rejects(api.signIn("not-the-token-of-the-tests"), { status: 401 });
  });

  async function openQuestion(projectId) {
    const { runId } = await api.startRun(projectId, "scripted:ask");
    const socket = new ProjectSocket({ ...quick, base, projectId, clientId: "asks" });
    socket.connect();
    try {
      return await until(socket, () => run(socket, runId)?.questions[0], "a question");
    } finally {
      socket.close();
    }
  }

  test("a project that is closed for everybody says so", async (t) => {
    const [, , projectId] = site.projects;
    const { socket } = watch(t, { base, projectId });
    socket.connect();
    await live(socket);
    await api.closeProject(projectId, { cancel: true });
    await until(socket, () => socket.state.name === "closed");
    assert.equal(socket.state.error.code, "projectClosed");
    assert.equal((await api.openProject(site.folders[2])).projectId, projectId);
    socket.connect();
    await live(socket);
  });

  test("the line is cut anywhere, again and again: no gap, no duplicate, the same text", async (t) => {
    const line = await Line.to(site);
    t.after(() => line.close());
    const { socket, seen } = watch(t, { base: line.base, projectId: site.projects[1], clock: fastClock(10) });
    socket.connect();
    await live(socket);
    const first = socket.lastSeq;
    const { runId } = await socket.start("scripted:count", { lines: 3000 });
    const complete = () => seen.text.endsWith("2999\n");
    let left = 1;
    let cuts = 0;
    socket.on("state", ({ name }) => {
      // Each connection ends after another number of bytes: in the handshake, a replay, a frame.
      if (name === "connecting" && !complete()) line.left = left = (left * 2 + 977) % 40_000;
      if (name === "reconnecting" || name === "offline") cuts++;
    });
    line.left = 500;
    await until(socket, complete, "all lines");
    line.left = Infinity;
    await ended(socket, runId);
    assert(cuts >= 5, `cut only ${cuts} times`);
    assert.equal(seen.text, Array.from({ length: 3000 }, (_, n) => `${n}\n`).join(""));
    assert.equal(seen.seqs[0], first + 1);
    assert(contiguous(seen.seqs));
    assert.deepEqual(seen.gaps, []);
    assert.equal(seen.resets, 0);
  });

  test("a reply that was lost with the line: sent again, done once", async (t) => {
    const line = await Line.to(site);
    t.after(() => line.close());
    const projectId = site.projects[1];
    const { socket } = watch(t, { base: line.base, projectId });
    const outside = watch(t, { base, projectId, clientId: "outside" });
    socket.connect();
    outside.socket.connect();
    await Promise.all([live(socket), live(outside.socket)]);
    const before = (await api.runs(projectId, { limit: 50 })).runs.length;
    line.mute = true;
    const starting = socket.start("scripted:fail");
    const requested = await new Promise((resolve) => {
      outside.socket.on("event", ({ event }) => event.type === "run.updated" && resolve(event));
    });
    line.cut();
    line.mute = false;
    const { runId } = await starting;
    assert.equal(runId, requested.run.runId);
    assert.equal((await api.runs(projectId, { limit: 50 })).runs.length, before + 1);
  });

  test("a line that is dead and does not say so is found by the watchdog", async (t) => {
    const line = await Line.to(site);
    t.after(() => line.close());
    const { socket, seen } = watch(t, { base: line.base, projectId: site.projects[1], clock: fastClock(10) });
    socket.connect();
    await live(socket);
    line.mute = true;
    await until(socket, () => socket.state.name === "reconnecting", "the watchdog");
    assert.equal(socket.state.error.message, "the line is dead");
    line.mute = false;
    await live(socket);
    assert.equal(seen.resets, 0);
  });

  test("a quiet line that lives is left alone", async (t) => {
    const { socket, seen } = watch(t, { base, projectId: site.projects[1], clock: fastClock(50) });
    socket.connect();
    await live(socket);
    const before = socket.heardAt;
    // Two pongs: 50 s of this clock.
    await new Promise((resolve) => {
      const look = setInterval(() => socket.heardAt - before > 50_000 && (clearInterval(look), resolve()), 20);
    });
    assert.deepEqual(seen.states, ["connecting", "live"]);
  });
});

describe("restarts", () => {
  test("kill -9 with the SQLite log: resumed in the same epoch, the run interrupted, the request that waited done", async (t) => {
    const site = await Site.start(["one"], { log: "sqlite" });
    t.after(() => site.stop());
    const { socket, seen } = watch(t, { base: site.base, projectId: site.projects[0], clock: fastClock(5) });
    const { runId } = await socket.start("scripted:echo");
    await until(socket, () => seen.text === "hello one\n", "the greeting");
    const { epoch } = socket;
    await site.down("SIGKILL");
    await until(socket, () => socket.state.name !== "live", "the cut");
    const retried = socket.retry(runId).catch((error) => error);
    await until(socket, () => socket.state.name === "offline", "offline");
    await site.up();
    await live(socket);
    assert.equal(socket.epoch, epoch);
    assert.equal((await ended(socket, runId)).state, "interrupted");
    const { runId: second } = await retried;
    assert.equal((await until(socket, () => run(socket, second), "the retry")).retryOf, runId);
    assert(contiguous(seen.seqs));
    assert.equal(seen.resets, 0);
    assert.deepEqual(seen.gaps, []);
    await socket.input(second, "end");
    await ended(socket, second);
  });

  test("a clean stop with the log in memory: another epoch, everything forgotten, the outcome unknown", async (t) => {
    const site = await Site.start(["one"]);
    t.after(() => site.stop());
    const { socket, seen } = watch(t, { base: site.base, projectId: site.projects[0], clock: fastClock(5) });
    const { runId } = await socket.start("scripted:fail");
    await ended(socket, runId);
    const { epoch } = socket;
    await site.down();
    await until(socket, () => socket.state.name !== "live", "the cut");
    const lost = assert.rejects(socket.cancel(runId), { code: "outcomeUnknown", details: { sent: false } });
    await site.up();
    await live(socket);
    await lost;
    assert.notEqual(socket.epoch, epoch);
    assert.equal(seen.resets, 1);
    assert.deepEqual(socket.snapshot.runs, []);
    assert.equal(socket.lastSeq, 0);
  });
});

describe("the lazy rule", () => {
  test("ten projects of which three run: three sockets; when those runs end, none; a new run brings one back", async (t) => {
    const site = await Site.start(Array.from({ length: 10 }, (_, n) => `p${n}`), { dormant: 0.4 });
    t.after(() => site.stop());
    const { projects, base } = site;
    const held = new Set();
    class Counted extends WebSocket {
      constructor(url, protocols) {
        super(url, protocols);
        held.add(this);
        this.on("close", () => held.delete(this));
      }
    }
    const api = new AosuiApi({ base, token: TOKEN });
    const sockets = new ProjectSockets({ ...quick, WebSocket: Counted, api, visibleMs: 100 });
    t.after(() => sockets.stop());
    sockets.start();
    for (const projectId of projects) sockets.open(projectId);
    assert.equal(held.size, 10);
    const active = projects.slice(0, 3);
    const runs = await Promise.all(active.map((projectId) => sockets.get(projectId).start("scripted:echo")));
    for (const projectId of projects.slice(3)) {
      const socket = sockets.get(projectId);
      await until(socket, () => socket.state.name === "idle", `${projectId} dormant`);
    }
    await polled(3);
    assert.deepEqual([...held].map((ws) => new URL(ws.url).searchParams.get("projectId")).sort(), [...active].sort());
    for (const [i, projectId] of active.entries()) await sockets.get(projectId).input(runs[i].runId, "end");
    for (const projectId of active) {
      const socket = sockets.get(projectId);
      await until(socket, () => socket.state.name === "idle", `${projectId} dormant`);
      assert.equal(run(socket, runs[active.indexOf(projectId)].runId).state, "succeeded");
    }
    await polled(3);
    assert.equal(held.size, 0);

    const socket = sockets.get(projects[7]);
    const seqs = [];
    socket.on("event", ({ event }) => seqs.push(event.seq));
    const before = socket.lastSeq;
    const { runId } = await api.startRun(projects[7], "scripted:echo");
    await until(socket, () => run(socket, runId)?.state === "running", "the list brings it back");
    assert.equal(held.size, 1);
    await socket.input(runId, "end");
    await ended(socket, runId);
    assert.equal(seqs[0], before + 1);
    assert(contiguous(seqs));

    sockets.close(projects[7]);
    const restored = sockets.restore(projects[7]);
    await until(restored, () => restored.snapshot, "shown");
    assert.equal(run(restored, runId).state, "succeeded");
    assert.equal(restored.state.name, "idle");

    async function polled(times) {
      for (let n = 0; n < times; n++) await sockets.poll();
    }
  });
});
