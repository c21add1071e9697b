/** What the page remembers in this browser. Never tokens, never secrets. */

/**
 * Values under names of their own, in `localStorage` as far as that is to be had: a browser that
 * refuses it costs the memory, nothing else.
 */
export class Memory {
  /**
   * @param {string} scope two servers, or two prefixes of one, share an origin at times
   * @param {Storage | null} [storage]
   */
  constructor(scope, storage = available()) {
    this.scope = scope;
    this.storage = storage;
  }

  /**
   * @template T
   * @param {string} name
   * @param {T} otherwise what is returned when nothing, or nothing of its kind, is there
   * @returns {T}
   */
  get(name, otherwise) {
    try {
      const text = this.storage?.getItem(`aosui:${this.scope}:${name}`);
      if (text === null || text === undefined) return otherwise;
      const value = JSON.parse(text);
      return kind(value) === kind(otherwise) || otherwise === null ? value : otherwise;
    } catch {
      return otherwise;
    }
  }

  /**
   * @param {string} name
   * @param {unknown} value
   */
  set(name, value) {
    try {
      this.storage?.setItem(`aosui:${this.scope}:${name}`, JSON.stringify(value));
    } catch {
      // Full or forbidden.
    }
  }

  /** @param {string} name */
  remove(name) {
    try {
      this.storage?.removeItem(`aosui:${this.scope}:${name}`);
    } catch {
      // Forbidden.
    }
  }
}

/** @param {unknown} value */
const kind = (value) => (Array.isArray(value) ? "array" : value === null ? "null" : typeof value);

/** @returns {Storage | null} */
function available() {
  try {
    return globalThis.localStorage ?? null;
  } catch {
    return null;
  }
}
