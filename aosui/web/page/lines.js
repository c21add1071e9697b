/** The lines that a run's output makes, as a terminal would: kept apart from the DOM. */

import { AnsiParser } from "./ansi.js";

/** @typedef {import("./ansi.js").Style} Style */

/**
 * @typedef {object} Span
 * @property {string} text
 * @property {Style} style
 */

/**
 * A line of text, or something that stands between lines.
 *
 * @typedef {object} Line
 * @property {Span[]} spans
 * @property {number} length in UTF-16 units
 * @property {boolean} wrapped the text goes on in the next line: it was too long for one
 * @property {Mark | null} mark
 */

/**
 * @typedef {object} Mark
 * @property {"gap" | "event" | "note"} kind
 * @property {any} value
 */

/** Longer lines are shown as several: layout of a line of megabytes would stop the page. */
export const MAX_LINE = 8192;

/**
 * @param {Mark | null} [mark]
 * @returns {Line}
 */
const newLine = (mark = null) => ({ spans: [], length: 0, wrapped: false, mark });

/** @param {Line} line */
export const lineText = (line) => line.spans.map((span) => span.text).join("");

/**
 * Turns output into lines; holds the newest `cap` of them.
 *
 * The last of `lines` is the one that is being written. `first` is the number of the first line
 * that is still held, counted from the beginning; `dirty` is the number of the first line that
 * changed since `clean()`.
 */
export class Lines {
  /** @param {number} [cap] */
  constructor(cap = Infinity) {
    this.cap = cap;
    /** @type {Line[]} */
    this.lines = [newLine()];
    this.first = 0;
    this.dirty = 0;
    this.column = 0;
    /** @type {Map<string, AnsiParser>} */
    this.parsers = new Map();
  }

  /** The number after the last line's. */
  get end() {
    return this.first + this.lines.length;
  }

  get #last() {
    return this.lines[this.lines.length - 1];
  }

  /** All has been shown. */
  clean() {
    this.dirty = this.end;
  }

  /**
   * @param {string} text
   * @param {string} [stream]
   */
  write(text, stream = "stdout") {
    let parser = this.parsers.get(stream);
    if (parser === undefined) {
      parser = new AnsiParser(stream === "stdout" ? "" : `stream-${stream}`);
      this.parsers.set(stream, parser);
    }
    this.#touch();
    parser.feed(text, this);
    this.#trim();
  }

  /**
   * Put something between the lines.
   *
   * @param {Mark} mark
   */
  mark(mark) {
    this.#touch();
    if (this.#last.length > 0) {
      this.lines.push(newLine(mark));
    } else {
      this.lines[this.lines.length - 1] = newLine(mark);
    }
    this.newline();
    this.#trim();
  }

  /** What is before and what comes after have nothing to do with each other. */
  cut() {
    for (const parser of this.parsers.values()) parser.reset();
    if (this.#last.length > 0) this.newline();
  }

  #touch() {
    this.dirty = Math.min(this.dirty, this.end - 1);
  }

  #trim() {
    // In large steps: shifting an array for every line would be quadratic.
    const surplus = this.lines.length - this.cap;
    if (surplus > this.cap / 20) {
      this.lines.splice(0, surplus);
      this.first += surplus;
    }
  }

  // What the parser calls.

  /**
   * @param {string} text
   * @param {Style} style
   */
  print(text, style) {
    let at = 0;
    while (at < text.length) {
      const room = MAX_LINE - this.column;
      if (room <= 0) {
        this.#last.wrapped = true;
        this.newline();
        continue;
      }
      const piece = at === 0 && text.length <= room ? text : text.slice(at, at + room);
      this.#put(piece, style);
      at += piece.length;
    }
  }

  /**
   * @param {string} text
   * @param {Style} style
   */
  #put(text, style) {
    const line = this.#last;
    if (this.column < line.length) {
      const tail = slice(line.spans, this.column + text.length, line.length);
      line.spans = slice(line.spans, 0, this.column);
      add(line.spans, text, style);
      for (const span of tail) add(line.spans, span.text, span.style);
      line.length = Math.max(line.length, this.column + text.length);
    } else {
      add(line.spans, text, style);
      line.length += text.length;
    }
    this.column += text.length;
  }

  newline() {
    this.lines.push(newLine());
    this.column = 0;
  }

  carriageReturn() {
    this.column = 0;
  }

  backspace() {
    if (this.column > 0) this.column -= 1;
  }

  /** @param {number} mode */
  eraseInLine(mode) {
    const line = this.#last;
    if (mode === 0) {
      line.spans = slice(line.spans, 0, this.column);
      line.length = Math.min(line.length, this.column);
    } else if (mode === 2) {
      line.spans = [];
      line.length = 0;
      this.column = 0;
    }
  }
}

/**
 * @param {Span[]} spans
 * @param {string} text
 * @param {Style} style
 */
function add(spans, text, style) {
  const last = spans[spans.length - 1];
  if (last !== undefined && last.style === style) {
    last.text += text;
  } else {
    spans.push({ text, style });
  }
}

/**
 * @param {Span[]} spans
 * @param {number} from
 * @param {number} to
 * @returns {Span[]}
 */
function slice(spans, from, to) {
  const out = [];
  let at = 0;
  for (const span of spans) {
    const start = Math.max(from, at);
    const end = Math.min(to, at + span.text.length);
    if (start < end) {
      out.push({ text: span.text.slice(start - at, end - at), style: span.style });
    }
    at += span.text.length;
  }
  return out;
}
