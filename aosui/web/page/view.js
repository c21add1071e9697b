/** What the page's custom elements have in common. */

import { perFrame } from "./dom.js";

/**
 * An element that builds itself once, listens while it is in the page, and draws at most once a
 * frame.
 */
export class View extends HTMLElement {
  /** @type {(() => void)[]} */ #ends = [];
  #built = false;

  constructor() {
    super();
    const draw = perFrame(() => {
      if (this.isConnected && !this.hidden) this.draw();
    });
    /** Draw at the next frame. */
    this.redraw = () => {
      if (!this.hidden) draw();
    };
  }

  connectedCallback() {
    if (!this.#built) {
      this.#built = true;
      this.build();
    }
    this.listen();
    this.draw();
  }

  disconnectedCallback() {
    for (const end of this.#ends) end();
    this.#ends = [];
  }

  /**
   * Call this in `listen`: `end` is called when the element leaves the page.
   *
   * @param {...(() => void)} ends
   */
  until(...ends) {
    this.#ends.push(...ends);
  }

  /** Make the children; once. */
  build() {}

  /** Begin to listen; whenever the element comes into the page. */
  listen() {}

  /** Show what is. */
  draw() {}
}

/**
 * Call `tick` every second while the page is seen.
 *
 * @param {() => void} tick
 * @returns {() => void} ends it
 */
export function everySecond(tick) {
  const timer = setInterval(() => {
    if (document.visibilityState === "visible") tick();
  }, 1000);
  return () => clearInterval(timer);
}
