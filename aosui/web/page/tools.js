/** `<aosui-tools>`: the buttons at the end of the bar. */

import { h, setAttribute } from "./dom.js";
import { counted } from "./format.js";
import { openHelpDialog } from "./help.js";
import { icon, showIcon } from "./icons.js";
import { openQuestionsDialog } from "./questions-dialog.js";
import { nextTheme, theme } from "./theme.js";
import { View } from "./view.js";

/** @typedef {import("./attention.js").Attention} Attention */
/** @typedef {import("./workspace.js").Workspace} Workspace */

const SAID = Object.freeze({
  on: "You will be notified of questions and of runs that end while you are elsewhere.",
  off: "No more notifications.",
  denied: "Your browser does not allow notifications for this page: its settings for this site can.",
  unsupported: "This browser has no notifications for this page.",
});

export class Tools extends View {
  /**
   * @param {Workspace} workspace
   * @param {Attention} attention
   */
  constructor(workspace, attention) {
    super();
    this.workspace = workspace;
    this.attention = attention;
    const tool = (/** @type {() => void} */ click) => h("button", { class: "icon plain", type: "button", on: { click } });
    this.needs = h("button", { class: "needs", type: "button", hidden: true, on: { click: () => openQuestionsDialog(workspace) } });
    this.bell = tool(() => void this.#bell());
    this.theme = tool(() => {
      nextTheme();
      this.draw();
    });
    this.help = tool(() => openHelpDialog(workspace.memory));
  }

  build() {
    this.className = "tools";
    showIcon(this.theme, "theme");
    showIcon(this.help, "help");
    setAttribute(this.help, "aria-label", "Keys");
    this.help.title = "Keys (?)";
    this.append(this.needs, this.bell, this.theme, this.help);
  }

  listen() {
    this.until(this.workspace.on("change", this.redraw));
  }

  draw() {
    const { length } = this.workspace.questions;
    this.needs.hidden = length === 0;
    if (this.needs.dataset.count !== String(length)) {
      this.needs.dataset.count = String(length);
      this.needs.replaceChildren(icon("waiting"), counted(length, "question"));
      this.needs.title = "Answer (q)";
    }
    const on = this.attention.notifies;
    showIcon(this.bell, on ? "bell" : "bell-off");
    setAttribute(this.bell, "aria-pressed", String(on));
    setAttribute(this.bell, "aria-label", "Notifications");
    this.bell.title = on ? "Notifications are on" : "Notifications are off";
    const label = `Theme: ${theme()}`;
    setAttribute(this.theme, "aria-label", label);
    this.theme.title = label;
  }

  async #bell() {
    const state = await this.attention.toggle();
    this.workspace.say(SAID[state], state === "denied" || state === "unsupported" ? "bad" : "info");
    this.draw();
  }
}

customElements.define("aosui-tools", Tools);
