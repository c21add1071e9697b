/**
 * The JavaScript client of aosui: one ES module without dependencies, for browsers and Node >= 20.
 *
 * - `AosuiApi`: the plain HTTP calls.
 * - `ProjectSocket`: one project, live: reconnects and resumes by itself.
 * - `ProjectSockets`: all open projects, each connected only while there is something to see.
 * - `fold`, `follow`, `closeAction`, `backoff`: the rules of the protocol as plain functions.
 *
 * `docs/protocol.md` is the wire; section numbers in comments are its.
 *
 * ```js
 * const sockets = new ProjectSockets();
 * const socket = sockets.open("site-1a2b3c");
 * socket.on("snapshot", ({ snapshot }) => draw(snapshot.runs));
 * const { runId } = await socket.start("shell:make-test", {});
 * ```
 *
 * @module aosui-client
 */

// ---------------------------------------------------------------------------------------------
// The words of the wire

/** @typedef {"queued" | "running" | "waiting" | "cancelling"} ActiveState */
/** @typedef {"succeeded" | "failed" | "cancelled" | "interrupted"} FinalState */
/** @typedef {ActiveState | FinalState} RunState */

/**
 * Why something was refused or a run failed; `code` is stable, `message` is for people.
 *
 * @typedef {object} ErrorInfo
 * @property {string} code
 * @property {string} message
 * @property {boolean} retryable
 * @property {Record<string, any> | null} details
 */

/** @typedef {{current: number, total: number | null, message: string}} Progress */
/** @typedef {{value: string, label: string, description: string}} Option */

/**
 * @typedef {object} Prompt
 * @property {string} promptId
 * @property {string} text
 * @property {string} header
 * @property {Option[]} options       none: free text
 * @property {boolean} multiple
 * @property {boolean} allowOther
 */

/** @typedef {{questionId: string, askedAt: string, prompts: Prompt[]}} Question */
/** @typedef {Record<string, string | string[]>} Answers   by promptId */

/**
 * The whole latest status of one run. Times are RFC 3339 UTC.
 *
 * @typedef {object} Run
 * @property {string} runId
 * @property {string} workflow        `<executor>:<name>`
 * @property {string} executor
 * @property {string} title
 * @property {Record<string, any>} params   secrets are shown as "•••"
 * @property {RunState} state
 * @property {number} attempt
 * @property {string | null} retryOf
 * @property {string | null} by
 * @property {string} createdAt
 * @property {string | null} startedAt
 * @property {string | null} endedAt
 * @property {Progress | null} progress
 * @property {Question[]} questions   open ones only
 * @property {any} result
 * @property {ErrorInfo | null} error
 * @property {boolean} retryable
 * @property {number | null} firstSeq seq of the run's first event; null when of an earlier epoch
 */

/**
 * The state of a project at `seq`: all active runs and the last 20 final ones. `outputTails` are
 * the newest output events of the active runs, as of the server's last snapshot frame.
 *
 * @typedef {object} Snapshot
 * @property {string} projectId
 * @property {string} epoch
 * @property {number} seq
 * @property {{name: string}} project
 * @property {Run[]} runs
 * @property {Record<string, RunOutput[]>} outputTails
 */

/** @typedef {{projectId: string, seq: number, ts: string}} EventBase */
/** @typedef {EventBase & {type: "run.updated", run: Run, requestId?: string}} RunUpdated */
/** @typedef {EventBase & {type: "run.output", runId: string, stream: "stdout" | "stderr" | "log", text: string}} RunOutput */
/** @typedef {EventBase & {type: "run.event", runId: string, name: string, data: any}} RunEvent */
/** @typedef {EventBase & {type: "question.closed", runId: string, questionId: string, outcome: "answered" | "cancelled", answers: Answers | null, by: string | null, requestId?: string}} QuestionClosed */
/** @typedef {EventBase & {type: "project.event", name: string, data: any}} ProjectEvent */
/** @typedef {RunUpdated | RunOutput | RunEvent | QuestionClosed | ProjectEvent} ProjectLogEvent */

/** @typedef {"fresh" | "noEpoch" | "epochChanged" | "ahead" | "tooOld" | "tooFar" | "ok"} ResumeReason */

/**
 * @typedef {object} Welcome
 * @property {"welcome"} type
 * @property {string} projectId
 * @property {number} protocol
 * @property {{name: string, version: string}} server
 * @property {string} connectionId
 * @property {string} epoch
 * @property {number} seq
 * @property {number} firstSeq
 * @property {{recovered: boolean, reason: ResumeReason, replayed: number}} resume
 * @property {{maxMessageBytes: number, requestsPerSecond: number}} limits
 * @property {number | null} dormantAfterMs
 */

/** Events `fromSeq..toSeq` will not come by themselves; `AosuiApi.events` has them if kept.
 * @typedef {{fromSeq: number, toSeq: number, reason: string}} Missing */

/** Where in a project's log a client stands.
 * @typedef {{epoch: string, since: number}} Position */

/** @typedef {{projectId: string, name: string, root: string, epoch: string, seq: number | null, activity: {active: number, queued: number, waiting: number}}} ProjectInfo */
/** @typedef {{name: string, type: "string" | "text" | "integer" | "number" | "boolean", required: boolean, default: any, choices: any[], description: string, secret: boolean}} Param */
/** @typedef {{workflow: string, executor: string, title: string, description: string, params: Param[]}} Workflow */
/** @typedef {{executor: string, error: ErrorInfo}} WorkflowError */
/** @typedef {{name: string, distribution: string | null, version: string | null, status: "ok" | "broken" | "incompatible" | "duplicate", reason: string | null, blocked: {at: string, seconds: number, where: string} | null}} ExecutorInfo */
/** @typedef {{runId: string, since: number, epoch: string}} Started */
/** @typedef {{events: ProjectLogEvent[], next: number | null, firstSeq: number, seq: number, epoch: string}} EventsPage */

// ---------------------------------------------------------------------------------------------
// Errors

/**
 * Every way in which a call fails. `code` is one of section 8's, or the client's own:
 *
 * - `outcomeUnknown`: a request whose reply never came; it may have happened. `details.sent` is
 *   false when it was never sent, so it did not.
 * - `closed`: the socket was closed by `close()`.
 * - `connectionLost`: the line was cut; it comes back by itself.
 * - `replaced`: this page's connection was replaced by another with the same client id.
 * - `offline`: the server does not answer.
 * - `webSocketBlocked`: HTTP works and WebSocket does not: a proxy in between.
 * - `badResponse`: what answered is not aosui.
 */
export class AosuiError extends Error {
  /**
   * @param {string} code
   * @param {string} message
   * @param {{retryable?: boolean, details?: Record<string, any> | null, status?: number | null, requestId?: string | null}} [more]
   */
  constructor(code, message, { retryable = false, details = null, status = null, requestId = null } = {}) {
    super(message);
    this.name = "AosuiError";
    /** @readonly */ this.code = code;
    /** Whether the same later may go well. @readonly */ this.retryable = retryable;
    /** @readonly @type {Record<string, any> | null} */ this.details = details;
    /** The HTTP status, of an HTTP call. @readonly @type {number | null} */ this.status = status;
    /**
     * The id of the request: sent again with this id (`{id}`), it never acts twice.
     * @readonly @type {string | null}
     */
    this.requestId = requestId;
  }
}

/**
 * @param {Partial<ErrorInfo> | null | undefined} info
 * @param {{status?: number, requestId?: string}} [more]
 */
function errorFrom(info, more = {}) {
  const { code = "badResponse", message = "the server's answer has no reason", retryable, details } = info ?? {};
  return new AosuiError(code, message, { retryable, details, ...more });
}

// ---------------------------------------------------------------------------------------------
// The rules, pure

const FINAL = new Set(["succeeded", "failed", "cancelled", "interrupted"]);
const KEPT_FINAL_RUNS = 20;
const EVENTS = new Set(["run.updated", "run.output", "run.event", "question.closed", "project.event"]);
const CONTROL = new Set(["welcome", "snapshot", "synced", "gap", "reply", "error", "pong"]);

/**
 * Whether a frame is an event of the log that stands at `head`. One of a type that this version
 * does not know is, if it is the next: it takes its place there, and is shown to nobody.
 *
 * @param {any} frame
 * @param {number | null} head
 */
function isEvent({ type, seq }, head) {
  return EVENTS.has(type) || (!CONTROL.has(type) && head !== null && seq === head + 1);
}

/** Whether a run has ended.
 * @param {Pick<Run, "state">} run */
export function isFinal(run) {
  return FINAL.has(run.state);
}

/**
 * Fold one server frame into the state of a project: a `snapshot` frame is the new state, an event
 * above `snapshot.seq` moves it, everything else leaves it alone. Nothing is changed in place; the
 * same object comes back when nothing changed.
 *
 * Only `run.updated` carries state: it is the whole latest status of its run. Ended runs come first,
 * in the order in which they ended, and the last 20 of them stay; then the active ones.
 *
 * @param {Snapshot | null} snapshot
 * @param {any} frame   a server frame, decoded
 * @returns {Snapshot | null}
 */
export function fold(snapshot, frame) {
  if (frame.type === "snapshot") {
    const { projectId, epoch, seq, project, runs, outputTails = {} } = frame;
    return { projectId, epoch, seq, project, runs, outputTails };
  }
  if (snapshot === null || !isEvent(frame, snapshot.seq) || frame.seq <= snapshot.seq) return snapshot;
  if (frame.type !== "run.updated") return { ...snapshot, seq: frame.seq };
  return { ...snapshot, seq: frame.seq, runs: withRun(snapshot.runs, frame.run) };
}

/**
 * @param {Run[]} runs
 * @param {Run} run
 */
function withRun(runs, run) {
  const at = runs.findIndex(({ runId }) => runId === run.runId);
  if (at >= 0 && isFinal(runs[at]) === isFinal(run)) return runs.map((old, i) => (i === at ? run : old));
  const all = [...runs.filter((_, i) => i !== at), run];
  const active = all.filter((other) => !isFinal(other));
  return [...all.filter(isFinal).slice(-KEPT_FINAL_RUNS), ...active];
}

/**
 * What a client knows of a project: the folded snapshot, and its cursor in the log.
 *
 * @typedef {object} View
 * @property {string | null} epoch
 * @property {number | null} lastSeq       the last event had
 * @property {Snapshot | null} snapshot
 * @property {Missing[]} missing           what was skipped, in this epoch
 */

/**
 * What a frame means for the cursor: `reset` = another log: forget all output and every seq;
 * `missing` = events were skipped; `event` = to be shown, and in the state; `history` = to be
 * shown, in the snapshot already; `drop` = had before; `resync` = close with 4000 and resume;
 * `ignore` = not for the cursor.
 *
 * @typedef {"reset" | "missing" | "snapshot" | "event" | "history" | "drop" | "resync" | "ignore"} Verdict
 */

/** @type {View} */
export const EMPTY_VIEW = Object.freeze({ epoch: null, lastSeq: null, snapshot: null, missing: [] });

/**
 * Follow the log by one server frame (section 5).
 *
 * @param {View} view
 * @param {any} frame   a server frame, decoded
 * @returns {{view: View, verdict: Verdict}}
 */
export function follow(view, frame) {
  switch (frame.type) {
    case "welcome":
      return followWelcome(view, frame);
    case "snapshot":
      return { view: { ...view, snapshot: fold(view.snapshot, frame) }, verdict: "snapshot" };
    case "synced":
      return { view, verdict: frame.seq === view.lastSeq ? "ignore" : "resync" };
    case "gap": {
      const { fromSeq, toSeq, reason } = frame;
      const missing = [...view.missing, { fromSeq, toSeq, reason }];
      return { view: { ...view, lastSeq: toSeq, missing }, verdict: "missing" };
    }
  }
  if (!isEvent(frame, view.lastSeq)) return { view, verdict: "ignore" };
  if (view.lastSeq === null) return { view, verdict: "resync" };
  if (frame.seq <= view.lastSeq) return { view, verdict: "drop" };
  if (frame.seq !== view.lastSeq + 1) return { view, verdict: "resync" };
  const history = view.snapshot !== null && frame.seq <= view.snapshot.seq;
  const shown = history ? "history" : "event";
  return {
    view: { ...view, lastSeq: frame.seq, snapshot: fold(view.snapshot, frame) },
    verdict: EVENTS.has(frame.type) ? shown : "ignore",
  };
}

/**
 * @param {View} view
 * @param {Welcome} welcome
 * @returns {{view: View, verdict: Verdict}}
 */
function followWelcome(view, { epoch, seq, resume }) {
  if (epoch === view.epoch && view.lastSeq !== null) {
    if (resume.recovered) return { view, verdict: "ignore" };
    if (view.lastSeq <= seq) {
      const missing = [...view.missing, { fromSeq: view.lastSeq + 1, toSeq: seq, reason: resume.reason }];
      return { view: { ...view, lastSeq: seq, missing }, verdict: "missing" };
    }
  }
  return { view: { epoch, lastSeq: seq, snapshot: null, missing: [] }, verdict: "reset" };
}

/**
 * What to do after a close code (section 10): decided by the code alone.
 *
 * @param {number} code
 * @returns {"reconnect" | "idle" | "replaced" | "signedOut" | "closed"}
 */
export function closeAction(code) {
  if (code === 4510) return "idle";
  if (code === 4508) return "replaced";
  if (code === 4501) return "signedOut";
  return code === 1000 || code === 1009 || code >= 4500 ? "closed" : "reconnect";
}

/** @type {Record<number, [string, string]>} */
const CLOSE_ERRORS = {
  1000: ["closed", "the connection was closed"],
  1009: ["messageTooBig", "the message is too big"],
  4004: ["internal", "something went wrong inside the server"],
  4007: ["connectionLimit", "too many connections"],
  4008: ["rateLimited", "too many requests"],
  4500: ["badRequest", "the handshake is malformed"],
  4501: ["unauthorized", "sign in first"],
  4502: ["forbidden", "you may not see this project"],
  4503: ["projectNotFound", "no such project is open"],
  4504: ["projectClosed", "the project was closed"],
  4505: ["unsupportedVersion", "the server does not speak this version of the protocol"],
  4506: ["messageTooBig", "the message is too big"],
  4508: ["replaced", "another connection of this page took over"],
};

/**
 * Milliseconds to wait before the attempt after `n` failed ones (section 10).
 *
 * @param {number} n
 * @param {() => number} random   0 <= random() < 1
 */
export function backoff(n, random) {
  return Math.min(4000, 500 + random() * Math.min(4000, 500 * 2 ** n));
}

// ---------------------------------------------------------------------------------------------
// Seams

/** @typedef {{now(): number, setTimeout(callback: () => void, ms: number): any, clearTimeout(timer: any): void}} Clock   milliseconds, wall clock */
/** @typedef {new (url: string, protocols: string[]) => WebSocket} WebSocketClass */
/**
 * The events of the page: `focus`, `pageshow` and `online` of it, `visibilitychange` of its
 * document.
 * @typedef {EventTarget & {document: EventTarget & {visibilityState: string}}} PageWindow
 */

/** @type {Clock} */
const systemClock = {
  now: () => Date.now(),
  setTimeout: (callback, ms) => globalThis.setTimeout(callback, ms),
  clearTimeout: (timer) => globalThis.clearTimeout(timer),
};

function uuid() {
  // crypto.randomUUID is missing on plain http other than localhost.
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}

/** Made anew at each page load and never stored (section 5). */
const CLIENT_ID = uuid();

/**
 * An EventTarget of CustomEvents whose `on` knows their types.
 *
 * @template {Record<string, any>} Events   type of event -> type of its `detail`
 */
export class Emitter extends EventTarget {
  /**
   * Call `listener` with the `detail` of each event; the function that comes back ends it.
   *
   * @template {keyof Events & string} Type
   * @param {Type} type
   * @param {(detail: Events[Type]) => void} listener
   * @returns {() => void}
   */
  on(type, listener) {
    /** @param {Event} event */
    const handler = (event) => listener(/** @type {CustomEvent} */ (event).detail);
    this.addEventListener(type, handler);
    return () => this.removeEventListener(type, handler);
  }

  /**
   * @protected
   * @template {keyof Events & string} Type
   * @param {Type} type
   * @param {Events[Type]} detail
   */
  emit(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}

// ---------------------------------------------------------------------------------------------
// HTTP

/**
 * @typedef {object} ApiOptions
 * @property {string | URL} [base]   where aosui lives, `http://127.0.0.1:8765/` or with a prefix; default: the page's own directory
 * @property {string | null} [token] sent as Bearer; none: the session cookie
 * @property {typeof globalThis.fetch} [fetch]
 * @property {number} [timeout]      ms for a whole call, default 30 s
 */

/**
 * The plain HTTP calls of section 7. Each rejects with an `AosuiError`: the server's own, or
 * `offline` (retryable) when it did not answer, or `badResponse`.
 *
 * The calls that act take `{id}`, a UUID: the same id again is answered with the first outcome.
 */
export class AosuiApi {
  #fetch;
  #timeout;

  /** @param {ApiOptions} [options] */
  constructor({ base, token = null, fetch = globalThis.fetch, timeout = 30_000 } = {}) {
    /** Ends with a slash. @readonly @type {URL} */
    this.base = baseUrl(base);
    /** @readonly @type {string | null} */
    this.token = token;
    this.#fetch = fetch;
    this.#timeout = timeout;
  }

  /**
   * List the open projects. With the `etag` of an earlier answer, `projects` is null when nothing
   * changed since.
   *
   * @param {{etag?: string | null}} [options]
   * @returns {Promise<{projects: ProjectInfo[] | null, etag: string | null}>}
   */
  async projects({ etag = null } = {}) {
    const response = await this.#send("GET", "projects", { headers: etag ? { "If-None-Match": etag } : {} });
    if (response.status === 304) return { projects: null, etag };
    const { projects } = await body(response);
    return { projects, etag: response.headers.get("ETag") };
  }

  /**
   * Open the project of a directory of the server's; the same directory has the same id for ever.
   *
   * @param {string} root
   * @param {{name?: string, id?: string}} [options]
   * @returns {Promise<ProjectInfo>}
   */
  openProject(root, options = {}) {
    return this.#call("POST", "projects", { json: { root, ...options } });
  }

  /**
   * @param {string} projectId
   * @returns {Promise<Snapshot>}
   */
  async project(projectId) {
    return /** @type {Snapshot} */ (fold(null, { ...(await this.#call("GET", path("projects", projectId))), type: "snapshot" }));
  }

  /**
   * Close a project for everybody. `cancel` ends its runs first (else `projectBusy`), `forget`
   * deletes its log.
   *
   * @param {string} projectId
   * @param {{cancel?: boolean, forget?: boolean}} [options]
   * @returns {Promise<void>}
   */
  closeProject(projectId, { cancel = false, forget = false } = {}) {
    const query = { cancel: cancel || undefined, forget: forget || undefined };
    return this.#call("DELETE", path("projects", projectId), { query });
  }

  /**
   * @param {string} projectId
   * @returns {Promise<{workflows: Workflow[], errors: WorkflowError[]}>}
   */
  workflows(projectId) {
    return this.#call("GET", path("projects", projectId, "workflows"));
  }

  /**
   * Runs, newest first; `before` is the runId to go on from.
   *
   * @param {string} projectId
   * @param {{before?: string, limit?: number}} [query]
   * @returns {Promise<{runs: Run[], more: boolean}>}
   */
  runs(projectId, query = {}) {
    return this.#call("GET", path("projects", projectId, "runs"), { query });
  }

  /**
   * @param {string} projectId
   * @param {string} runId
   * @returns {Promise<Run>}
   */
  run(projectId, runId) {
    return this.#call("GET", path("projects", projectId, "runs", runId));
  }

  /**
   * Events after or before a position, oldest first; `next` is the position to go on from.
   *
   * @param {string} projectId
   * @param {{after?: number, before?: number, runId?: string, limit?: number}} [query]
   * @returns {Promise<EventsPage>}
   */
  events(projectId, query = {}) {
    return this.#call("GET", path("projects", projectId, "events"), { query });
  }

  /**
   * Start a run, of an idle project too; then `socket.connect(started)` misses nothing of it.
   *
   * @param {string} projectId
   * @param {string} workflow
   * @param {Record<string, any>} [params]
   * @param {{id?: string}} [options]
   * @returns {Promise<Started>}
   */
  startRun(projectId, workflow, params = {}, { id } = {}) {
    return this.#call("POST", path("projects", projectId, "runs"), { json: { id, workflow, params } });
  }

  /**
   * @param {string} projectId
   * @param {string} runId
   * @param {{id?: string}} [options]
   * @returns {Promise<{state: RunState}>}
   */
  cancelRun(projectId, runId, { id } = {}) {
    return this.#call("POST", path("projects", projectId, "runs", runId, "cancel"), { json: { id } });
  }

  /**
   * @param {string} projectId
   * @param {string} runId
   * @param {Record<string, any>} [params]   those to change; secrets have to be given again
   * @param {{id?: string}} [options]
   * @returns {Promise<Started>}
   */
  retryRun(projectId, runId, params, { id } = {}) {
    return this.#call("POST", path("projects", projectId, "runs", runId, "retry"), { json: { id, params } });
  }

  /**
   * @param {string} projectId
   * @param {string} runId
   * @param {string} text
   * @param {{id?: string}} [options]
   * @returns {Promise<{}>}
   */
  sendInput(projectId, runId, text, { id } = {}) {
    return this.#call("POST", path("projects", projectId, "runs", runId, "input"), { json: { id, text } });
  }

  /**
   * @param {string} projectId
   * @param {string} questionId
   * @param {Answers} answers
   * @param {{id?: string}} [options]
   * @returns {Promise<{}>}
   */
  answerQuestion(projectId, questionId, answers, { id } = {}) {
    return this.#call("POST", path("projects", projectId, "questions", questionId, "answer"), { json: { id, answers } });
  }

  /** @returns {Promise<{executors: ExecutorInfo[]}>} */
  executors() {
    return this.#call("GET", "executors");
  }

  /**
   * Exchange a token for the session cookie.
   *
   * @param {string} token
   * @returns {Promise<void>}
   */
  signIn(token) {
    return this.#call("POST", "session", { json: {}, token });
  }

  /**
   * The address and the subprotocols of a project's WebSocket.
   *
   * @param {string} projectId
   * @param {{position?: Position | null, clientId?: string}} [options]
   * @returns {{url: string, protocols: string[]}}
   */
  webSocket(projectId, { position = null, clientId = CLIENT_ID } = {}) {
    const url = new URL("ws", this.base);
    url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
    url.searchParams.set("projectId", projectId);
    if (position) {
      url.searchParams.set("since", String(position.since));
      url.searchParams.set("epoch", position.epoch);
    }
    url.searchParams.set("clientId", clientId);
    return { url: url.href, protocols: ["aosui.v1", ...(this.token ? [`aosui.bearer.${this.token}`] : [])] };
  }

  /**
   * @param {string} method
   * @param {string} route
   * @param {{json?: any, query?: Record<string, any>, token?: string | null, headers?: Record<string, string>}} [options]
   * @returns {Promise<any>}
   */
  async #call(method, route, options) {
    return body(await this.#send(method, route, options));
  }

  /**
   * @param {string} method
   * @param {string} route
   * @param {{json?: any, query?: Record<string, any>, token?: string | null, headers?: Record<string, string>}} [options]
   */
  async #send(method, route, { json, query = {}, token = this.token, headers = {} } = {}) {
    const url = new URL(`api/${route}`, this.base);
    for (const [name, value] of Object.entries(query)) {
      if (value !== undefined && value !== null) url.searchParams.set(name, String(value));
    }
    if (token) headers = { ...headers, Authorization: `Bearer ${token}` };
    if (json !== undefined) headers = { ...headers, "Content-Type": "application/json" };
    const init = { method, headers, body: json === undefined ? undefined : JSON.stringify(json) };
    try {
      // Called as a plain function: a browser's fetch refuses any other `this`.
      const fetch = this.#fetch;
      return await fetch(url.href, { ...init, cache: "no-store", signal: AbortSignal.timeout(this.#timeout) });
    } catch (cause) {
      const error = new AosuiError("offline", "the server does not answer", { retryable: true });
      error.cause = cause;
      throw error;
    }
  }
}

/** @param {...string} parts */
function path(...parts) {
  return parts.map(encodeURIComponent).join("/");
}

/** @param {Response} response */
async function body(response) {
  if (response.status === 204) return undefined;
  const value = await response.json().catch(() => null);
  if (response.ok && value !== null) return value;
  const message = `the server answered with HTTP ${response.status}`;
  throw errorFrom(value?.error ?? { code: "badResponse", message, retryable: response.ok || response.status >= 500 }, { status: response.status });
}

/**
 * @param {string | URL | undefined} base
 * @returns {URL}
 */
function baseUrl(base) {
  if (base === undefined) {
    if (!globalThis.document) throw new TypeError("there is no page here: say where aosui lives with `base`");
    return new URL(".", globalThis.document.baseURI);
  }
  const url = new URL(base, globalThis.document?.baseURI);
  url.search = url.hash = "";
  if (!url.pathname.endsWith("/")) url.pathname += "/";
  return url;
}

// ---------------------------------------------------------------------------------------------
// One project

/**
 * How a project's connection stands.
 *
 * - `idle`: not connected, and no need to be: nothing runs (or not connected yet).
 * - `connecting`: on its way, up to the server's `synced`.
 * - `live`: what is shown is what is.
 * - `reconnecting`: the line was cut; tries again at `retryAt`. With `error.code`
 *   `webSocketBlocked`, HTTP gets through and WebSocket does not.
 * - `offline`: the server answers neither; tries again at `retryAt`.
 * - `replaced`, `signedOut`, `closed`: over until `connect()` is called; `error` says why, in
 *   `closed` it is `closed` after `close()`, else `projectClosed`, `projectNotFound`, `forbidden`, ….
 *
 * @typedef {"idle" | "connecting" | "live" | "reconnecting" | "offline" | "replaced" | "signedOut" | "closed"} SocketStateName
 */

/**
 * @typedef {object} SocketState
 * @property {SocketStateName} name
 * @property {number} at                 when it became so (ms)
 * @property {number | null} retryAt     when it tries again (ms), of `reconnecting` and `offline`
 * @property {number} attempt            failed attempts in a row
 * @property {AosuiError | null} error   why it is not live
 */

/**
 * The events of a `ProjectSocket`, in the order in which they come on a connection.
 *
 * - `state`: `socket.state` changed.
 * - `reset`: another log than before (its epoch changed): forget all output and every seq. Not
 *   fired for the first connection of a socket without a position.
 * - `gap`: events were skipped; `socket.missing` has all of them.
 * - `snapshot`: `socket.snapshot` has other runs than before: `run` is the one that changed, null
 *   when the server sent a whole snapshot. `tails` says that output before now was not replayed:
 *   `snapshot.outputTails` is where to begin.
 * - `event`: one event of the log, each once and in order; `history` when it is older than the
 *   snapshot that came before it.
 * - `error`: the server refused a frame, or is about to close (`fatal`).
 *
 * @typedef {object} ProjectSocketEvents
 * @property {SocketState} state
 * @property {{epoch: string}} reset
 * @property {Missing} gap
 * @property {{snapshot: Snapshot, run: Run | null, tails: boolean}} snapshot
 * @property {{event: ProjectLogEvent, history: boolean}} event
 * @property {{error: AosuiError, fatal: boolean}} error
 */

/**
 * @typedef {object} SocketOptions
 * @property {string} projectId
 * @property {AosuiApi} [api]             or `base`, `token` and `fetch`, to make one
 * @property {string | URL} [base]
 * @property {string | null} [token]
 * @property {typeof globalThis.fetch} [fetch]
 * @property {Position | null} [position] where to resume
 * @property {string} [clientId]          default: one a page load
 * @property {WebSocketClass} [WebSocket]
 * @property {Clock} [clock]
 * @property {() => number} [random]
 * @property {PageWindow | null} [window] default: the page's, none in Node
 */

/**
 * @typedef {object} Waiting   a request without its reply
 * @property {string} id
 * @property {string} text
 * @property {number} at
 * @property {string | null} epoch
 * @property {boolean} sent
 * @property {any} timer
 * @property {Promise<any>} promise
 * @property {(result: any) => void} resolve
 * @property {(error: AosuiError) => void} reject
 */

const WELCOME_MS = 5_000;
const QUIET_MS = 25_000;
const PONG_MS = 10_000;
const WAKE_PONG_MS = 3_000;
const STEADY_MS = 5_000;
const REQUEST_MS = 5 * 60_000;
const MAX_MESSAGE_BYTES = 256 * 1024;
const OVER = new Set(["replaced", "signedOut", "closed"]);

/**
 * One project, live: connects, notices dead lines, reconnects and resumes by itself, so that every
 * event of the log comes once and in order, or is named as missing.
 *
 * Nothing happens before `connect()` (or a request). A socket that is no longer wanted needs
 * `close()`.
 *
 * @extends {Emitter<ProjectSocketEvents>}
 */
export class ProjectSocket extends Emitter {
  #clientId;
  #WebSocket;
  #clock;
  #random;
  #window;
  /** @type {SocketState} */ #state;
  #view = EMPTY_VIEW;
  /** @type {Welcome | null} */ #welcome = null;
  /** @type {number | null} */ #heardAt = null;
  /** The current generation: whatever another socket still says is nobody's. @type {WebSocket | null} */ #ws = null;
  /** Whether this generation has said anything. */ #heard = false;
  /** @type {AosuiError | null} */ #fatal = null;
  /** Failed attempts since the last steady connection. */ #failures = 0;
  /** Attempts in a row that ended before any frame. */ #silent = 0;
  /** Counts decisions: what was awaited meanwhile is of the past. */ #turn = 0;
  #pinged = false;
  #tails = false;
  /** @type {Promise<void> | null} */ #loading = null;
  /** @type {any} */ #watch = null;
  /** @type {any} */ #retry = null;
  /** @type {any} */ #steady = null;
  /** @type {Map<string, Waiting>} */ #outbox = new Map();
  /** @type {Set<EventQueue>} */ #queues = new Set();
  /** @type {(() => void) | null} */ #unlisten = null;

  /** @param {SocketOptions} options */
  constructor({
    projectId,
    api,
    base,
    token,
    fetch,
    position = null,
    clientId = CLIENT_ID,
    WebSocket = globalThis.WebSocket,
    clock = systemClock,
    random = Math.random,
    window = /** @type {PageWindow | null} */ (globalThis.window ?? null),
  }) {
    super();
    if (!WebSocket) throw new TypeError("there is no WebSocket here: pass one, such as that of `ws`");
    /** @readonly */ this.projectId = projectId;
    /** @readonly */ this.api = api ?? new AosuiApi({ base, token, fetch });
    this.#clientId = clientId;
    this.#WebSocket = WebSocket;
    this.#clock = clock;
    this.#random = random;
    this.#window = window;
    this.#state = { name: "idle", at: clock.now(), retryAt: null, attempt: 0, error: null };
    if (position) this.#view = { ...EMPTY_VIEW, epoch: position.epoch, lastSeq: position.since };
  }

  /** @returns {SocketState} */
  get state() {
    return this.#state;
  }

  /**
   * The state of the project, folded live; null before the first one came. A new object at each
   * change.
   *
   * @returns {Snapshot | null}
   */
  get snapshot() {
    return this.#view.snapshot;
  }

  /** @returns {string | null} */
  get epoch() {
    return this.#view.epoch;
  }

  /** The seq of the last event had, 0 for an empty log. @returns {number | null} */
  get lastSeq() {
    return this.#view.lastSeq;
  }

  /** Where to resume; what another socket takes as its `position`. @returns {Position | null} */
  get position() {
    const { epoch, lastSeq } = this.#view;
    return epoch === null || lastSeq === null ? null : { epoch, since: lastSeq };
  }

  /** What was skipped in this epoch. @returns {readonly Missing[]} */
  get missing() {
    return this.#view.missing;
  }

  /** When the server was last heard (ms): what is shown is as of then. @returns {number | null} */
  get heardAt() {
    return this.#heardAt;
  }

  /** What the server said of itself at the last handshake. @returns {Welcome | null} */
  get welcome() {
    return this.#welcome;
  }

  /** How many requests wait for their reply. @returns {number} */
  get unanswered() {
    return this.#outbox.size;
  }

  /**
   * Connect now, also out of a wait and out of `replaced`, `signedOut` and `closed`; nothing
   * when already connected or connecting.
   *
   * @param {Position} [position]   used when the socket has none of its own: a reply to `startRun`
   */
  connect(position) {
    if (position && this.#view.epoch === null) {
      this.#view = { ...EMPTY_VIEW, epoch: position.epoch, lastSeq: position.since };
    }
    if (this.#ws !== null) return;
    if (OVER.has(this.#state.name)) this.#failures = this.#silent = 0;
    this.#listen();
    this.#attempt();
  }

  /**
   * Show the project without connecting: take the state from `GET /api/projects/ID`, which is a
   * position too. Only while `idle` and without a snapshot; errors end up in `state`, except
   * retryable ones, which leave it idle.
   *
   * @returns {Promise<void>}
   */
  load() {
    if (this.#state.name !== "idle" || this.#view.snapshot !== null) return Promise.resolve();
    this.#loading ??= this.#load().finally(() => {
      this.#loading = null;
    });
    return this.#loading;
  }

  async #load() {
    const turn = this.#turn;
    try {
      const snapshot = await this.api.project(this.projectId);
      if (this.#turn !== turn) return;
      const { epoch, lastSeq } = this.#view;
      const same = epoch === snapshot.epoch;
      this.#heardAt = this.#clock.now();
      this.#view = { epoch: snapshot.epoch, lastSeq: same ? lastSeq : snapshot.seq, snapshot, missing: [] };
      if (epoch !== null && !same) this.emit("reset", { epoch: snapshot.epoch });
      this.emit("snapshot", { snapshot, run: null, tails: !same });
    } catch (cause) {
      const error = /** @type {AosuiError} */ (cause);
      if (this.#turn === turn && decides(error)) this.#finish(error.status === 401 ? "signedOut" : "closed", error);
    }
  }

  /** Look whether the line is alive, or try again now: for when the page comes back. */
  wake() {
    if (this.#state.name === "live") this.#ping(WAKE_PONG_MS);
    else if (this.#retry !== null) this.#attempt();
  }

  /** Close for good (1000): runs go on. Requests that wait are rejected, iterators end. */
  close() {
    const ws = this.#ws;
    this.#ws = null;
    ws?.close(1000);
    this.#unlisten?.();
    this.#unlisten = null;
    this.#finish("closed", new AosuiError("closed", "the connection was closed"));
  }

  /**
   * @param {string} workflow
   * @param {Record<string, any>} [params]
   * @param {{id?: string}} [options]
   * @returns {Promise<Started>}
   */
  start(workflow, params = {}, options) {
    return this.request("run.start", { workflow, params }, options);
  }

  /**
   * @param {string} runId
   * @param {{id?: string}} [options]
   * @returns {Promise<{state: RunState}>}   a run that ended already: its final state
   */
  cancel(runId, options) {
    return this.request("run.cancel", { runId }, options);
  }

  /**
   * Run again what failed, was cancelled or interrupted, as a new run.
   *
   * @param {string} runId
   * @param {Record<string, any>} [params]   those to change; secrets have to be given again
   * @param {{id?: string}} [options]
   * @returns {Promise<Started>}
   */
  retry(runId, params, options) {
    return this.request("run.retry", { runId, params }, options);
  }

  /**
   * @param {string} runId
   * @param {string} text
   * @param {{id?: string}} [options]
   * @returns {Promise<{}>}
   */
  input(runId, text, options) {
    return this.request("run.input", { runId, text }, options);
  }

  /**
   * Answer every prompt of a question. The first answer wins: later ones are rejected with
   * `questionClosed`, the outcome in `details`.
   *
   * @param {string} questionId
   * @param {Answers} answers
   * @param {{id?: string}} [options]
   * @returns {Promise<{}>}
   */
  answer(questionId, answers, options) {
    return this.request("question.answer", { questionId, answers }, options);
  }

  /**
   * Send a request and wait for its one reply, over reconnects; connects when idle. Rejected with
   * the server's error, or `outcomeUnknown` when no reply came within 5 minutes or the log is
   * another one by then.
   *
   * @param {string} type
   * @param {Record<string, any>} fields
   * @param {{id?: string}} [options]   the id of an earlier try whose error was retryable
   * @returns {Promise<any>}
   */
  request(type, fields, { id = uuid() } = {}) {
    const { name, error } = this.#state;
    if (OVER.has(name)) return Promise.reject(error);
    const known = this.#outbox.get(id);
    if (known) return known.promise;
    const text = JSON.stringify({ type, projectId: this.projectId, id, ...fields });
    const most = this.#welcome?.limits.maxMessageBytes ?? MAX_MESSAGE_BYTES;
    if (new TextEncoder().encode(text).length > most) {
      return Promise.reject(new AosuiError("messageTooBig", `this is more than the ${most} bytes that the server takes`));
    }
    /** @type {any} */ const waiting = { id, text, at: this.#clock.now(), epoch: this.#view.epoch, sent: false };
    waiting.promise = new Promise((resolve, reject) => Object.assign(waiting, { resolve, reject }));
    waiting.timer = this.#clock.setTimeout(() => this.#giveUp(waiting), REQUEST_MS);
    this.#outbox.set(id, waiting);
    if (name === "live") this.#send(waiting);
    else if (name === "idle") this.connect();
    return waiting.promise;
  }

  /**
   * The events from now on. Ends after `close()`; throws the state's error when the connection is
   * over for another reason. What is not yet consumed waits in memory.
   *
   * @returns {AsyncIterableIterator<ProjectLogEvent>}
   */
  [Symbol.asyncIterator]() {
    const queue = new EventQueue(() => this.#queues.delete(queue));
    this.#queues.add(queue);
    if (OVER.has(this.#state.name)) queue.end(this.#state.error);
    return queue;
  }

  /**
   * @param {SocketStateName} name
   * @param {{retryAt?: number | null, error?: AosuiError | null}} [more]
   */
  #become(name, { retryAt = null, error = null } = {}) {
    const attempt = name === "live" || name === "idle" ? 0 : this.#failures;
    this.#state = { name, at: this.#clock.now(), retryAt, attempt, error };
    this.emit("state", this.#state);
  }

  #attempt() {
    this.#turn++;
    this.#clearTimers();
    this.#heard = this.#pinged = false;
    this.#fatal = null;
    const { url, protocols } = this.api.webSocket(this.projectId, { position: this.position, clientId: this.#clientId });
    let ws;
    try {
      ws = new this.#WebSocket(url, protocols);
    } catch (cause) {
      this.#finish("closed", new AosuiError("badRequest", `this address cannot be connected to: ${cause}`));
      return;
    }
    this.#ws = ws;
    ws.onmessage = ({ data }) => {
      if (this.#ws === ws) this.#receive(data);
    };
    ws.onclose = ({ code }) => {
      if (this.#ws === ws) this.#closed(code);
    };
    // Every error is followed by a close; Node's `ws` throws one that nobody listens to.
    ws.onerror = () => {};
    this.#watch = this.#clock.setTimeout(() => this.#abandon("the server does not answer the handshake"), WELCOME_MS);
    this.#become("connecting", { error: OVER.has(this.#state.name) ? null : this.#state.error });
  }

  /** @param {any} data */
  #receive(data) {
    this.#heardAt = this.#clock.now();
    this.#heard = true;
    this.#pinged = false;
    this.#silent = 0;
    const frame = decode(data);
    if (frame === null) return this.#abandon("the server sent what is no frame");
    if (frame.projectId !== this.projectId && frame.type !== "error") return;
    if (frame.type === "reply") return this.#replied(frame);
    if (frame.type === "error") {
      const error = errorFrom(frame.error);
      if (frame.fatal) this.#fatal = error;
      return this.emit("error", { error, fatal: frame.fatal === true });
    }
    if (frame.type === "welcome") {
      this.#welcome = frame;
      this.#watchFor(QUIET_MS);
    }
    const before = this.#view;
    const { view, verdict } = follow(before, frame);
    this.#view = view;
    const { snapshot } = view;
    switch (verdict) {
      case "resync":
        return this.#abandon("events are missing in between");
      case "reset":
        this.#tails = true;
        if (before.epoch !== null) this.emit("reset", { epoch: frame.epoch });
        break;
      case "missing":
        this.#tails = true;
        this.emit("gap", view.missing[view.missing.length - 1]);
        break;
      case "snapshot": {
        const tails = this.#tails;
        this.#tails = false;
        if (snapshot) this.emit("snapshot", { snapshot, run: null, tails });
        break;
      }
      case "event":
      case "history":
        if (snapshot && verdict === "event" && frame.type === "run.updated") {
          this.emit("snapshot", { snapshot, run: frame.run, tails: false });
        }
        this.emit("event", { event: frame, history: verdict === "history" });
        for (const queue of this.#queues) queue.push(frame);
    }
    if (frame.type === "synced") this.#synced();
  }

  #synced() {
    this.#steady = this.#clock.setTimeout(() => {
      this.#failures = 0;
    }, STEADY_MS);
    this.#become("live");
    const now = this.#clock.now();
    for (const waiting of [...this.#outbox.values()]) {
      const stale = waiting.epoch !== null && waiting.epoch !== this.#view.epoch;
      if (stale || now - waiting.at >= REQUEST_MS) this.#giveUp(waiting);
      else this.#send(waiting);
    }
  }

  /** @param {Waiting} waiting */
  #send(waiting) {
    waiting.sent = true;
    this.#ws?.send(waiting.text);
  }

  /** @param {{id: string, ok: boolean, result?: any, error?: ErrorInfo}} reply */
  #replied({ id, ok, result, error }) {
    const waiting = this.#take(id);
    if (ok) waiting?.resolve(result);
    else waiting?.reject(errorFrom(error, { requestId: id }));
  }

  /**
   * @param {string} id
   * @returns {Waiting | undefined}
   */
  #take(id) {
    const waiting = this.#outbox.get(id);
    this.#outbox.delete(id);
    if (waiting) this.#clock.clearTimeout(waiting.timer);
    return waiting;
  }

  /** @param {Waiting} waiting */
  #giveUp({ id, sent, reject }) {
    this.#take(id);
    const message = sent ? "no reply came: it may have happened" : "the server was not reached: it did not happen";
    reject(new AosuiError("outcomeUnknown", message, { details: { sent }, requestId: id }));
  }

  /** @param {number} code */
  #closed(code) {
    this.#ws = null;
    const [name, message] = CLOSE_ERRORS[code] ?? ["connectionLost", `the connection was lost (${code})`];
    const action = closeAction(code);
    const error = this.#fatal ?? new AosuiError(name, message, { retryable: action === "reconnect" });
    if (action === "reconnect") {
      this.#lost(error);
    } else if (action === "idle") {
      this.#turn++;
      this.#clearTimers();
      this.#failures = 0;
      this.#become("idle");
      if (this.#outbox.size > 0) this.connect();
    } else {
      this.#finish(action, error);
    }
  }

  /**
   * Leave the current socket to itself and resume on another: its `close` may take minutes.
   *
   * @param {string} why
   */
  #abandon(why) {
    const ws = this.#ws;
    this.#ws = null;
    ws?.close(4000);
    this.#lost(new AosuiError("connectionLost", why, { retryable: true }));
  }

  /** @param {AosuiError} error */
  async #lost(error) {
    const turn = ++this.#turn;
    this.#clearTimers();
    if (!this.#heard) this.#silent++;
    const n = this.#failures++;
    /** @type {SocketStateName} */ let name = "reconnecting";
    if (this.#silent >= 2) {
      error = await this.#probe();
      if (this.#turn !== turn) return;
      if (decides(error)) return this.#finish(error.status === 401 ? "signedOut" : "closed", error);
      if (error.code !== "webSocketBlocked") name = "offline";
    }
    const delay = backoff(n, this.#random);
    this.#retry = this.#clock.setTimeout(() => this.#attempt(), delay);
    this.#become(name, { retryAt: this.#clock.now() + delay, error });
  }

  /**
   * Ask over HTTP why the socket fails unseen.
   *
   * @returns {Promise<AosuiError>}
   */
  #probe() {
    const late = new AosuiError("offline", "the server does not answer", { retryable: true });
    const blocked = new AosuiError("webSocketBlocked", "the server answers, but something in between does not pass WebSockets", { retryable: true });
    return new Promise((resolve) => {
      const timer = this.#clock.setTimeout(() => resolve(late), WELCOME_MS);
      this.api
        .project(this.projectId)
        .then(() => resolve(blocked), resolve)
        .finally(() => this.#clock.clearTimeout(timer));
    });
  }

  /**
   * @param {"replaced" | "signedOut" | "closed"} name
   * @param {AosuiError} error
   */
  #finish(name, error) {
    this.#turn++;
    this.#clearTimers();
    for (const waiting of [...this.#outbox.values()]) {
      if (waiting.sent) this.#giveUp(waiting);
      else this.#take(waiting.id)?.reject(error);
    }
    for (const queue of [...this.#queues]) queue.end(error.code === "closed" ? null : error);
    this.#become(name, { error });
  }

  /** @param {number} ms */
  #watchFor(ms) {
    this.#clock.clearTimeout(this.#watch);
    this.#watch = this.#clock.setTimeout(() => this.#look(), ms);
  }

  #look() {
    if (this.#pinged) return this.#abandon("the line is dead");
    const quiet = this.#clock.now() - (this.#heardAt ?? 0);
    // A clock that was set back says nothing about the line: ask it.
    if (quiet >= QUIET_MS || quiet < 0) this.#ping(PONG_MS);
    else this.#watchFor(QUIET_MS - quiet);
  }

  /** @param {number} patience */
  #ping(patience) {
    this.#pinged = true;
    this.#watchFor(patience);
    this.#ws?.send(JSON.stringify({ type: "ping", projectId: this.projectId, nonce: String(this.#clock.now()) }));
  }

  #clearTimers() {
    for (const timer of [this.#watch, this.#retry, this.#steady]) this.#clock.clearTimeout(timer);
    this.#watch = this.#retry = this.#steady = null;
  }

  #listen() {
    if (this.#window !== null) this.#unlisten ??= onReturn(this.#window, ["pageshow", "online"], () => this.wake());
  }
}

/**
 * Whether an answer over HTTP says that trying again is of no use.
 *
 * @param {AosuiError} error
 */
function decides({ code, status, retryable }) {
  return status !== null && !retryable && code !== "badResponse";
}

/**
 * @param {any} data
 * @returns {any}   an object, or null
 */
function decode(data) {
  try {
    const frame = JSON.parse(data);
    return typeof frame === "object" ? frame : null;
  } catch {
    return null;
  }
}

/**
 * Call back when the page comes back: one of `types`, or it becomes visible.
 *
 * @param {PageWindow} window
 * @param {string[]} types
 * @param {(visible: boolean) => void} callback
 * @param {boolean} [hiding]   also when it goes away
 * @returns {() => void}
 */
function onReturn(window, types, callback, hiding = false) {
  const { document } = window;
  const returned = () => callback(true);
  const changed = () => {
    const visible = document.visibilityState !== "hidden";
    if (visible || hiding) callback(visible);
  };
  for (const type of types) window.addEventListener(type, returned);
  document.addEventListener("visibilitychange", changed);
  return () => {
    for (const type of types) window.removeEventListener(type, returned);
    document.removeEventListener("visibilitychange", changed);
  };
}

/** The events that one `for await` has still to take. */
class EventQueue {
  #forget;
  /** @type {ProjectLogEvent[]} */ #events = [];
  /** @type {{resolve: (result: IteratorResult<ProjectLogEvent>) => void, reject: (error: Error) => void}[]} */ #takers = [];
  #ended = false;
  /** @type {Error | null} */ #error = null;

  /** @param {() => void} forget */
  constructor(forget) {
    this.#forget = forget;
  }

  /** @param {ProjectLogEvent} event */
  push(event) {
    const taker = this.#takers.shift();
    if (taker) taker.resolve({ value: event, done: false });
    else this.#events.push(event);
  }

  /** @param {Error | null} error */
  end(error) {
    this.#forget();
    this.#ended = true;
    this.#error = error;
    for (const taker of this.#takers.splice(0)) this.#last().then(taker.resolve, taker.reject);
  }

  /** @returns {Promise<IteratorResult<ProjectLogEvent>>} */
  next() {
    if (this.#events.length > 0) return Promise.resolve({ value: /** @type {ProjectLogEvent} */ (this.#events.shift()), done: false });
    if (this.#ended) return this.#last();
    return new Promise((resolve, reject) => this.#takers.push({ resolve, reject }));
  }

  /** @returns {Promise<IteratorResult<ProjectLogEvent>>} */
  return() {
    this.#events = [];
    this.end(null);
    return this.#last();
  }

  [Symbol.asyncIterator]() {
    return this;
  }

  /** @returns {Promise<IteratorResult<ProjectLogEvent>>} */
  #last() {
    const error = this.#error;
    this.#error = null;
    return error ? Promise.reject(error) : Promise.resolve({ value: undefined, done: true });
  }
}

// ---------------------------------------------------------------------------------------------
// All open projects

/**
 * The events of `ProjectSockets`.
 *
 * - `projects`: the server's list changed.
 * - `state`: whether the server answers changed.
 *
 * @typedef {object} ProjectSocketsEvents
 * @property {{projects: readonly ProjectInfo[]}} projects
 * @property {ListState} state
 */

/**
 * Whether the server's list is known: `unknown` before the first answer, `signedOut` after a 401.
 *
 * @typedef {{name: "unknown" | "ok" | "offline" | "signedOut", at: number, error: AosuiError | null}} ListState
 */

/**
 * The lazy rule (section 4) for all open projects: each has a `ProjectSocket`, which is connected
 * when the user opens the project, when it has requests, and when the server's list shows it
 * active or elsewhere than the socket stands.
 *
 * @extends {Emitter<ProjectSocketsEvents>}
 */
export class ProjectSockets extends Emitter {
  #options;
  #clock;
  #window;
  #visibleMs;
  #hiddenMs;
  /** @type {ListState} */ #state;
  /** @type {readonly ProjectInfo[]} */ #projects = [];
  /** @type {string | null} */ #etag = null;
  /** @type {Map<string, ProjectSocket>} */ #sockets = new Map();
  #started = false;
  /** @type {any} */ #timer = null;
  /** @type {Promise<void> | null} */ #polling = null;
  #again = false;
  /** @type {(() => void) | null} */ #unlisten = null;

  /**
   * @param {Omit<SocketOptions, "projectId" | "position"> & {visibleMs?: number, hiddenMs?: number}} [options]
   *   what every socket gets; the list is asked for every `visibleMs` (5 s) and, hidden, `hiddenMs` (60 s)
   */
  constructor({ visibleMs = 5_000, hiddenMs = 60_000, api, base, token, fetch, ...socketOptions } = {}) {
    super();
    /** @readonly */ this.api = api ?? new AosuiApi({ base, token, fetch });
    this.#options = { ...socketOptions, api: this.api };
    this.#clock = socketOptions.clock ?? systemClock;
    this.#window = socketOptions.window === undefined ? /** @type {PageWindow | null} */ (globalThis.window ?? null) : socketOptions.window;
    this.#visibleMs = visibleMs;
    this.#hiddenMs = hiddenMs;
    this.#state = { name: "unknown", at: this.#clock.now(), error: null };
  }

  /** Begin to ask for the list, at once and from then on. */
  start() {
    if (this.#started) return;
    this.#started = true;
    if (this.#window !== null) {
      this.#unlisten = onReturn(
        this.#window,
        ["focus", "pageshow", "online"],
        (visible) => (visible ? this.poll() : this.#wait()),
        true,
      );
    }
    this.poll();
  }

  /** Stop asking and close every socket. */
  stop() {
    this.#started = false;
    this.#unlisten?.();
    this.#unlisten = null;
    this.#clock.clearTimeout(this.#timer);
    for (const { projectId } of [...this]) this.close(projectId);
  }

  /** Ask for the list now. Resolves when the answer was acted on, whatever it was. @returns {Promise<void>} */
  poll() {
    // An answer that is already on its way may be older than what the caller knows.
    if (this.#polling !== null) this.#again = true;
    this.#polling ??= this.#poll().finally(() => {
      this.#polling = null;
      this.#wait();
    });
    return this.#polling;
  }

  async #poll() {
    do {
      this.#again = false;
      try {
        const { projects, etag } = await this.api.projects({ etag: this.#etag });
        this.#etag = etag;
        this.#become("ok", null);
        if (projects !== null) {
          this.#projects = projects;
          this.emit("projects", { projects });
        }
        this.#connectWhatMoves();
      } catch (cause) {
        const error = /** @type {AosuiError} */ (cause);
        this.#become(error.status === 401 ? "signedOut" : "offline", error);
      }
    } while (this.#again);
  }

  #wait() {
    this.#clock.clearTimeout(this.#timer);
    if (!this.#started || this.#polling !== null) return;
    const hidden = this.#window?.document.visibilityState === "hidden";
    this.#timer = this.#clock.setTimeout(() => this.poll(), hidden ? this.#hiddenMs : this.#visibleMs);
  }

  #connectWhatMoves() {
    const listed = new Map(this.#projects.map((info) => [info.projectId, info]));
    for (const socket of this) {
      if (socket.state.name !== "idle") continue;
      const info = listed.get(socket.projectId);
      const moved = (/** @type {ProjectInfo} */ { epoch, seq, activity }) =>
        activity.active > 0 || (socket.epoch !== null && (epoch !== socket.epoch || seq !== socket.lastSeq));
      // One that is no longer listed connects too: the server says why it has gone.
      if (info === undefined || moved(info)) socket.connect();
      else socket.load();
    }
  }

  /**
   * @param {ListState["name"]} name
   * @param {AosuiError | null} error
   */
  #become(name, error) {
    if (name === this.#state.name && error?.code === this.#state.error?.code) return;
    this.#state = { name, at: this.#clock.now(), error };
    this.emit("state", this.#state);
  }

  /** @returns {ListState} */
  get state() {
    return this.#state;
  }

  /** The server's projects, open here or not. @returns {readonly ProjectInfo[]} */
  get projects() {
    return this.#projects;
  }

  /**
   * Open a project, as the user's act: connects it.
   *
   * @param {string} projectId
   * @param {Position} [position]
   * @returns {ProjectSocket}   the same one while the project stays open here
   */
  open(projectId, position) {
    const socket = this.#socket(projectId);
    socket.connect(position);
    return socket;
  }

  /**
   * Take up a project that was open before a reload: shown, and connected only if the list says so.
   *
   * @param {string} projectId
   * @returns {ProjectSocket}
   */
  restore(projectId) {
    const socket = this.#socket(projectId);
    if (this.#started) this.poll();
    return socket;
  }

  /**
   * Close a project here (1000); its runs go on.
   *
   * @param {string} projectId
   */
  close(projectId) {
    this.#sockets.get(projectId)?.close();
    this.#sockets.delete(projectId);
  }

  /**
   * Start a run over HTTP, of an idle project too; if the project is open here, it is connected
   * and misses nothing of the run.
   *
   * @param {string} projectId
   * @param {string} workflow
   * @param {Record<string, any>} [params]
   * @param {{id?: string}} [options]
   * @returns {Promise<Started>}
   */
  async startRun(projectId, workflow, params, options) {
    const started = await this.api.startRun(projectId, workflow, params, options);
    this.get(projectId)?.connect(started);
    this.poll();
    return started;
  }

  /**
   * @param {string} projectId
   * @returns {ProjectSocket | undefined}
   */
  get(projectId) {
    return this.#sockets.get(projectId);
  }

  /** The sockets of the open projects, oldest first. @returns {IterableIterator<ProjectSocket>} */
  [Symbol.iterator]() {
    return this.#sockets.values();
  }

  /** @param {string} projectId */
  #socket(projectId) {
    let socket = this.#sockets.get(projectId);
    if (!socket) this.#sockets.set(projectId, (socket = new ProjectSocket({ ...this.#options, projectId })));
    return socket;
  }
}
