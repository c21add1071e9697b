/** The output of one run: what was before, what comes, and what is missing in between. */

import { Emitter } from "../aosui-client.js";
import { Lines } from "./lines.js";

/** @typedef {import("../aosui-client.js").AosuiApi} AosuiApi */
/** @typedef {import("../aosui-client.js").ProjectLogEvent} ProjectLogEvent */
/** @typedef {import("../aosui-client.js").RunOutput} OutputEvent */
/** @typedef {import("../aosui-client.js").RunEvent} RunEvent */
/** @typedef {import("../aosui-client.js").QuestionClosed} QuestionClosed */
/** @typedef {import("../aosui-client.js").Missing} Missing */

/** @typedef {OutputEvent | RunEvent | QuestionClosed} Shown */
/** @typedef {{type: "gap", fromSeq: number, toSeq: number}} Gap */

/** More lines than these are not held for one run. */
export const MAX_LINES = 100_000;

/** Nor more characters: lines may be long. */
export const MAX_CHARACTERS = 24 * 1024 * 1024;

const PAGE = 500;

/** @param {ProjectLogEvent} event @returns {event is Shown} */
const shown = (event) =>
  event.type === "run.output" || event.type === "run.event" || event.type === "question.closed";

/**
 * Put entries into lines.
 *
 * @param {Lines} lines
 * @param {Shown | Gap} entry
 */
export function put(lines, entry) {
  switch (entry.type) {
    case "run.output":
      lines.write(entry.text, entry.stream);
      break;
    case "gap":
      lines.cut();
      lines.mark({ kind: "gap", value: entry });
      break;
    default:
      lines.mark({ kind: entry.type === "run.event" ? "event" : "note", value: entry });
  }
}

/**
 * Holds a run's output from its beginning, as far as the server keeps it and the caps allow.
 *
 * `change` is fired when there is something new to show: `lines` is another object when all of it
 * is to be shown anew.
 *
 * @extends {Emitter<{change: null}>}
 */
export class RunOutput extends Emitter {
  /** @type {(Shown | Gap)[]} */ #entries = [];
  #characters = 0;
  /** @type {number | null} the position before which there may be more */ #before;
  /** @type {AosuiApi} */ #api;
  /** @type {Promise<void> | null} */ #loading = null;

  /**
   * @param {object} options
   * @param {AosuiApi} options.api
   * @param {string} options.projectId
   * @param {string} options.runId
   * @param {number} options.seq the head of the log as far as known: what comes after it is pushed
   */
  constructor({ api, projectId, runId, seq }) {
    super();
    this.#api = api;
    this.projectId = projectId;
    this.runId = runId;
    this.lines = new Lines(MAX_LINES);
    this.lastSeq = seq;
    this.#before = seq + 1;
    /** @type {Error | null} why earlier output could not be loaded */
    this.error = null;
    /** The server does not keep the beginning any more. */
    this.forgotten = false;
    /** There was more than the caps allow. */
    this.capped = false;
  }

  get loading() {
    return this.#loading !== null;
  }

  /** Whether there may be more before the first line. */
  get incomplete() {
    return this.#before !== null && !this.capped;
  }

  /** Load what was before; nothing when that is done or being done. @returns {Promise<void>} */
  load() {
    if (this.#before === null || this.capped) return Promise.resolve();
    this.#loading ??= this.#loadEarlier().finally(() => {
      this.#loading = null;
      this.emit("change", null);
    });
    return this.#loading;
  }

  /** The newest page is shown at once, the ones before it together when all have come. */
  async #loadEarlier() {
    this.error = null;
    /** @type {Shown[][]} */
    const pages = [];
    let characters = this.#characters;
    try {
      while (this.#before !== null && characters < MAX_CHARACTERS) {
        /** @type {import("../aosui-client.js").EventsPage} */
        const page = await this.#api.events(this.projectId, {
          before: this.#before,
          runId: this.runId,
          limit: PAGE,
        });
        const events = page.events.filter(shown);
        for (const event of events) characters += weight(event);
        this.#before = page.next;
        if (page.next === null && page.firstSeq > 1 && !begins(page.events, this.runId)) {
          this.forgotten = true;
        }
        pages.unshift(events);
        if (pages.length === 1 && page.next !== null && this.#entries.length === 0) {
          this.#replace(pages.flat().concat(/** @type {Shown[]} */ (this.#entries)));
          pages.length = 0;
        }
      }
    } catch (error) {
      this.error = /** @type {Error} */ (error);
    }
    if (pages.length > 0) this.#replace([...pages.flat(), ...this.#entries]);
  }

  /**
   * Take a live event.
   *
   * @param {ProjectLogEvent} event
   */
  push(event) {
    if (event.seq <= this.lastSeq) return;
    this.lastSeq = event.seq;
    if (!shown(event) || event.runId !== this.runId) return;
    this.#entries.push(event);
    this.#characters += weight(event);
    put(this.lines, event);
    if (this.#characters > MAX_CHARACTERS * 1.1) this.#shorten();
    if (this.lines.first > 0) this.capped = true;
    this.emit("change", null);
  }

  /**
   * Events will not come: they may be loaded. What the server's snapshot has of the run's newest
   * output is shown behind the gap.
   *
   * @param {Missing} missing
   * @param {OutputEvent[]} [tail]
   */
  gap({ fromSeq, toSeq }, tail = []) {
    if (toSeq <= this.lastSeq) return;
    const from = Math.max(fromSeq, this.lastSeq + 1);
    const known = tail.filter((event) => event.seq >= from && event.seq <= toSeq);
    const to = known.length > 0 ? known[0].seq - 1 : toSeq;
    /** @type {(Shown | Gap)[]} */
    const entries = to >= from ? [{ type: "gap", fromSeq: from, toSeq: to }, ...known] : known;
    for (const entry of entries) {
      this.#entries.push(entry);
      put(this.lines, entry);
    }
    this.lastSeq = toSeq;
    this.emit("change", null);
  }

  /**
   * Load what is missing in a gap.
   *
   * @param {Gap} gap
   */
  async fill(gap) {
    /** @type {Shown[]} */
    const events = [];
    /** @type {number | null} */
    let after = gap.fromSeq - 1;
    while (after !== null && after < gap.toSeq) {
      /** @type {import("../aosui-client.js").EventsPage} */
      const page = await this.#api.events(this.projectId, {
        after,
        runId: this.runId,
        limit: PAGE,
      });
      events.push(...page.events.filter(shown).filter((event) => event.seq <= gap.toSeq));
      if (page.firstSeq > gap.fromSeq) this.forgotten = true;
      after = page.next;
    }
    const at = this.#entries.indexOf(gap);
    if (at < 0) return;
    this.#replace([...this.#entries.slice(0, at), ...events, ...this.#entries.slice(at + 1)]);
    this.emit("change", null);
  }

  /**
   * Load everything that the server keeps of the run, whatever the caps, as plain text.
   *
   * @returns {Promise<Lines>}
   */
  async whole() {
    const lines = new Lines();
    /** @type {number | null} */
    let after = 0;
    while (after !== null) {
      /** @type {import("../aosui-client.js").EventsPage} */
      const page = await this.#api.events(this.projectId, { after, runId: this.runId, limit: PAGE });
      for (const event of page.events) if (event.type === "run.output") put(lines, event);
      after = page.next;
    }
    return lines;
  }

  /** @param {(Shown | Gap)[]} entries */
  #replace(entries) {
    this.#entries = entries;
    this.#characters = 0;
    for (const entry of entries) this.#characters += weight(entry);
    this.#rebuild();
    this.emit("change", null);
  }

  #rebuild() {
    const lines = new Lines(MAX_LINES);
    for (const entry of this.#entries) put(lines, entry);
    this.lines = lines;
    if (lines.first > 0) this.capped = true;
  }

  /** Drop the oldest tenth. */
  #shorten() {
    let at = 0;
    while (this.#characters > MAX_CHARACTERS && at < this.#entries.length) {
      this.#characters -= weight(this.#entries[at]);
      at += 1;
    }
    this.#entries.splice(0, at);
    this.capped = true;
    this.#rebuild();
  }
}

/** @param {Shown | Gap} entry */
const weight = (entry) => (entry.type === "run.output" ? entry.text.length : 200);

/**
 * @param {ProjectLogEvent[]} events
 * @param {string} runId
 */
const begins = (events, runId) =>
  events.some((event) => event.type === "run.updated" && event.run.runId === runId && event.run.state === "queued");
