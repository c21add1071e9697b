/**
 * What a terminal would make of the bytes that programs write, reduced to what may be shown.
 *
 * Colours and weights (SGR) survive; carriage return, backspace and "erase in line" work on the
 * current line, so that progress bars look right; every other control character and escape
 * sequence (cursor movement, titles, links, clipboard) is dropped. Nothing here touches the DOM.
 */

/**
 * How a piece of text looks: CSS classes, and colours that no class names.
 * Equal styles are one object, so they compare with `===`.
 *
 * @typedef {object} Style
 * @property {string} classes
 * @property {string} fg CSS colour, or "".
 * @property {string} bg CSS colour, or "".
 */

/**
 * What a parser tells.
 *
 * @typedef {object} Sink
 * @property {(text: string, style: Style) => void} print
 * @property {() => void} newline
 * @property {() => void} carriageReturn
 * @property {() => void} backspace
 * @property {(mode: number) => void} eraseInLine 0 to the end, 1 to the cursor, 2 all of it.
 */

/** The longest sequence that is waited for; what is longer is no sequence but text. */
const MAX_SEQUENCE = 4096;

const CONTROL = /[\x00-\x08\x0a-\x1f\x7f-\x9f]/g; // eslint-disable-line no-control-regex

/** A program that walks through all colours must not fill the memory. */
const MAX_PENS = 4096;

/**
 * How the next text looks. Settled ones are shared and never change; each remembers where a
 * sequence led from it, because output repeats itself.
 *
 * A colour is a palette index 0-15, a CSS colour, or null for the terminal's own.
 */
class Pen {
  /** @type {number | string | null} */ fg = null;
  /** @type {number | string | null} */ bg = null;
  bold = false;
  dim = false;
  italic = false;
  underline = false;
  inverse = false;
  strike = false;
  /** @type {Style} */ style = { classes: "", fg: "", bg: "" };
  /** @type {Map<string, Pen>} */ next = new Map();

  /** @param {string} prefix classes that everything has, too */
  constructor(prefix) {
    this.prefix = prefix;
  }

  /** @returns {Pen} that one, or its equal that was there before */
  settle() {
    const [fg, bg] = this.inverse ? [this.bg ?? "canvas", this.fg ?? "ink"] : [this.fg, this.bg];
    const [fgClass, fgColour] = named("fg", fg);
    const [bgClass, bgColour] = named("bg", bg);
    const classes = [
      this.prefix,
      this.bold && "bold",
      this.dim && "dim",
      this.italic && "italic",
      this.underline && "underline",
      this.strike && "strike",
      fgClass,
      bgClass,
    ]
      .filter(Boolean)
      .join(" ");
    const key = `${classes}|${this.fg}|${this.bg}|${this.inverse}`;
    const known = pens.get(key);
    if (known !== undefined) return known;
    this.style = Object.freeze({ classes, fg: fgColour, bg: bgColour });
    if (pens.size < MAX_PENS) pens.set(key, this);
    return this;
  }

  /**
   * @param {string} body parameters of an SGR sequence
   * @returns {Pen}
   */
  after(body) {
    const known = this.next.get(body);
    if (known !== undefined) return known;
    const pen = Object.assign(new Pen(this.prefix), this, { next: new Map() });
    apply(pen, body);
    const settled = pen.settle();
    if (this.next.size < 512) this.next.set(body, settled);
    return settled;
  }
}

/** @type {Map<string, Pen>} */
const pens = new Map();

/**
 * @param {"fg" | "bg"} layer
 * @param {number | string | null} colour
 * @returns {[string, string]} class and CSS colour
 */
function named(layer, colour) {
  if (colour === null) return ["", ""];
  if (typeof colour === "number") return [`${layer}-${colour}`, ""];
  if (colour === "canvas" || colour === "ink") return [`${layer}-${colour}`, ""];
  return [`${layer}-own`, colour];
}

/**
 * @param {number} index 0-255
 * @returns {number | string | null}
 */
export function indexed(index) {
  if (!(index >= 0 && index <= 255)) return null;
  if (index < 16) return index;
  if (index >= 232) {
    const grey = 8 + (index - 232) * 10;
    return `rgb(${grey} ${grey} ${grey})`;
  }
  const level = (/** @type {number} */ step) => (step === 0 ? 0 : 55 + step * 40);
  const cube = index - 16;
  const [r, g, b] = [Math.floor(cube / 36), Math.floor(cube / 6) % 6, cube % 6];
  return `rgb(${level(r)} ${level(g)} ${level(b)})`;
}

/** Takes text apart, in pieces as they come: a sequence may be cut anywhere. */
export class AnsiParser {
  /** @param {string} [classes] classes that everything printed has, too */
  constructor(classes = "") {
    this.plain = new Pen(classes).settle();
    this.pen = this.plain;
    this.rest = "";
  }

  /** Forget colours and what was cut. */
  reset() {
    this.pen = this.plain;
    this.rest = "";
  }

  /**
   * @param {string} text
   * @param {Sink} sink
   */
  feed(text, sink) {
    if (this.rest) {
      text = this.rest + text;
      this.rest = "";
    }
    let at = 0;
    while (at < text.length) {
      CONTROL.lastIndex = at;
      const found = CONTROL.exec(text);
      if (found === null) {
        sink.print(at === 0 ? text : text.slice(at), this.pen.style);
        return;
      }
      if (found.index > at) sink.print(text.slice(at, found.index), this.pen.style);
      at = this.#control(text, found.index, sink);
      if (at < 0) {
        this.rest = text.slice(found.index);
        return;
      }
    }
  }

  /**
   * Act on the control character at `at`.
   *
   * @param {string} text
   * @param {number} at
   * @param {Sink} sink
   * @returns {number} where to go on, or -1 when the sequence is not complete yet
   */
  #control(text, at, sink) {
    switch (text.charCodeAt(at)) {
      case 0x0a:
        sink.newline();
        return at + 1;
      case 0x0d:
        // Cut between CR and LF, this would be an overwrite of the line by nothing: harmless.
        sink.carriageReturn();
        return at + 1;
      case 0x08:
        sink.backspace();
        return at + 1;
      case 0x1b:
        if (at + 1 >= text.length) return -1;
        return this.#escape(text, at + 1, sink);
      case 0x9b:
        return this.#csi(text, at + 1, sink);
      case 0x90:
      case 0x98:
      case 0x9d:
      case 0x9e:
      case 0x9f:
        return string(text, at + 1);
      default:
        return at + 1;
    }
  }

  /**
   * @param {string} text
   * @param {number} at the character after ESC
   * @param {Sink} sink
   */
  #escape(text, at, sink) {
    const kind = text[at];
    if (kind === "[") return this.#csi(text, at + 1, sink);
    if ("]PX^_".includes(kind)) return string(text, at + 1);
    // nF sequences (character sets and the like): intermediates, then one final byte.
    let end = at;
    while (end < text.length && text[end] >= " " && text[end] <= "/") end += 1;
    if (end >= text.length) return end - at > 16 ? end : -1;
    return text[end] >= "0" && text[end] <= "~" ? end + 1 : end;
  }

  /**
   * @param {string} text
   * @param {number} start the character after the introducer
   * @param {Sink} sink
   */
  #csi(text, start, sink) {
    let end = start;
    while (end < text.length && text[end] >= " " && text[end] <= "?") end += 1;
    if (end >= text.length) return end - start > MAX_SEQUENCE ? end : -1;
    const final = text[end];
    if (final < "@" || final > "~") return end; // broken off: what is there is text again
    const body = text.slice(start, end);
    if (/^[\d;:]*$/.test(body)) {
      if (final === "m") {
        this.pen = this.pen.after(body);
      } else if (final === "K") {
        sink.eraseInLine(Number.parseInt(body || "0", 10));
      }
    }
    return end + 1;
  }
}

/**
 * @param {Pen} pen
 * @param {string} body
 */
function apply(pen, body) {
  const codes = body.split(";");
  for (let i = 0; i < codes.length; i += 1) {
    const [code, ...sub] = codes[i].split(":").map((part) => Number(part || "0"));
    if (code !== 38 && code !== 48 && code !== 58) {
      plain(pen, code, sub[0]);
      continue;
    }
    let colour;
    if (sub.length > 0) {
      colour = extended(sub[0], sub[0] === 2 ? sub.slice(-3) : sub.slice(1));
    } else {
      const mode = Number(codes[i + 1] ?? "");
      const length = mode === 2 ? 3 : 1;
      colour = extended(mode, codes.slice(i + 2, i + 2 + length).map(Number));
      i += 1 + length;
    }
    if (code === 38) pen.fg = colour;
    if (code === 48) pen.bg = colour;
  }
}

/** @param {Pen} pen */
function reset(pen) {
  pen.fg = pen.bg = null;
  pen.bold = pen.dim = pen.italic = pen.underline = pen.inverse = pen.strike = false;
}

/**
 * @param {Pen} pen
 * @param {number} code
 * @param {number | undefined} sub
 */
function plain(pen, code, sub) {
  if (code >= 30 && code <= 37) pen.fg = code - 30;
  else if (code >= 40 && code <= 47) pen.bg = code - 40;
  else if (code >= 90 && code <= 97) pen.fg = code - 82;
  else if (code >= 100 && code <= 107) pen.bg = code - 92;
  else if (code === 0) reset(pen);
  else if (code === 1) pen.bold = true;
  else if (code === 2) pen.dim = true;
  else if (code === 3) pen.italic = true;
  else if (code === 4) pen.underline = sub !== 0;
  else if (code === 7) pen.inverse = true;
  else if (code === 9) pen.strike = true;
  else if (code === 21) pen.underline = true;
  else if (code === 22) pen.bold = pen.dim = false;
  else if (code === 23) pen.italic = false;
  else if (code === 24) pen.underline = false;
  else if (code === 27) pen.inverse = false;
  else if (code === 29) pen.strike = false;
  else if (code === 39) pen.fg = null;
  else if (code === 49) pen.bg = null;
}

/**
 * @param {number} mode 5 = palette, 2 = RGB
 * @param {number[]} parts
 * @returns {number | string | null}
 */
function extended(mode, parts) {
  if (mode === 5) return indexed(parts[0]);
  if (mode !== 2 || parts.length < 3) return null;
  const [r, g, b] = parts.map((part) => Math.min(255, Math.max(0, Math.trunc(part) || 0)));
  return `rgb(${r} ${g} ${b})`;
}

/**
 * Skip a control string (OSC, DCS, ...): up to BEL, ST, or whatever cannot be part of one.
 *
 * A line feed ends it, too: a string that somebody forgot to end hides one line, not all the rest.
 *
 * @param {string} text
 * @param {number} start
 */
function string(text, start) {
  const limit = Math.min(text.length, start + MAX_SEQUENCE);
  for (let at = start; at < limit; at += 1) {
    const code = text.charCodeAt(at);
    if (code === 0x07 || code === 0x9c || code === 0x18 || code === 0x1a) return at + 1;
    if (code === 0x0a) return at;
    if (code === 0x1b) {
      if (at + 1 >= text.length) return -1;
      return text[at + 1] === "\\" ? at + 2 : at;
    }
  }
  return limit - start >= MAX_SEQUENCE ? limit : -1;
}
