/** One open project, as the page knows it. */

import { Emitter, isFinal } from "../aosui-client.js";
import { glance, newestFirst } from "./glance.js";
import { RunOutput } from "./run-output.js";

/** @typedef {import("../aosui-client.js").AosuiApi} AosuiApi */
/** @typedef {import("../aosui-client.js").ListState} ListState */
/** @typedef {import("../aosui-client.js").ProjectInfo} ProjectInfo */
/** @typedef {import("../aosui-client.js").ProjectLogEvent} ProjectLogEvent */
/** @typedef {import("../aosui-client.js").ProjectSocket} ProjectSocket */
/** @typedef {import("../aosui-client.js").QuestionClosed} QuestionClosed */
/** @typedef {import("../aosui-client.js").Run} Run */
/** @typedef {import("../aosui-client.js").SocketState} SocketState */

/** Outputs beyond these are loaded again when somebody comes back to them. */
const HELD_OUTPUTS = 4;

/**
 * - `change`: something of it is to be drawn anew.
 * - `run`: a run's state changed, `before` is the one it had here, if any.
 * - `closed`: a question was closed.
 * - `notice`: the application said something (`project.event`).
 *
 * @typedef {object} ProjectEvents
 * @property {null} change
 * @property {{run: Run, before: Run | null, history: boolean}} run
 * @property {QuestionClosed} closed
 * @property {import("../aosui-client.js").ProjectEvent} notice
 */

/** @extends {Emitter<ProjectEvents>} */
export class Project extends Emitter {
  /** @type {Map<string, Run>} */ #runs = new Map();
  /** @type {Map<string, RunOutput>} in the order of use */ #outputs = new Map();
  /** @type {(() => void)[]} */ #listening;
  #known = false;
  #asked = false;
  /** How far this machine's clock is ahead of the server's (ms), with the time an event travels. */
  #ahead = 0;
  /** @type {string | undefined} the oldest run of the history as far as it was loaded */ #bottom;

  /**
   * @param {object} options
   * @param {ProjectSocket} options.socket
   * @param {string} [options.name]
   * @param {string} [options.root]
   * @param {string} [options.seenAt]
   */
  constructor({ socket, name = "", root = "", seenAt = "" }) {
    super();
    this.socket = socket;
    this.id = socket.projectId;
    this.name = name || socket.projectId;
    this.root = root;
    this.seenAt = seenAt;
    /** @type {ProjectInfo | null} */
    this.info = null;
    /** @type {ListState} whether the server answers */
    this.server = { name: "unknown", at: 0, error: null };
    /** Whether there are older runs than the ones known. */
    this.more = false;
    /** Where in the project the user was last: a fragment. */
    this.place = "";
    /** @type {import("../aosui-client.js").ProjectEvent[]} */
    this.notices = [];
    this.#listening = [
      socket.on("state", () => this.emit("change", null)),
      socket.on("snapshot", (detail) => this.#snapshot(detail)),
      socket.on("event", ({ event, history }) => this.#event(event, history)),
      socket.on("reset", () => this.#reset()),
    ];
    if (socket.snapshot) this.#snapshot({ snapshot: socket.snapshot, run: null, tails: false });
  }

  /** @returns {AosuiApi} */
  get api() {
    return this.socket.api;
  }

  /**
   * How its connection stands. Without one, what matters is whether the server answers at all.
   *
   * @returns {SocketState}
   */
  get state() {
    const { state } = this.socket;
    const { name, at, error } = this.server;
    if (state.name !== "idle" || (name !== "offline" && name !== "signedOut")) return state;
    return { name, at, retryAt: null, attempt: 0, error };
  }

  /** When what is shown was last known to be so (ms). */
  get heardAt() {
    return this.socket.state.name === "idle" ? this.server.at : this.socket.heardAt;
  }

  /** The server's time now (ms), or when it was last heard: what runs is not known to run on. */
  get now() {
    return (this.fresh ? Date.now() : (this.heardAt ?? Date.now())) - this.#ahead;
  }

  /** Whether its runs are known at all. */
  get known() {
    return this.#known;
  }

  /** Whether what is shown is what is: an idle project is, for it does nothing unseen. */
  get fresh() {
    const { name } = this.state;
    return name === "live" || (name === "idle" && this.#known);
  }

  /** Whether the server has it no longer. */
  get gone() {
    const { name, error } = this.state;
    return name === "closed" && (error?.code === "projectNotFound" || error?.code === "projectClosed");
  }

  get glance() {
    return glance(this.#known ? [...this.#runs.values()] : null, this.seenAt, this.info?.activity ?? null);
  }

  /** All runs that are known, newest first. @returns {Run[]} */
  get runs() {
    return newestFirst([...this.#runs.values()]);
  }

  /** @param {string} runId @returns {Run | undefined} */
  run(runId) {
    return this.#runs.get(runId);
  }

  /** All that has ended was looked at. @returns {boolean} whether that is news */
  see() {
    let latest = this.seenAt;
    for (const { endedAt } of this.#runs.values()) if (endedAt && endedAt > latest) latest = endedAt;
    if (latest === this.seenAt) return false;
    this.seenAt = latest;
    this.emit("change", null);
    return true;
  }

  /** @param {ProjectInfo} info */
  describe(info) {
    this.info = info;
    this.name = info.name;
    this.root = info.root;
    this.emit("change", null);
  }

  /** @param {ListState} server */
  reach(server) {
    this.server = server;
    this.emit("change", null);
  }

  /**
   * Find a run that is not among the ones known: an old one, or one that began while nobody looked.
   *
   * @param {string} runId
   * @returns {Promise<Run>}
   */
  async find(runId) {
    const run = this.#runs.get(runId) ?? (await this.api.run(this.id, runId));
    if ((run.firstSeq ?? 0) > (this.socket.lastSeq ?? 0)) this.socket.connect();
    this.#runs.set(runId, run);
    this.emit("change", null);
    return run;
  }

  /** Load older runs. */
  async history() {
    // From the newest on: a snapshot has the runs that ended last, which need not have begun last.
    const { runs, more } = await this.api.runs(this.id, { before: this.#bottom, limit: 50 });
    for (const run of runs) if (!this.#runs.has(run.runId)) this.#runs.set(run.runId, run);
    this.#bottom = runs.at(-1)?.runId ?? this.#bottom;
    this.more = more;
    this.emit("change", null);
  }

  /**
   * The output of a run, from its beginning; loading has begun.
   *
   * @param {string} runId
   * @returns {RunOutput}
   */
  output(runId) {
    let output = this.#outputs.get(runId);
    if (output === undefined) {
      const seq = this.socket.lastSeq ?? this.socket.snapshot?.seq ?? 0;
      output = new RunOutput({ api: this.api, projectId: this.id, runId, seq });
      void output.load();
    }
    this.#outputs.delete(runId);
    this.#outputs.set(runId, output);
    for (const [other] of this.#outputs) {
      if (this.#outputs.size <= HELD_OUTPUTS) break;
      this.#outputs.delete(other);
    }
    return output;
  }

  /** @param {import("../aosui-client.js").ProjectEvent} notice */
  dismiss(notice) {
    this.notices = this.notices.filter((other) => other !== notice);
    this.emit("change", null);
  }

  /** Stop listening. */
  release() {
    for (const end of this.#listening) end();
    this.#outputs.clear();
  }

  /** @param {{snapshot: import("../aosui-client.js").Snapshot, run: Run | null, tails: boolean}} detail */
  #snapshot({ snapshot, run, tails }) {
    const first = !this.#known;
    this.#known = true;
    this.name = snapshot.project.name || this.name;
    if (first && this.seenAt === "") this.#seeAll(snapshot.runs);
    for (const each of run ? [run] : snapshot.runs) this.#take(each, first);
    if (run === null) {
      this.#findLost(new Set(snapshot.runs.map(({ runId }) => runId)));
      if (!this.#asked) {
        this.#asked = true;
        this.more = snapshot.runs.filter(isFinal).length >= 20;
      }
      for (const missing of this.socket.missing) this.#gap(missing, tails ? snapshot.outputTails : {});
    }
    this.emit("change", null);
  }

  /** What ended before the project was ever shown here is no news. @param {Run[]} runs */
  #seeAll(runs) {
    this.seenAt = "0";
    for (const { endedAt } of runs) if (endedAt && endedAt > this.seenAt) this.seenAt = endedAt;
  }

  /** @param {Run} run @param {boolean} history */
  #take(run, history) {
    const before = this.#runs.get(run.runId) ?? null;
    this.#runs.set(run.runId, run);
    if (before?.state !== run.state || before.questions.length !== run.questions.length) {
      this.emit("run", { run, before, history });
    }
  }

  /**
   * A run that was active and is in the snapshot no longer has ended among more than it lists.
   *
   * @param {Set<string>} listed
   */
  #findLost(listed) {
    for (const [runId, run] of this.#runs) {
      if (isFinal(run) || listed.has(runId)) continue;
      this.api.run(this.id, runId).then(
        (found) => {
          this.#take(found, true);
          this.emit("change", null);
        },
        () => this.#runs.delete(runId),
      );
    }
  }

  /** @param {ProjectLogEvent} event @param {boolean} history */
  #event(event, history) {
    for (const output of this.#outputs.values()) output.push(event);
    if (!history) this.#ahead = Date.now() - Date.parse(event.ts);
    if (event.type === "question.closed" && !history) this.emit("closed", event);
    if (event.type === "project.event") {
      this.notices = [...this.notices.slice(-19), event];
      this.emit("notice", event);
      this.emit("change", null);
    }
  }

  /**
   * @param {import("../aosui-client.js").Missing} missing
   * @param {Record<string, import("../aosui-client.js").RunOutput[]>} tails
   */
  #gap(missing, tails) {
    for (const [runId, output] of this.#outputs) output.gap(missing, tails[runId]);
  }

  #reset() {
    this.#runs.clear();
    this.#outputs.clear();
    this.#known = false;
    this.#asked = false;
    this.#bottom = undefined;
    this.emit("change", null);
  }
}
