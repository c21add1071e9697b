/** `<aosui-toasts>`: short words about what just happened. */

import { h } from "./dom.js";
import { icon } from "./icons.js";

const SHOWN_MS = 8000;

export class Toasts extends HTMLElement {
  connectedCallback() {
    this.setAttribute("role", "status");
    this.setAttribute("aria-label", "Messages");
  }

  /**
   * @param {string} text
   * @param {"info" | "bad"} [tone] what is bad stays until it is dismissed
   */
  say(text, tone = "info") {
    const toast = h("div", { class: `toast ${tone}` }, h("p", null, text));
    const end = () => toast.remove();
    toast.append(h("button", { class: "icon plain", type: "button", "aria-label": "Dismiss", on: { click: end } }, icon("close")));
    this.append(toast);
    while (this.childElementCount > 4) this.firstElementChild?.remove();
    if (tone === "info") setTimeout(end, SHOWN_MS);
  }
}

customElements.define("aosui-toasts", Toasts);
