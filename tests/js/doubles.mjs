// Doubles for the client's seams: a clock that is moved by hand, sockets that say what a test says,
// a server that answers HTTP from a table, a page that is shown and hidden.

export const PROJECT = "demo-1a2b3c";
export const EPOCH = "abcdefghijkl";
const TS = "2026-01-02T03:04:05.678Z";

/** Lets everything that already has its answer happen. */
export const settle = () => new Promise((resolve) => setImmediate(resolve));

export class Clock {
  time = 1_000_000;
  /** What timers go by: it stands still while the machine sleeps, and nobody sets it. */
  #ran = 0;
  #next = 1;
  #timers = new Map();

  now = () => this.time;

  setTimeout = (callback, ms) => {
    this.#timers.set(this.#next, { at: this.#ran + ms, callback });
    return this.#next++;
  };

  clearTimeout = (timer) => {
    this.#timers.delete(timer);
  };

  /** How many timers wait. */
  get waiting() {
    return this.#timers.size;
  }

  /** Move on, and let everything due happen in its order. */
  async advance(ms) {
    const until = this.#ran + ms;
    for (;;) {
      await settle();
      const due = [...this.#timers].filter(([, { at }]) => at <= until).sort(([a, x], [b, y]) => x.at - y.at || a - b)[0];
      if (!due) break;
      const [timer, { at, callback }] = due;
      this.#timers.delete(timer);
      this.#run(at);
      callback();
    }
    this.#run(until);
  }

  #run(until) {
    this.time += until - this.#ran;
    this.#ran = until;
  }

  /** Sleep as a laptop does, or be set: time changes and no timer runs. */
  sleep(ms) {
    this.time += ms;
  }
}

/** A WebSocket class whose instances a test plays the server of. */
export function sockets() {
  return class Socket {
    /** @type {Socket[]} */ static all = [];
    static get last() {
      return this.all[this.all.length - 1];
    }

    sent = [];
    closedWith = null;

    constructor(url, protocols) {
      this.url = new URL(url);
      this.protocols = protocols;
      Socket.all.push(this);
    }

    send(text) {
      this.sent.push(JSON.parse(text));
    }

    close(code = 1005) {
      this.closedWith ??= code;
    }

    // The server's side
    say(...frames) {
      for (const frame of frames) this.onmessage({ data: typeof frame === "string" ? frame : JSON.stringify(frame) });
    }

    /** Greet with a state at `seq`. */
    greet({ seq = 0, recovered = false, reason = "fresh", epoch = EPOCH, runs = [], events = [] } = {}) {
      this.say(welcome({ seq, recovered, reason, epoch }), snapshot({ seq, epoch, runs }), ...events);
      const lastSeq = recovered ? Number(this.url.searchParams.get("since")) + events.length : seq;
      this.say({ type: "synced", projectId: PROJECT, ts: TS, seq: lastSeq });
    }

    drop(code = 1006) {
      this.onclose({ code, reason: "" });
    }

    reply(id, result) {
      this.say({ type: "reply", projectId: PROJECT, ts: TS, id, ok: true, result });
    }

    refuse(id, error) {
      this.say({ type: "reply", projectId: PROJECT, ts: TS, id, ok: false, error });
    }
  };
}

export const welcome = ({ seq, recovered = false, reason = "fresh", epoch = EPOCH }) => ({
  type: "welcome",
  projectId: PROJECT,
  ts: TS,
  protocol: 1,
  server: { name: "aosui", version: "0" },
  connectionId: "c",
  epoch,
  seq,
  firstSeq: 1,
  resume: { recovered, reason, replayed: 0 },
  limits: { maxMessageBytes: 262144, requestsPerSecond: 50 },
  dormantAfterMs: 30000,
});

export const snapshot = ({ seq, epoch = EPOCH, runs = [], projectId = PROJECT }) => ({
  type: "snapshot",
  projectId,
  ts: TS,
  epoch,
  seq,
  project: { name: "demo" },
  runs,
  outputTails: {},
});

export const output = (seq, text = `line ${seq}\n`) => ({
  type: "run.output",
  runId: "r1",
  projectId: PROJECT,
  seq,
  ts: TS,
  stream: "stdout",
  text,
});

export const updated = (seq, runId, state) => ({ type: "run.updated", projectId: PROJECT, seq, ts: TS, run: { runId, state } });

export const failure = (code, status = 400) => ({
  status,
  json: { error: { code, message: `${code}!`, retryable: status >= 500 || status === 429, details: null } },
});

/** A `fetch` that answers from `routes`: "METHOD path" -> {status, json, headers}, or a function of the call. */
export function server(routes) {
  const calls = [];
  const fetch = async (href, { method, headers, body }) => {
    const url = new URL(href);
    const call = { method, path: url.pathname, query: Object.fromEntries(url.searchParams), headers, body: body && JSON.parse(body) };
    calls.push(call);
    const route = routes[`${method} ${url.pathname}`];
    const answer = await (typeof route === "function" ? route(call) : route);
    if (!answer) throw new TypeError("fetch failed");
    const { status = 200, json, text, headers: out = {} } = answer;
    const empty = status === 204 || status === 304;
    return new Response(empty ? null : (text ?? JSON.stringify(json)), { status, headers: out });
  };
  return { fetch, calls, routes };
}

/** A page that can be hidden, shown and brought back. */
export class Page extends EventTarget {
  document = Object.assign(new EventTarget(), { visibilityState: "visible" });
  /** How many listeners there are. */
  listening = 0;

  constructor() {
    super();
    for (const target of [this, this.document]) {
      const { addEventListener, removeEventListener } = target;
      target.addEventListener = (...args) => (this.listening++, addEventListener.apply(target, args));
      target.removeEventListener = (...args) => (this.listening--, removeEventListener.apply(target, args));
    }
  }

  become(visibilityState) {
    this.document.visibilityState = visibilityState;
    this.document.dispatchEvent(new Event("visibilitychange"));
  }

  fire(type) {
    this.dispatchEvent(new Event(type));
  }
}
