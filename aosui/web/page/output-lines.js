/** Draws `Lines` into an element, in chunks that the browser need not lay out while unseen. */

import { h } from "./dom.js";
import { clock, counted } from "./format.js";
import { outcomeText } from "./question-form.js";

/** @typedef {import("./lines.js").Line} Line */
/** @typedef {import("./lines.js").Lines} Lines */
/** @typedef {import("./lines.js").Mark} Mark */
/** @typedef {import("./run-output.js").Gap} Gap */

const CHUNK = 200;

export class OutputLines {
  /** @type {Lines | null} */ #lines = null;
  #end = 0;

  /**
   * @param {HTMLElement} parent
   * @param {(gap: Gap, button: HTMLButtonElement) => void} fill
   */
  constructor(parent, fill) {
    this.parent = parent;
    this.fill = fill;
    this.content = h("div", { class: "content" });
    parent.append(this.content);
  }

  /**
   * Show what changed.
   *
   * @param {Lines} lines
   * @returns {number} how many lines are new
   */
  draw(lines) {
    if (lines !== this.#lines) {
      this.#lines = lines;
      this.#end = lines.first;
      this.content.replaceChildren();
      lines.dirty = lines.first;
    }
    this.#dropOldest(lines.first);
    const before = this.#end;
    const from = Math.max(lines.first, Math.min(lines.dirty, this.#end));
    this.#truncate(from);
    for (let number = from; number < lines.end; number += 1) {
      const line = lines.lines[number - lines.first];
      // The line that is being written shows up with its first character.
      if (number === lines.end - 1 && line.length === 0 && line.mark === null) break;
      this.#chunk(number).append(this.#line(line));
      this.#end = number + 1;
    }
    this.#measure(Math.min(from, this.#end));
    lines.clean();
    return Math.max(0, this.#end - before);
  }

  /** How many lines are shown. */
  get count() {
    return this.#lines ? this.#end - this.#lines.first : 0;
  }

  /**
   * @param {number} number
   * @returns {HTMLElement | null}
   */
  element(number) {
    const chunk = this.#chunkOf(number);
    if (!chunk) return null;
    return /** @type {HTMLElement | null} */ (chunk.children[number - Number(chunk.dataset.first)] ?? null);
  }

  /** @param {number} number @returns {HTMLElement | null} */
  #chunkOf(number) {
    const first = /** @type {HTMLElement | null} */ (this.content.firstElementChild);
    if (!first) return null;
    const index = Math.floor(number / CHUNK) - Math.floor(Number(first.dataset.first) / CHUNK);
    return /** @type {HTMLElement | null} */ (this.content.children[index] ?? null);
  }

  /** @param {number} number */
  #chunk(number) {
    const last = /** @type {HTMLElement | null} */ (this.content.lastElementChild);
    if (last && Math.floor(Number(last.dataset.first) / CHUNK) === Math.floor(number / CHUNK)) return last;
    const chunk = h("div", { class: "chunk", data: { first: String(number) } });
    this.content.append(chunk);
    return chunk;
  }

  /** Remove lines from `number` on. @param {number} number */
  #truncate(number) {
    while (this.#end > number) {
      const chunk = /** @type {HTMLElement} */ (this.content.lastElementChild);
      chunk.lastElementChild?.remove();
      if (chunk.childElementCount === 0) chunk.remove();
      this.#end -= 1;
    }
  }

  /** @param {number} first the first line that is still held */
  #dropOldest(first) {
    for (;;) {
      const chunk = /** @type {HTMLElement | null} */ (this.content.firstElementChild);
      const start = Number(chunk?.dataset.first);
      if (!chunk || start >= first) return;
      if (start + chunk.childElementCount <= first) {
        chunk.remove();
        continue;
      }
      for (let number = start; number < first; number += 1) chunk.firstElementChild?.remove();
      chunk.dataset.first = String(first);
      chunk.style.setProperty("--lines", String(chunk.childElementCount));
      return;
    }
  }

  /** @param {number} from */
  #measure(from) {
    /** @type {Element | null} */
    let chunk = this.#chunkOf(from);
    for (; chunk; chunk = chunk.nextElementSibling) {
      /** @type {HTMLElement} */ (chunk).style.setProperty("--lines", String(chunk.childElementCount));
    }
  }

  /** @param {Line} line */
  #line(line) {
    if (line.mark) return this.#mark(line.mark);
    const element = document.createElement("div");
    element.className = "line";
    for (const { text, style } of line.spans) {
      if (style.classes === "" && style.fg === "" && style.bg === "") {
        element.append(text);
        continue;
      }
      const span = document.createElement("span");
      span.className = style.classes;
      if (style.fg) span.style.setProperty("--fg", style.fg);
      if (style.bg) span.style.setProperty("--bg-own", style.bg);
      span.textContent = text;
      element.append(span);
    }
    return element;
  }

  /** @param {Mark} mark */
  #mark({ kind, value }) {
    if (kind === "gap") {
      const count = value.toSeq - value.fromSeq + 1;
      const button = h("button", { type: "button", on: { click: () => this.fill(value, button) } }, "Load what is missing");
      return h("div", { class: "line mark gap" }, `Output may be missing here: ${counted(count, "event")} of the project passed while this page was not connected.`, button);
    }
    if (kind === "note") {
      const text = outcomeText({ questionId: "", askedAt: "", prompts: asPrompts(value.answers) }, value);
      return h("div", { class: "line mark note" }, `${clock(new Date(value.ts))} · ${text}`);
    }
    const { name, data, ts } = value;
    const summary = h("summary", { title: clock(new Date(ts)) }, h("span", { class: "name" }, name), brief(data));
    return h("details", { class: "line mark event" }, summary, h("pre", null, pretty(data)));
  }
}

/** @param {Record<string, unknown> | null} answers */
const asPrompts = (answers) =>
  Object.keys(answers ?? {}).map((promptId) => ({ promptId, text: "", header: "", options: [], multiple: false, allowOther: true }));

/** @param {unknown} data */
export function pretty(data) {
  if (typeof data === "string") return data;
  const line = (JSON.stringify(data, null, 1) ?? "").replace(/\n */g, " ");
  return line.length <= 100 ? line : JSON.stringify(data, null, 2);
}

/**
 * An event's data in one line: a text in it says most.
 *
 * @param {any} data
 */
function brief(data) {
  const text = typeof data === "string" ? data : typeof data?.text === "string" ? data.text : JSON.stringify(data);
  const line = (text ?? "").replace(/\s+/g, " ").trim();
  return line.length > 240 ? `${line.slice(0, 240)}…` : line;
}
