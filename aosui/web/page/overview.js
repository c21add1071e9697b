/** `<aosui-overview>`: all projects: what needs the user, what runs, what failed. */

import { isFinal } from "../aosui-client.js";
import { h, reconcile, setText } from "./dom.js";
import { STATE_WORDS, counted, progressText, when } from "./format.js";
import { icon, showIcon } from "./icons.js";
import { elapsed } from "./run-list.js";
import { format, runHref } from "./route.js";
import { View, everySecond } from "./view.js";

/** @typedef {import("../aosui-client.js").ProjectInfo} ProjectInfo */
/** @typedef {import("../aosui-client.js").Run} Run */
/** @typedef {import("./glance.js").GlanceState} GlanceState */
/** @typedef {import("./project.js").Project} Project */
/** @typedef {import("./workspace.js").Workspace} Workspace */

/**
 * @typedef {object} Card
 * @property {string} id
 * @property {string} name
 * @property {string} root
 * @property {GlanceState} state
 * @property {string} word
 * @property {Run[]} runs
 * @property {number} now the server's time
 * @property {ProjectInfo | null} info of a project without a tab
 */

/** @type {[GlanceState, string][]} */
const GROUPS = [
  ["waiting", "Needs you"],
  ["failed", "Failed"],
  ["running", "Running"],
  ["done", "Done since you looked"],
  ["idle", "Idle"],
];

export class Overview extends View {
  /**
   * @param {Workspace} workspace
   * @param {() => void} open
   */
  constructor(workspace, open) {
    super();
    this.workspace = workspace;
    this.heading = h("h1", null, "All projects");
    this.summary = h("span", { class: "muted" });
    this.groups = GROUPS.map(([state, title]) => {
      const cards = h("ul", { class: "cards" });
      const place = h("span", { class: `icon-place state-${state}` }, icon(state));
      return { state, cards, section: h("section", { class: "group" }, h("h2", null, place, title), cards) };
    });
    this.empty = h("div", { class: "empty" });
    this.open = open;
  }

  build() {
    const add = h("button", { type: "button", on: { click: this.open } }, icon("add"), "Open a project");
    this.className = "overview";
    this.append(
      h("div", { class: "inner" }, h("header", { class: "overview-head" }, this.heading, this.summary, h("span", { class: "spacer" }), add), ...this.groups.map(({ section }) => section), this.empty),
    );
    this.empty.append(
      h("h2", null, "No project is open"),
      h("p", null, "A project is a directory on the machine where aosui runs. Open one here, or in a terminal:"),
      h("code", { class: "command" }, "aosui ~/work/site ~/work/api"),
      h("p", { class: "muted" }, "Targets of its Makefile, scripts of its package.json and workflows of its aosui.toml can be started at once."),
    );
  }

  listen() {
    this.until(this.workspace.on("change", this.redraw), everySecond(this.redraw));
  }

  draw() {
    const cards = [...this.workspace.projects.map(opened), ...this.workspace.others.map(listed)];
    const counts = this.groups.map(({ state, section, cards: list }) => {
      const mine = cards.filter((card) => card.state === state);
      section.hidden = mine.length === 0;
      reconcile(list, mine, ({ id }) => id, (card) => this.#card(card), (item, card) => this.#show(item, card));
      return mine.length;
    });
    const [waiting, failed, running] = counts;
    const said = [waiting > 0 && `${waiting} need${waiting === 1 ? "s" : ""} you`, failed > 0 && `${failed} failed`, running > 0 && `${running} running`].filter(Boolean);
    setText(this.summary, cards.length === 0 ? "" : said.length > 0 ? said.join(" · ") : "Nothing needs you.");
    this.empty.hidden = cards.length > 0 || this.workspace.sockets.state.name === "unknown";
  }

  /** @param {Card} card */
  #card({ id, name, info }) {
    const title = info
      ? h("button", { class: "link name", type: "button", on: { click: () => this.workspace.open(info) } }, name)
      : h("a", { class: "name", href: format({ view: "project", projectId: id }) }, name);
    return h(
      "li",
      { class: "card" },
      h("div", { class: "card-head" }, h("span", { class: "icon-place" }), title, h("span", { class: "word" })),
      h("p", { class: "root" }),
      h("ul", { class: "card-runs" }),
    );
  }

  /**
   * @param {HTMLElement} item
   * @param {Card} card
   */
  #show(item, { id, name, root, state, word, runs, now, info }) {
    const [head, path, list] = /** @type {Iterable<HTMLElement>} */ (item.children);
    const [place, title, label] = /** @type {Iterable<HTMLElement>} */ (head.children);
    item.className = `card ${state}`;
    showIcon(place, state);
    place.className = `icon-place state-${state}`;
    setText(title, name);
    title.title = name;
    setText(label, info && word === "idle" ? "not in a tab" : word);
    label.className = `word state-${state}`;
    setText(path, root);
    path.title = root;
    list.hidden = runs.length === 0;
    reconcile(
      list,
      runs,
      ({ runId }) => runId,
      (run) => h("li", null, h("a", { href: runHref(id, run.runId) }, h("span", { class: "icon-place" }), h("span", { class: "title" }), h("span", { class: "figure" }))),
      (row, run) => {
        const [mark, what, figure] = row.firstElementChild.children;
        showIcon(mark, run.state);
        mark.className = `icon-place state-${run.state}`;
        setText(what, run.title || run.workflow);
        setText(figure, runFigure(run, now));
      },
    );
  }
}

/**
 * @param {Run} run
 * @param {number} now
 */
function runFigure(run, now) {
  if (run.questions.length > 0) return counted(run.questions.length, "question");
  if (isFinal(run)) return `${STATE_WORDS[run.state]} ${when(new Date(run.endedAt ?? run.createdAt), new Date(now))}`;
  return run.progress ? `${progressText(run.progress)} · ${elapsed(run, now)}` : elapsed(run, now);
}

/** @param {Project} project @returns {Card} */
function opened(project) {
  const { state, word, unseen } = project.glance;
  const { runs, id, name, root, now } = project;
  const active = runs.filter((run) => !isFinal(run));
  const last = runs.find(isFinal);
  const shown = [...active, ...unseen];
  return { id, name, root, state, word, runs: (shown.length > 0 || !last ? shown : [last]).slice(0, 5), now, info: null };
}

/** @param {ProjectInfo} info @returns {Card} */
function listed(info) {
  const { projectId, name, root, activity } = info;
  const state = activity.waiting > 0 ? "waiting" : activity.active > 0 ? "running" : "idle";
  const word = state === "waiting" ? "needs answer" : state === "running" ? `${activity.active} running` : "idle";
  return { id: projectId, name, root, state, word, runs: [], now: 0, info };
}

customElements.define("aosui-overview", Overview);
