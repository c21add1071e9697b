// ProjectSocket against doubles: every rule of sections 5, 6, 9 and 10 that is a client's.
import assert from "node:assert/strict";
import { test } from "node:test";

import { AosuiApi, ProjectSocket } from "../../aosui/web/aosui-client.js";
import { Clock, EPOCH, PROJECT, Page, failure, output, server, settle, snapshot, sockets, updated, welcome } from "./doubles.mjs";

const OTHER = "zyxwvutsrqpo";

function setUp(options = {}) {
  const clock = new Clock();
  const Socket = sockets();
  const web = server({ [`GET /ui/api/projects/${PROJECT}`]: null });
  const page = new Page();
  const socket = new ProjectSocket({
    projectId: PROJECT,
    base: "http://localhost:8765/ui",
    WebSocket: Socket,
    fetch: web.fetch,
    clock,
    random: () => 0,
    window: page,
    ...options,
  });
  const seen = { states: [], events: [], snapshots: [], resets: [], gaps: [], errors: [] };
  socket.on("state", ({ name }) => seen.states.push(name));
  socket.on("event", ({ event, history }) => seen.events.push([event.seq, history]));
  socket.on("snapshot", (detail) => seen.snapshots.push(detail));
  socket.on("reset", ({ epoch }) => seen.resets.push(epoch));
  socket.on("gap", (gap) => seen.gaps.push(gap));
  socket.on("error", (detail) => seen.errors.push(detail));
  return { clock, Socket, web, page, socket, seen };
}

function live(options) {
  const all = setUp(options);
  all.socket.connect();
  all.Socket.last.greet({ seq: 5, runs: [{ runId: "r1", state: "running" }] });
  return all;
}

const rejection = (promise) => promise.then(() => assert.fail("this should have been refused"), (error) => error);

// -- handshake

test("nothing happens before connect", async () => {
  const { Socket, socket, clock } = setUp();
  await clock.advance(100_000);
  assert.equal(Socket.all.length, 0);
  assert.equal(socket.state.name, "idle");
  assert.equal(socket.snapshot, null);
  assert.equal(socket.position, null);
});

test("the address is that of the base, the token is a subprotocol and nowhere else", () => {
  const { Socket, socket } = setUp({ token: "t0ken-t0ken-t0ken" });
  socket.connect();
  const { url, protocols } = Socket.last;
  assert.equal(url.origin + url.pathname, "ws://localhost:8765/ui/ws");
  assert.deepEqual([...url.searchParams.keys()], ["projectId", "clientId"]);
  assert.match(url.searchParams.get("clientId"), /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  assert.deepEqual(protocols, ["aosui.v1", "aosui.bearer.t0ken-t0ken-t0ken"]);
  assert(!url.href.includes("t0ken"));
});

test("https becomes wss, and without a token there is no bearer", () => {
  const { url, protocols } = new AosuiApi({ base: "https://ui.example.org" }).webSocket(PROJECT);
  assert(url.startsWith("wss://ui.example.org/ws?projectId="));
  assert.deepEqual(protocols, ["aosui.v1"]);
});

test("all sockets of a page load have one client id", () => {
  const a = setUp();
  const b = setUp();
  a.socket.connect();
  b.socket.connect();
  assert.equal(a.Socket.last.url.searchParams.get("clientId"), b.Socket.last.url.searchParams.get("clientId"));
});

test("live after synced, with the snapshot before it", () => {
  const { Socket, socket, seen } = setUp();
  socket.connect();
  assert.deepEqual(seen.states, ["connecting"]);
  Socket.last.say(welcome({ seq: 5 }));
  Socket.last.say(snapshot({ seq: 5, runs: [{ runId: "r1", state: "running" }] }));
  assert.deepEqual(seen.states, ["connecting"]);
  Socket.last.say({ type: "synced", projectId: PROJECT, seq: 5 });
  assert.deepEqual(seen.states, ["connecting", "live"]);
  assert.equal(seen.snapshots.length, 1);
  assert.equal(seen.snapshots[0].tails, true);
  assert.equal(seen.snapshots[0].run, null);
  assert.deepEqual(seen.resets, []);
  assert.deepEqual(socket.position, { epoch: EPOCH, since: 5 });
  assert.equal(socket.welcome.server.name, "aosui");
});

test("a stored position is sent, and what is replayed is history", () => {
  const { Socket, socket, seen } = setUp({ position: { epoch: EPOCH, since: 3 } });
  socket.connect();
  assert.equal(Socket.last.url.searchParams.get("since"), "3");
  assert.equal(Socket.last.url.searchParams.get("epoch"), EPOCH);
  Socket.last.greet({ seq: 5, recovered: true, reason: "ok", events: [output(4), output(5)] });
  Socket.last.say(output(6));
  assert.deepEqual(seen.events, [[4, true], [5, true], [6, false]]);
  assert.equal(seen.snapshots[0].tails, false);
});

test("a position at 0 is sent too", () => {
  const { Socket, socket } = setUp({ position: { epoch: EPOCH, since: 0 } });
  socket.connect();
  assert.equal(Socket.last.url.searchParams.get("since"), "0");
});

test("a position given to connect serves only who has none", () => {
  const fresh = setUp();
  fresh.socket.connect({ epoch: EPOCH, since: 7 });
  assert.equal(fresh.Socket.last.url.searchParams.get("since"), "7");
  const { Socket, socket } = setUp({ position: { epoch: EPOCH, since: 3 } });
  socket.connect({ epoch: EPOCH, since: 7 });
  assert.equal(Socket.last.url.searchParams.get("since"), "3");
});

test("connect while connecting or live changes nothing", () => {
  const { Socket, socket } = setUp();
  socket.connect();
  socket.connect();
  Socket.last.greet();
  socket.connect();
  assert.equal(Socket.all.length, 1);
});

test("no welcome within 5 s: the socket is abandoned without waiting for its close", async () => {
  const { Socket, socket, clock } = setUp();
  socket.connect();
  await clock.advance(4_999);
  assert.equal(socket.state.name, "connecting");
  await clock.advance(1);
  assert.equal(socket.state.name, "reconnecting");
  await clock.advance(500);
  assert.equal(Socket.all.length, 2);
  Socket.all[1].greet({ seq: 5 });
  Socket.all[0].greet({ seq: 9, epoch: OTHER });
  Socket.all[0].drop();
  assert.equal(socket.state.name, "live");
  assert.equal(socket.epoch, EPOCH);
});

test("Node without a WebSocket is told so", () => {
  assert.throws(() => setUp({ WebSocket: null }), /no WebSocket here/);
});

test("an address that no socket takes closes with a reason", () => {
  class Refusing {
    constructor() {
      throw new SyntaxError("bad subprotocol");
    }
  }
  const { socket } = setUp({ WebSocket: Refusing });
  socket.connect();
  assert.equal(socket.state.name, "closed");
  assert.match(socket.state.error.message, /bad subprotocol/);
});

// -- following

test("an update is seen as snapshot, then as event, with the run that changed", () => {
  const { Socket, socket, seen } = live();
  const order = [];
  socket.on("snapshot", ({ run }) => order.push(`snapshot ${run.state}`));
  socket.on("event", ({ event }) => order.push(event.type));
  const before = socket.snapshot;
  Socket.last.say(updated(6, "r1", "succeeded"), output(7));
  assert.deepEqual(order, ["snapshot succeeded", "run.updated", "run.output"]);
  assert.equal(seen.snapshots.at(-1).tails, false);
  assert.notEqual(socket.snapshot, before);
  assert.equal(before.runs[0].state, "running");
  assert.equal(socket.lastSeq, 7);
});

test("duplicates are dropped", () => {
  const { Socket, seen } = live();
  Socket.last.say(output(6), output(6), output(5), output(7));
  assert.deepEqual(seen.events, [[6, false], [7, false]]);
});

test("a jump closes with 4000 and resumes from what was had", async () => {
  const { Socket, socket, seen, clock } = live();
  Socket.last.say(output(6), output(8), output(9));
  assert.equal(Socket.last.closedWith, 4000);
  assert.equal(socket.state.name, "reconnecting");
  await clock.advance(500);
  assert.equal(Socket.last.url.searchParams.get("since"), "6");
  Socket.last.greet({ seq: 9, recovered: true, reason: "ok", events: [output(7), output(8), output(9)] });
  assert.deepEqual(seen.events.map(([seq]) => seq), [6, 7, 8, 9]);
  assert.deepEqual(seen.snapshots.map(({ tails }) => tails), [true, false]);
});

test("what is no frame closes with 4000 too", () => {
  for (const junk of ["{", "null", "7", '"x"']) {
    const { Socket, socket } = live();
    Socket.last.say(junk);
    assert.equal(Socket.last.closedWith, 4000, junk);
    assert.equal(socket.state.name, "reconnecting");
  }
});

test("frames of another project are nobody's", () => {
  const { Socket, socket, seen } = live();
  Socket.last.say({ ...output(6), projectId: "other" }, { ...snapshot({ seq: 6 }), projectId: "other" });
  assert.deepEqual(seen.events, []);
  assert.equal(socket.snapshot.projectId, PROJECT);
  assert.equal(socket.lastSeq, 5);
});

test("a gap is named, and the snapshot behind it brings tails", () => {
  const { Socket, socket, seen } = live();
  Socket.last.say({ type: "gap", projectId: PROJECT, fromSeq: 6, toSeq: 90, reason: "tooOld" }, snapshot({ seq: 90 }), output(91));
  assert.deepEqual(seen.gaps, [{ fromSeq: 6, toSeq: 90, reason: "tooOld" }]);
  assert.deepEqual(socket.missing, seen.gaps);
  assert.equal(seen.snapshots.at(-1).tails, true);
  assert.deepEqual(seen.events, [[91, false]]);
});

test("a resume that the server could not serve is a gap, not silence", async () => {
  const { Socket, socket, seen, clock } = live();
  Socket.last.drop();
  await clock.advance(500);
  Socket.last.greet({ seq: 80, reason: "tooFar" });
  assert.deepEqual(seen.gaps, [{ fromSeq: 6, toSeq: 80, reason: "tooFar" }]);
  assert.deepEqual(seen.resets, []);
  assert.equal(socket.lastSeq, 80);
});

test("another epoch is a reset, before its snapshot", async () => {
  const { Socket, socket, seen, clock } = live();
  const order = [];
  socket.on("reset", () => order.push(["reset", socket.snapshot]));
  socket.on("snapshot", () => order.push(["snapshot", socket.snapshot.seq]));
  Socket.last.drop();
  await clock.advance(500);
  Socket.last.greet({ seq: 2, reason: "epochChanged", epoch: OTHER });
  assert.deepEqual(order, [["reset", null], ["snapshot", 2]]);
  assert.deepEqual(seen.resets, [OTHER]);
  assert.deepEqual(socket.position, { epoch: OTHER, since: 2 });
});

test("the server's errors are passed on", () => {
  const { Socket, seen } = live();
  Socket.last.say({ type: "error", projectId: null, error: { code: "badJson", message: "no", retryable: false, details: null }, fatal: false });
  assert.equal(seen.errors[0].error.code, "badJson");
  assert.equal(seen.errors[0].fatal, false);
});

// -- the iterator

test("each iterator has every event from its beginning on, once", async () => {
  const { Socket, socket } = live();
  const first = socket[Symbol.asyncIterator]();
  const waiting = first.next();
  Socket.last.say(output(6));
  const second = socket[Symbol.asyncIterator]();
  Socket.last.say(output(7), output(8));
  assert.equal((await waiting).value.seq, 6);
  assert.equal((await first.next()).value.seq, 7);
  assert.equal((await second.next()).value.seq, 7);
  const third = first.next();
  socket.close();
  assert.equal((await third).value.seq, 8);
  assert.deepEqual(await first.next(), { value: undefined, done: true });
});

test("for await ends with close, and goes on over a reconnect", async () => {
  const { Socket, socket, clock } = live();
  const had = [];
  const loop = (async () => {
    for await (const event of socket) had.push(event.seq);
  })();
  Socket.last.say(output(6));
  Socket.last.drop();
  await clock.advance(500);
  Socket.last.greet({ seq: 7, recovered: true, reason: "ok", events: [output(7)] });
  await settle();
  socket.close();
  await loop;
  assert.deepEqual(had, [6, 7]);
});

test("for await throws when the connection is over for a reason", async () => {
  const { Socket, socket } = live();
  const next = socket[Symbol.asyncIterator]().next();
  Socket.last.drop(4504);
  assert.equal((await rejection(next)).code, "projectClosed");
  assert.equal((await rejection(socket[Symbol.asyncIterator]().next())).code, "projectClosed");
});

test("leaving a for await forgets it", async () => {
  const { Socket, socket } = live();
  const loop = (async () => {
    for await (const event of socket) return event.seq;
  })();
  Socket.last.say(output(6), output(7));
  assert.equal(await loop, 6);
  const events = socket[Symbol.asyncIterator]();
  Socket.last.say(output(8));
  await events.return();
  assert.deepEqual(await events.next(), { value: undefined, done: true });
});

// -- requests

test("a request is sent once and resolved by its reply", async () => {
  const { Socket, socket } = live();
  const started = socket.start("shell:make", { fast: true });
  const [frame] = Socket.last.sent;
  assert.deepEqual({ ...frame, id: 0 }, { type: "run.start", projectId: PROJECT, id: 0, workflow: "shell:make", params: { fast: true } });
  assert.equal(socket.unanswered, 1);
  Socket.last.reply("somebody else's", {});
  Socket.last.reply(frame.id, { runId: "r2", since: 5, epoch: EPOCH });
  assert.deepEqual(await started, { runId: "r2", since: 5, epoch: EPOCH });
  assert.equal(socket.unanswered, 0);
});

test("every verb has its frame", () => {
  const { Socket, socket } = live();
  socket.cancel("r1");
  socket.retry("r1");
  socket.retry("r1", { secret: "x" });
  socket.input("r1", "yes\n");
  socket.answer("q1", { p1: "yes", p2: ["a", "b"] });
  assert.deepEqual(
    Socket.last.sent.map(({ id, projectId, ...rest }) => rest),
    [
      { type: "run.cancel", runId: "r1" },
      { type: "run.retry", runId: "r1" },
      { type: "run.retry", runId: "r1", params: { secret: "x" } },
      { type: "run.input", runId: "r1", text: "yes\n" },
      { type: "question.answer", questionId: "q1", answers: { p1: "yes", p2: ["a", "b"] } },
    ],
  );
  assert.equal(new Set(Socket.last.sent.map(({ id }) => id)).size, 5);
});

test("a refused request is an error with all the server said", async () => {
  const { Socket, socket } = live();
  const refused = rejection(socket.answer("q1", { p1: "no" }));
  const { id } = Socket.last.sent[0];
  Socket.last.refuse(id, { code: "questionClosed", message: "closed", retryable: false, details: { outcome: "answered" } });
  const { code, message, retryable, details, requestId } = await refused;
  assert.deepEqual({ code, message, retryable, details, requestId }, { code: "questionClosed", message: "closed", retryable: false, details: { outcome: "answered" }, requestId: id });
});

test("a retryable error is tried again under the same id", async () => {
  const { Socket, socket } = live();
  const refused = rejection(socket.cancel("r1"));
  Socket.last.refuse(Socket.last.sent[0].id, { code: "logUnavailable", message: "later", retryable: true, details: null });
  const error = await refused;
  assert.equal(error.retryable, true);
  const again = socket.cancel("r1", { id: error.requestId });
  assert.equal(Socket.last.sent[1].id, Socket.last.sent[0].id);
  assert.equal(socket.cancel("r1", { id: error.requestId }), again);
  assert.equal(Socket.last.sent.length, 2);
});

test("unanswered requests are sent again after synced, with their ids and in order", async () => {
  const { Socket, socket, clock } = live();
  const a = socket.cancel("r1");
  socket.input("r1", "x");
  const [before] = Socket.all;
  before.drop();
  const c = socket.start("shell:late");
  await clock.advance(500);
  Socket.last.say(welcome({ seq: 5, recovered: true, reason: "ok" }), snapshot({ seq: 5 }));
  assert.deepEqual(Socket.last.sent, []);
  Socket.last.say({ type: "synced", projectId: PROJECT, seq: 5 });
  assert.deepEqual(Socket.last.sent.slice(0, 2), before.sent);
  assert.equal(Socket.last.sent[2].workflow, "shell:late");
  Socket.last.reply(before.sent[0].id, { state: "cancelling" });
  Socket.last.reply(Socket.last.sent[2].id, { runId: "r2", since: 5, epoch: EPOCH });
  assert.deepEqual(await a, { state: "cancelling" });
  assert.equal((await c).runId, "r2");
});

test("not sent again into another epoch: the outcome is unknown", async () => {
  const { Socket, socket, clock } = live();
  const sent = rejection(socket.cancel("r1"));
  Socket.last.drop();
  const unsent = rejection(socket.cancel("r1"));
  await clock.advance(500);
  Socket.last.greet({ seq: 0, reason: "epochChanged", epoch: OTHER });
  assert.deepEqual(Socket.last.sent, []);
  assert.deepEqual([(await sent).code, (await sent).details], ["outcomeUnknown", { sent: true }]);
  assert.deepEqual([(await unsent).code, (await unsent).details], ["outcomeUnknown", { sent: false }]);
});

test("given up after 5 minutes, connected or not", async () => {
  const { socket, clock, Socket } = live();
  const quiet = rejection(socket.cancel("r1"));
  Socket.last.drop();
  let settled = false;
  quiet.then(() => (settled = true));
  await clock.advance(299_999);
  assert.equal(settled, false);
  await clock.advance(1);
  assert.equal((await quiet).code, "outcomeUnknown");
  assert.equal(socket.unanswered, 0);
});

test("one that grew old while the machine slept is not sent", async () => {
  const { socket, clock, Socket } = live();
  const old = rejection(socket.cancel("r1"));
  Socket.last.drop();
  clock.sleep(301_000);
  socket.wake();
  Socket.last.greet({ seq: 5, recovered: true, reason: "ok" });
  assert.deepEqual(Socket.last.sent, []);
  assert.equal((await old).code, "outcomeUnknown");
});

test("a request connects an idle project and is sent after synced", async () => {
  const { socket, Socket } = setUp();
  const started = socket.start("shell:make");
  assert.equal(Socket.all.length, 1);
  Socket.last.greet({ seq: 0 });
  Socket.last.reply(Socket.last.sent[0].id, { runId: "r1", since: 0, epoch: EPOCH });
  assert.equal((await started).runId, "r1");
});

test("a request that met dormancy half-way connects again", () => {
  const { socket, Socket } = live();
  socket.cancel("r1");
  Socket.last.drop(4510);
  assert.equal(Socket.all.length, 2);
  Socket.last.greet({ seq: 5, recovered: true, reason: "ok" });
  assert.deepEqual(Socket.all[1].sent, Socket.all[0].sent);
});

test("more than the server takes is refused here, not by a closed connection", async () => {
  const { socket, Socket } = live();
  const error = await rejection(socket.input("r1", "ü".repeat(140_000)));
  assert.equal(error.code, "messageTooBig");
  assert.deepEqual(Socket.last.sent, []);
});

test("when the connection is over, waiting requests learn what is known", async () => {
  const { socket, Socket, clock } = live();
  const sent = rejection(socket.cancel("r1"));
  Socket.last.drop();
  const unsent = rejection(socket.cancel("r1"));
  await clock.advance(500);
  Socket.last.drop(4504);
  assert.equal((await sent).code, "outcomeUnknown");
  assert.equal((await unsent).code, "projectClosed");
  assert.equal((await rejection(socket.cancel("r1"))).code, "projectClosed");
  assert.equal(clock.waiting, 0);
});

// -- liveness

test("quiet for 25 s: ping; quiet for 10 s more: resume, without waiting for a close", async () => {
  const { Socket, socket, clock } = live();
  await clock.advance(24_999);
  assert.deepEqual(Socket.last.sent, []);
  await clock.advance(1);
  assert.equal(Socket.last.sent[0].type, "ping");
  assert.equal(Socket.last.sent[0].projectId, PROJECT);
  await clock.advance(9_999);
  assert.equal(socket.state.name, "live");
  await clock.advance(1);
  assert.equal(socket.state.name, "reconnecting");
  assert.equal(Socket.all[0].closedWith, 4000);
  await clock.advance(500);
  assert.equal(Socket.last.url.searchParams.get("since"), "5");
  Socket.last.greet({ seq: 5, recovered: true, reason: "ok" });
  Socket.all[0].drop(4000);
  assert.equal(socket.state.name, "live");
});

test("anything received puts the ping off, and answers it", async () => {
  const { Socket, socket, clock } = live();
  await clock.advance(20_000);
  Socket.last.say(output(6));
  await clock.advance(24_999);
  assert.deepEqual(Socket.last.sent, []);
  await clock.advance(1);
  assert.equal(Socket.last.sent.length, 1);
  await clock.advance(9_000);
  Socket.last.say({ type: "pong", projectId: PROJECT, nonce: Socket.last.sent[0].nonce });
  await clock.advance(24_000);
  assert.equal(socket.state.name, "live");
  assert.equal(Socket.last.sent.length, 1);
});

test("a clock set back does not put the watchdog to sleep", async () => {
  const { Socket, clock } = live();
  await clock.advance(1_000);
  clock.sleep(-3_600_000);
  await clock.advance(25_000);
  assert.equal(Socket.last.sent[0].type, "ping");
  await clock.advance(10_000);
  assert.equal(Socket.all[0].closedWith, 4000);
});

test("back on the page: ping with 3 s", async () => {
  for (const back of [(page) => page.fire("pageshow"), (page) => page.fire("online"), (page) => page.become("visible")]) {
    const { Socket, socket, clock, page } = live();
    await clock.advance(1_000);
    back(page);
    assert.equal(Socket.last.sent[0].type, "ping");
    await clock.advance(2_999);
    assert.equal(socket.state.name, "live");
    await clock.advance(1);
    assert.equal(socket.state.name, "reconnecting");
  }
});

test("hiding the page sends nothing", () => {
  const { Socket, page } = live();
  page.become("hidden");
  assert.deepEqual(Socket.last.sent, []);
});

test("back on the page while waiting: try now", async () => {
  const { Socket, page } = live();
  Socket.last.drop();
  page.fire("online");
  assert.equal(Socket.all.length, 2);
});

// -- coming back

test("backoff: says when, grows, and is reset 5 s after synced", async () => {
  const { Socket, socket, clock } = live({ random: () => 0.5 });
  const waits = [];
  const cut = () => {
    Socket.last.drop();
    assert.equal(socket.state.name, "reconnecting");
    assert.equal(socket.state.error.code, "connectionLost");
    waits.push(socket.state.retryAt - clock.now());
  };
  for (let n = 0; n < 5; n++) {
    cut();
    const count = Socket.all.length;
    await clock.advance(waits.at(-1) - 1);
    assert.equal(Socket.all.length, count);
    await clock.advance(1);
    assert.equal(Socket.all.length, count + 1);
    Socket.last.greet({ seq: 5, recovered: true, reason: "ok" });
  }
  assert.deepEqual(waits, [750, 1000, 1500, 2500, 2500]);
  await clock.advance(5_000);
  cut();
  assert.equal(waits.at(-1), 750);
});

test("failed handshakes count, though nothing was ever synced", async () => {
  const { Socket, socket, clock } = live({ random: () => 0.5 });
  Socket.last.drop();
  assert.equal(socket.state.attempt, 1);
  await clock.advance(750);
  assert.equal(socket.state.name, "connecting");
  assert.equal(socket.state.error.code, "connectionLost");
  Socket.last.say(welcome({ seq: 5, recovered: true, reason: "ok" }));
  Socket.last.drop();
  assert.equal(socket.state.attempt, 2);
  assert.equal(socket.state.retryAt - clock.now(), 1000);
});

test("dormant is idle: nothing more happens until it is needed", async () => {
  const { Socket, socket, clock } = live();
  Socket.last.drop(4510);
  assert.equal(socket.state.name, "idle");
  assert.equal(socket.state.error, null);
  await clock.advance(600_000);
  assert.equal(Socket.all.length, 1);
  assert.equal(clock.waiting, 0);
  socket.connect();
  assert.equal(Socket.last.url.searchParams.get("since"), "5");
});

test("what is over stays over until the user asks", async () => {
  for (const [code, name, reason] of [
    [4500, "closed", "badRequest"],
    [4501, "signedOut", "unauthorized"],
    [4502, "closed", "forbidden"],
    [4503, "closed", "projectNotFound"],
    [4504, "closed", "projectClosed"],
    [4505, "closed", "unsupportedVersion"],
    [4506, "closed", "messageTooBig"],
    [1009, "closed", "messageTooBig"],
    [4508, "replaced", "replaced"],
    [4777, "closed", "connectionLost"],
  ]) {
    const { Socket, socket, clock, page } = live();
    Socket.last.drop(code);
    assert.equal(socket.state.name, name, `${code}`);
    assert.equal(socket.state.error.code, reason, `${code}`);
    page.fire("pageshow");
    page.fire("online");
    await clock.advance(600_000);
    assert.equal(Socket.all.length, 1, `${code}`);
    assert.equal(clock.waiting, 0);
    socket.connect();
    assert.equal(socket.state.error, null);
    Socket.last.greet({ seq: 5, recovered: true, reason: "ok" });
    assert.equal(socket.state.name, "live");
  }
});

test("a fatal error says why in the server's words", () => {
  const { Socket, socket, seen } = setUp();
  socket.connect();
  Socket.last.say({ type: "error", projectId: PROJECT, error: { code: "projectNotFound", message: "no such project is open", retryable: false, details: null }, fatal: true });
  Socket.last.drop(4503);
  assert.equal(seen.errors[0].fatal, true);
  assert.equal(socket.state.name, "closed");
  assert.equal(socket.state.error.message, "no such project is open");
});

test("a server that shuts down is come back to", async () => {
  const { Socket, socket, clock } = live();
  Socket.last.say({ type: "error", projectId: PROJECT, error: { code: "shuttingDown", message: "bye", retryable: true, details: null }, fatal: true });
  Socket.last.drop(1001);
  assert.equal(socket.state.error.code, "shuttingDown");
  await clock.advance(500);
  assert.equal(Socket.all.length, 2);
});

test("close: 1000, and nothing is left", async () => {
  const { Socket, socket, clock, page } = live();
  socket.close();
  assert.equal(Socket.last.closedWith, 1000);
  assert.equal(socket.state.name, "closed");
  assert.equal(socket.state.error.code, "closed");
  assert.equal(clock.waiting, 0);
  assert.equal(page.listening, 0);
  Socket.last.say(output(6));
  Socket.last.drop(1006);
  page.fire("pageshow");
  await clock.advance(100_000);
  assert.equal(socket.lastSeq, 5);
  assert.equal(socket.state.name, "closed");
  assert.equal(Socket.all.length, 1);
});

test("close from inside a state listener holds", async () => {
  const { Socket, socket, clock } = setUp();
  socket.on("state", ({ name }) => name === "live" && socket.close());
  socket.connect();
  Socket.last.greet({ seq: 5 });
  assert.equal(socket.state.name, "closed");
  await clock.advance(60_000);
  assert.equal(Socket.all.length, 1);
  assert.equal(clock.waiting, 0);
});

// -- twice failed before any frame

async function failTwice(answer) {
  const all = setUp();
  all.web.routes[`GET /ui/api/projects/${PROJECT}`] = answer;
  all.socket.connect();
  all.Socket.last.drop();
  assert.equal(all.web.calls.length, 0);
  await all.clock.advance(500);
  all.Socket.last.drop();
  await settle();
  assert.equal(all.web.calls.length, 1);
  return all;
}

test("twice nothing, and HTTP answers an error: it decides", async () => {
  for (const [code, status, name] of [
    ["unauthorized", 401, "signedOut"],
    ["projectNotFound", 404, "closed"],
    ["hostNotAllowed", 403, "closed"],
    ["originNotAllowed", 403, "closed"],
  ]) {
    const { socket, clock, Socket } = await failTwice(failure(code, status));
    assert.equal(socket.state.name, name);
    assert.equal(socket.state.error.code, code);
    await clock.advance(60_000);
    assert.equal(Socket.all.length, 2);
  }
});

test("twice nothing, and HTTP answers: a proxy is in between; it goes on trying", async () => {
  const { socket, clock, Socket } = await failTwice({ json: snapshot({ seq: 1 }) });
  assert.equal(socket.state.name, "reconnecting");
  assert.equal(socket.state.error.code, "webSocketBlocked");
  await clock.advance(500);
  Socket.last.greet({ seq: 1 });
  assert.equal(socket.state.name, "live");
});

test("twice nothing, and no HTTP either: offline, and it goes on trying", async () => {
  for (const answer of [null, failure("shuttingDown", 503), { status: 502, text: "<h1>Bad gateway</h1>" }, { status: 404, text: "<h1>?</h1>" }]) {
    const { socket, clock, Socket } = await failTwice(answer);
    assert.equal(socket.state.name, "offline");
    assert.equal(socket.state.retryAt, clock.now() + 500);
    await clock.advance(500);
    assert.equal(Socket.all.length, 3);
  }
});

test("an HTTP answer that never comes is offline after 5 s", async () => {
  const { socket, clock } = await failTwice(() => new Promise(() => {}));
  assert.equal(socket.state.name, "connecting");
  await clock.advance(5_000);
  assert.equal(socket.state.name, "offline");
});

test("closed while HTTP is asked: the answer is of the past", async () => {
  let answer;
  const { socket, clock, Socket } = await failTwice(() => new Promise((resolve) => (answer = resolve)));
  socket.close();
  answer(failure("unauthorized", 401));
  await clock.advance(60_000);
  assert.equal(socket.state.name, "closed");
  assert.equal(Socket.all.length, 2);
});

test("any frame ends the count of silent failures", async () => {
  const { socket, Socket, clock, web } = setUp();
  socket.connect();
  Socket.last.drop();
  await clock.advance(500);
  Socket.last.say(welcome({ seq: 0 }));
  Socket.last.drop();
  await clock.advance(500);
  Socket.last.drop();
  await settle();
  assert.equal(web.calls.length, 0);
});

// -- shown without a connection

test("load shows the project, and its position is one to connect with", async () => {
  const { socket, Socket, web, seen } = setUp();
  web.routes[`GET /ui/api/projects/${PROJECT}`] = { json: snapshot({ seq: 12, runs: [{ runId: "r1", state: "failed" }] }) };
  await Promise.all([socket.load(), socket.load()]);
  assert.equal(web.calls.length, 1);
  assert.equal(Socket.all.length, 0);
  assert.equal(socket.state.name, "idle");
  assert.equal(socket.snapshot.runs[0].state, "failed");
  assert.equal(seen.snapshots.length, 1);
  assert.equal(seen.snapshots[0].tails, true);
  socket.connect();
  assert.equal(Socket.last.url.searchParams.get("since"), "12");
});

test("load keeps an own position of the same epoch, and forgets one of another", async () => {
  const same = setUp({ position: { epoch: EPOCH, since: 3 } });
  same.web.routes[`GET /ui/api/projects/${PROJECT}`] = { json: snapshot({ seq: 12 }) };
  await same.socket.load();
  assert.equal(same.socket.lastSeq, 3);
  assert.deepEqual(same.seen.resets, []);
  const other = setUp({ position: { epoch: OTHER, since: 30 } });
  other.web.routes[`GET /ui/api/projects/${PROJECT}`] = { json: snapshot({ seq: 12 }) };
  await other.socket.load();
  assert.equal(other.socket.lastSeq, 12);
  assert.deepEqual(other.seen.resets, [EPOCH]);
});

test("load of what has gone, or is not for us, says so; trouble does not", async () => {
  for (const [answer, name] of [
    [failure("projectNotFound", 404), "closed"],
    [failure("unauthorized", 401), "signedOut"],
    [failure("shuttingDown", 503), "idle"],
    [null, "idle"],
  ]) {
    const { socket, web } = setUp();
    web.routes[`GET /ui/api/projects/${PROJECT}`] = answer;
    await socket.load();
    assert.equal(socket.state.name, name);
  }
});

test("a load that a connection overtook is forgotten", async () => {
  let answer;
  const { socket, Socket, web, seen } = setUp();
  web.routes[`GET /ui/api/projects/${PROJECT}`] = () => new Promise((resolve) => (answer = resolve));
  const loading = socket.load();
  socket.connect();
  Socket.last.greet({ seq: 20 });
  answer({ json: snapshot({ seq: 12 }) });
  await loading;
  assert.equal(socket.lastSeq, 20);
  assert.equal(seen.snapshots.length, 1);
});
