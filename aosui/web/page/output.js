/** `<aosui-output>`: what a run writes, followed live. */

import { freshId, h, setAttribute, setText } from "./dom.js";
import { Finder } from "./finder.js";
import { counted } from "./format.js";
import { icon } from "./icons.js";
import { lineText } from "./lines.js";
import { OutputLines } from "./output-lines.js";
import { MAX_LINES } from "./run-output.js";
import { View } from "./view.js";

/** @typedef {import("./lines.js").Lines} Lines */
/** @typedef {import("./run-output.js").RunOutput} RunOutput */
/** @typedef {import("./storage.js").Memory} Memory */

/** Nearer to the end than this is at the end. */
const NEAR = 40;

/** @param {Lines} lines */
const plainText = (lines) =>
  lines.lines
    .map((line, i) => (line.mark ? "" : lineText(line) + (line.wrapped || i === lines.lines.length - 1 ? "" : "\n")))
    .join("");

export class Output extends View {
  #following = true;
  #unread = 0;
  /** @type {(() => void) | null} */ #end = null;

  /**
   * @param {RunOutput} output
   * @param {Memory} memory
   * @param {string} fileName of a download
   */
  constructor(output, memory, fileName) {
    super();
    this.output = output;
    this.memory = memory;
    this.fileName = fileName;
    const id = freshId("output");
    this.heading = h("h3", { id }, "Output");
    this.count = h("span", { class: "count" });
    this.top = h("div", { class: "note", hidden: true });
    this.bottom = h("div", { class: "note", hidden: true });
    this.screen = h("div", { class: "screen", tabIndex: 0, role: "region", "aria-labelledby": id });
    this.jump = h("button", { class: "jump primary", type: "button", hidden: true, on: { click: () => this.follow() } });
    this.wrap = h("button", { type: "button", title: "Break long lines (w)", on: { click: () => this.toggleWrap() } }, "Wrap");
    this.copy = h("button", { type: "button", title: "Copy all that is shown here", on: { click: () => void this.#copy() } }, "Copy");
    this.download = h("button", { type: "button", title: "Everything that the server keeps, as plain text", on: { click: () => void this.#download() } }, "Download");
  }

  build() {
    this.screen.append(this.top);
    this.lines = new OutputLines(this.screen, (gap, button) => {
      button.disabled = true;
      this.output.fill(gap).catch((error) => {
        button.disabled = false;
        setText(button, `Not loaded: ${error.message}. Try again`);
      });
    });
    this.screen.append(this.bottom);
    this.finder = new Finder(this.lines, (element) => this.#show(element));
    this.append(
      h("div", { class: "output-bar" }, this.heading, this.count, h("span", { class: "spacer" }), this.finder.element, this.wrap, this.copy, this.download),
      this.screen,
      this.jump,
    );
    this.screen.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    this.#setWrap(this.memory.get("wrap", true));
    // Heights are estimates until seen: stay at the end while they settle.
    new ResizeObserver(() => this.#stick()).observe(this.lines.content);
    new ResizeObserver(() => this.#stick()).observe(this.screen);
  }

  listen() {
    this.until(this.output.on("change", this.redraw));
  }

  draw() {
    if (!this.lines || !this.finder) return;
    const { output } = this;
    const fresh = this.lines.draw(output.lines);
    const { count } = this.lines;
    setText(this.count, counted(count, "line"));
    this.#drawTop();
    this.bottom.hidden = count > 0 || output.loading;
    setText(this.bottom, "No output so far.");
    this.finder.refresh(output.lines);
    if (this.#following) {
      this.#stick();
    } else if (fresh > 0) {
      this.#unread += fresh;
    }
    this.#drawJump();
  }

  /** Go to the end and stay there. */
  follow() {
    this.#following = true;
    this.#stick();
    this.#drawJump();
  }

  toggleWrap() {
    const wrap = !this.screen.classList.contains("wrap");
    this.memory.set("wrap", wrap);
    this.#setWrap(wrap);
  }

  /** Put the focus on the search field. */
  search() {
    this.finder?.focus();
  }

  /** @param {boolean} wrap */
  #setWrap(wrap) {
    this.screen.classList.toggle("wrap", wrap);
    setAttribute(this.wrap, "aria-pressed", String(wrap));
  }

  #drawTop() {
    const { output } = this;
    let text = "";
    if (output.loading) text = "Loading earlier lines…";
    else if (output.error) text = `Earlier lines could not be loaded: ${output.error.message}. `;
    else if (output.capped) text = `Only the newest output is shown, at most ${counted(MAX_LINES, "line")}: Download has all that the server keeps.`;
    else if (output.forgotten) text = "What came before is no longer kept by the server.";
    this.top.hidden = text === "";
    if (this.top.firstChild?.textContent === text) return;
    this.top.replaceChildren(text);
    if (output.error) {
      this.top.append(h("button", { class: "link", type: "button", on: { click: () => void output.load() } }, "Try again"));
    }
  }

  #drawJump() {
    const { scrollHeight, clientHeight } = this.screen;
    this.jump.hidden = this.#following || scrollHeight <= clientHeight;
    if (this.jump.hidden) return;
    const text = this.#unread > 0 ? `${counted(this.#unread, "new line")}` : "To the end";
    if (this.jump.textContent !== text) this.jump.replaceChildren(text, icon("down"));
  }

  #scrolled() {
    const { scrollTop, scrollHeight, clientHeight } = this.screen;
    this.#following = scrollHeight - scrollTop - clientHeight < NEAR;
    if (this.#following) this.#unread = 0;
    this.#drawJump();
  }

  #stick() {
    if (!this.#following) return;
    this.#unread = 0;
    this.screen.scrollTop = this.screen.scrollHeight;
  }

  /** @param {HTMLElement} element */
  #show(element) {
    this.#following = false;
    element.scrollIntoView({ block: "center", inline: "nearest" });
  }

  async #copy() {
    const text = plainText(this.output.lines);
    let said = "Copied";
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      said = copyBySelection(this.screen) ? "Copied" : "Not copied";
    }
    this.#flash(this.copy, said);
  }

  async #download() {
    this.download.disabled = true;
    try {
      const text = plainText(await this.output.whole());
      const url = URL.createObjectURL(new Blob([text], { type: "text/plain;charset=utf-8" }));
      h("a", { href: url, download: `${this.fileName}.txt` }).click();
      setTimeout(() => URL.revokeObjectURL(url), 60_000);
    } catch {
      this.#flash(this.download, "Not loaded");
    } finally {
      this.download.disabled = false;
    }
  }

  /**
   * @param {HTMLElement} button
   * @param {string} text
   */
  #flash(button, text) {
    const was = button.dataset.text ?? button.textContent ?? "";
    button.dataset.text = was;
    setText(button, text);
    if (this.#end) this.#end();
    const timer = setTimeout(() => setText(button, was), 1600);
    this.#end = () => {
      clearTimeout(timer);
      setText(button, was);
    };
    if (was === text) this.#end();
    else setText(button, text);
  }
}

/**
 * For pages on plain HTTP, where browsers have no clipboard to write to.
 *
 * @param {HTMLElement} element
 */
function copyBySelection(element) {
  const selection = getSelection();
  if (!selection) return false;
  selection.selectAllChildren(element);
  const done = document.execCommand("copy");
  selection.removeAllRanges();
  return done;
}

customElements.define("aosui-output", Output);
