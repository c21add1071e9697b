/** How a run ended: its result, or why there is none. */

import { isFinal } from "../aosui-client.js";
import { h } from "./dom.js";
import { pretty } from "./output-lines.js";

/** @typedef {import("../aosui-client.js").Run} Run */

/** @type {Record<string, string>} */
const ADVICE = {
  executorTimeout: "It ran longer than its workflow allows.",
  executorAbandoned: "It did not stop when it was told to, and was left behind.",
  executorCrashed: "Its process died; a retry begins in a new one.",
  executorBroken: "Its executor could not be started: `aosui executors` says why.",
  notSerialisable: "It returned something that is not JSON.",
  interrupted: "The server stopped or died while it ran.",
};

export class Outcome {
  #shown = "";

  constructor() {
    this.element = h("div", { class: "outcome", hidden: true });
  }

  /** @param {Run} run */
  show(run) {
    const { error, result, state } = run;
    const key = isFinal(run) ? `${state}${JSON.stringify([error, result])}` : "";
    if (key === this.#shown) return;
    this.#shown = key;
    const empty = key === "" || (error === null && (result === null || result === undefined));
    this.element.hidden = empty;
    this.element.className = `outcome ${error ? "failed" : "done"}`;
    this.element.replaceChildren();
    if (empty) return;
    if (error) {
      const advice = ADVICE[error.code];
      this.element.append(
        h("p", { class: "message" }, error.message),
        h(
          "p",
          { class: "small muted" },
          [advice, error.retryable && "A retry may go well."].filter(Boolean).join(" "),
          " ",
          h("code", null, error.code),
        ),
      );
      if (error.details) this.element.append(h("details", null, h("summary", null, "Details"), h("pre", null, pretty(error.details))));
    }
    if (result !== null && result !== undefined) {
      const text = pretty(result);
      const body = h("pre", { tabIndex: 0, "aria-label": "Result" }, text);
      this.element.append(
        text.split("\n").length > 12 ? h("details", null, h("summary", null, "Result"), body) : h("div", null, h("h3", null, "Result"), body),
      );
    }
  }
}
