/** Finds text in output: marks what is found and goes from one to the next. */

import { h, setText } from "./dom.js";
import { icon } from "./icons.js";
import { lineText } from "./lines.js";

/** @typedef {import("./lines.js").Lines} Lines */
/** @typedef {import("./output-lines.js").OutputLines} OutputLines */

const MAX_HITS = 10_000;
/** So many are marked around the one that is looked at. */
const MARKED = 400;

/** @typedef {{number: number, at: number}} Hit */

/**
 * @param {Lines} lines
 * @param {string} query
 * @returns {Hit[]} upper and lower case are one as long as the query has no capitals
 */
export function find(lines, query) {
  /** @type {Hit[]} */
  const hits = [];
  if (query === "") return hits;
  const exact = query !== query.toLowerCase();
  for (const [i, line] of lines.lines.entries()) {
    if (line.mark) continue;
    const text = exact ? lineText(line) : lineText(line).toLowerCase();
    for (let at = text.indexOf(query); at >= 0; at = text.indexOf(query, at + query.length)) {
      hits.push({ number: lines.first + i, at });
      if (hits.length >= MAX_HITS) return hits;
    }
  }
  return hits;
}

export class Finder {
  /** @type {Lines | null} */ #lines = null;
  /** @type {Hit[]} */ #hits = [];
  #now = -1;
  #seen = -1;

  /**
   * @param {OutputLines} shown
   * @param {(element: HTMLElement) => void} show scrolls to a line
   */
  constructor(shown, show) {
    this.shown = shown;
    this.show = show;
    this.input = h("input", {
      type: "search",
      placeholder: "Find in output",
      "aria-label": "Find in output",
      autocomplete: "off",
      spellcheck: false,
      on: {
        input: () => this.#search(),
        keydown: (/** @type {KeyboardEvent} */ event) => {
          if (event.key !== "Enter") return;
          event.preventDefault();
          this.#step(event.shiftKey ? -1 : 1);
        },
      },
    });
    this.hits = h("span", { class: "hits", role: "status" });
    this.steps = [
      h("button", { class: "icon plain", type: "button", "aria-label": "Previous hit", on: { click: () => this.#step(-1) } }, icon("up")),
      h("button", { class: "icon plain", type: "button", "aria-label": "Next hit", on: { click: () => this.#step(1) } }, icon("down")),
    ];
    this.element = h("div", { class: "find", role: "search" }, this.input, this.hits, ...this.steps);
    this.#draw();
  }

  focus() {
    this.input.focus();
    this.input.select();
  }

  /**
   * The output changed.
   *
   * @param {Lines} lines
   */
  refresh(lines) {
    const other = lines !== this.#lines;
    this.#lines = lines;
    if (this.input.value === "" || (!other && lines.end === this.#seen)) return;
    this.#seen = lines.end;
    const now = this.#hits[this.#now];
    this.#hits = find(lines, this.input.value);
    this.#now = now ? this.#hits.findIndex(({ number, at }) => number === now.number && at === now.at) : -1;
    this.#draw();
  }

  #search() {
    this.#hits = this.#lines ? find(this.#lines, this.input.value) : [];
    this.#now = -1;
    // The newest is what one looks for, mostly.
    if (this.#hits.length > 0) this.#step(-1);
    else this.#draw();
  }

  /** @param {number} by */
  #step(by) {
    const count = this.#hits.length;
    if (count === 0) return;
    this.#now = this.#now < 0 ? (by > 0 ? 0 : count - 1) : (this.#now + by + count) % count;
    const element = this.shown.element(this.#hits[this.#now].number);
    if (element) this.show(element);
    this.#draw();
  }

  #draw() {
    const count = this.#hits.length;
    const many = count >= MAX_HITS ? `${MAX_HITS.toLocaleString("en")}+` : count.toLocaleString("en");
    const searching = this.input.value !== "";
    setText(this.hits, !searching ? "" : count === 0 ? "none" : `${this.#now + 1} of ${many}`);
    for (const step of this.steps) step.hidden = !searching || count === 0;
    for (const old of this.shown.content.querySelectorAll(".line.current")) old.classList.remove("current");
    const now = this.#hits[this.#now];
    if (now) this.shown.element(now.number)?.classList.add("current");
    this.#highlight();
  }

  #highlight() {
    if (!("highlights" in CSS)) return;
    CSS.highlights.delete("found");
    CSS.highlights.delete("found-now");
    if (this.#hits.length === 0) return;
    const from = Math.max(0, this.#now - MARKED / 2);
    const { length } = this.input.value;
    /** @type {Range[]} */
    const ranges = [];
    for (const hit of this.#hits.slice(from, from + MARKED)) {
      const element = this.shown.element(hit.number);
      const found = element && range(element, hit.at, length);
      if (found) ranges.push(found);
    }
    CSS.highlights.set("found", new Highlight(...ranges));
    const now = this.#hits[this.#now];
    const element = now && this.shown.element(now.number);
    const found = element && range(element, now.at, length);
    if (found) CSS.highlights.set("found-now", new Highlight(found));
  }
}

/**
 * @param {HTMLElement} element
 * @param {number} at
 * @param {number} length
 * @returns {Range | null}
 */
function range(element, at, length) {
  const walker = document.createTreeWalker(element, NodeFilter.SHOW_TEXT);
  const out = document.createRange();
  let begun = false;
  for (let node = walker.nextNode(), passed = 0; node; node = walker.nextNode()) {
    const size = node.textContent?.length ?? 0;
    if (!begun && at < passed + size) {
      out.setStart(node, at - passed);
      begun = true;
    }
    if (begun && at + length <= passed + size) {
      out.setEnd(node, at + length - passed);
      return out;
    }
    passed += size;
  }
  return null;
}
