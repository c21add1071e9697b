/** `<aosui-banners>`: what is wrong with the server or the session, above everything. */

import { h, reconcile } from "./dom.js";
import { executorWords } from "./executor-words.js";
import { icon } from "./icons.js";
import { View } from "./view.js";

/** @typedef {import("../aosui-client.js").ExecutorInfo} ExecutorInfo */
/** @typedef {import("./storage.js").Memory} Memory */
/** @typedef {import("./workspace.js").Workspace} Workspace */

const EXECUTORS_MS = 30_000;
const SOON_MS = 1000;

/** @typedef {{key: string, bad: boolean, text: string, more: string, act?: {word: string, do: () => void}, dismiss?: () => void}} Banner */

export class Banners extends View {
  /** @type {ExecutorInfo[]} */ #executors = [];
  /** @type {Set<string>} */ #dismissed = new Set();
  #signedIn = false;
  /** @type {any} */ #soon = null;

  /**
   * @param {Workspace} workspace
   * @param {() => void} signIn
   */
  constructor(workspace, signIn) {
    super();
    this.workspace = workspace;
    this.signIn = signIn;
  }

  build() {
    this.className = "banners";
  }

  listen() {
    const timer = setInterval(() => {
      if (document.visibilityState === "visible") void this.#ask();
    }, EXECUTORS_MS);
    this.until(
      () => clearInterval(timer),
      () => clearTimeout(this.#soon),
      this.workspace.on("change", this.redraw),
      this.workspace.on("run", ({ history }) => {
        if (!history) this.#askSoon();
      }),
    );
  }

  draw() {
    const signedIn = this.workspace.sockets.state.name === "ok";
    if (signedIn && !this.#signedIn) void this.#ask();
    this.#signedIn = signedIn;
    reconcile(
      this,
      this.#banners(),
      ({ key }) => key,
      ({ bad, text, more, act, dismiss }) =>
        h(
          "div",
          { class: `banner${bad ? " bad" : ""}`, role: bad ? "alert" : "status" },
          icon("warn"),
          h("p", null, text),
          act && h("button", { type: "button", class: "primary", on: { click: act.do } }, act.word),
          dismiss && h("button", { class: "icon plain", type: "button", "aria-label": "Dismiss", on: { click: dismiss } }, icon("close")),
          more && h("details", null, h("summary", null, "Why"), h("pre", { tabIndex: 0 }, more)),
        ),
    );
  }

  /** @returns {Banner[]} */
  #banners() {
    /** @type {Banner[]} */
    const banners = [];
    const { state } = this.workspace.sockets;
    if (state.name === "signedOut") {
      banners.push({ key: "signed out", bad: true, text: "Your session has ended. What is shown here is as it was; nothing that runs has stopped.", more: "", act: { word: "Sign in again", do: this.signIn } });
    } else if (state.name === "offline") {
      banners.push({ key: "offline", bad: true, text: "The server does not answer. This page keeps trying and goes on by itself; what is shown is as it was.", more: "" });
    }
    for (const executor of this.#executors) {
      const words = executorWords(executor);
      if (!words || this.#dismissed.has(words.key)) continue;
      banners.push({
        ...words,
        bad: false,
        dismiss: () => {
          this.#dismissed.add(words.key);
          this.redraw();
        },
      });
    }
    return banners;
  }

  /** What a run did to the server is known a moment after it. */
  #askSoon() {
    clearTimeout(this.#soon);
    this.#soon = setTimeout(() => void this.#ask(), SOON_MS);
  }

  async #ask() {
    try {
      this.#executors = (await this.workspace.api.executors()).executors;
      this.redraw();
    } catch {
      // The list of projects fails in the same way, and says so.
    }
  }
}

customElements.define("aosui-banners", Banners);
