/** `<aosui-pill>`: how a project's connection stands. */

import { connectionWords } from "./connection-words.js";
import { h, setText } from "./dom.js";
import { View, everySecond } from "./view.js";

/** @typedef {import("./project.js").Project} Project */

const ACTIONS = Object.freeze({ now: "now", connect: "use it here", signIn: "how to get back", reload: "reload" });

export class Pill extends View {
  /**
   * @param {Project} project
   * @param {() => void} signIn
   */
  constructor(project, signIn) {
    super();
    this.project = project;
    this.signIn = signIn;
    this.said = h("span", { class: "said", role: "status" });
    this.text = h("span");
    this.waits = h("span", { class: "detail" });
    this.countdown = h("span", { class: "countdown", "aria-hidden": "true" });
    this.detail = h("span", { class: "detail" });
    this.action = h("button", { class: "link", type: "button", on: { click: () => this.#act() } });
  }

  build() {
    this.said.append(this.text, this.waits);
    this.append(h("span", { class: "dot", "aria-hidden": "true" }), this.said, this.countdown, this.action, this.detail);
  }

  listen() {
    this.until(this.project.on("change", this.redraw), everySecond(this.redraw));
  }

  get words() {
    const { state, known, heardAt } = this.project;
    return connectionWords(state, { known, heardAt, now: Date.now() });
  }

  draw() {
    const { tone, text, countdown, detail, action } = this.words;
    this.className = `pill ${tone}`;
    setText(this.text, text);
    const waiting = tone === "live" ? 0 : this.project.socket.unanswered;
    setText(this.waits, waiting > 0 ? `· ${waiting} sent when back` : "");
    this.waits.hidden = waiting === 0;
    setText(this.countdown, countdown);
    setText(this.detail, detail);
    this.countdown.hidden = countdown === "";
    this.detail.hidden = detail === "";
    this.action.hidden = action === "";
    if (action) setText(this.action, ACTIONS[action]);
  }

  #act() {
    const { action } = this.words;
    if (action === "reload") location.reload();
    else if (action === "signIn") this.signIn();
    else this.project.socket.connect();
  }
}

customElements.define("aosui-pill", Pill);
