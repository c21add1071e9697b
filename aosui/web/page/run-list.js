/** `<aosui-runs>`: the runs of a project, what is active first. */

import { isFinal } from "../aosui-client.js";
import { h, reconcile, setAttribute, setText } from "./dom.js";
import { STATE_WORDS, duration, progressText, when } from "./format.js";
import { showIcon } from "./icons.js";
import { runHref } from "./route.js";
import { View, everySecond } from "./view.js";

/** @typedef {import("../aosui-client.js").Run} Run */
/** @typedef {import("./project.js").Project} Project */

/**
 * How long a run took, or takes.
 *
 * @param {Run} run
 * @param {number} now
 */
export function elapsed(run, now) {
  const start = run.startedAt ?? run.createdAt;
  const end = run.endedAt === null ? now : Date.parse(run.endedAt);
  return duration(end - Date.parse(start));
}

export class RunList extends View {
  /** @param {Project} project */
  constructor(project) {
    super();
    this.project = project;
    this.runId = "";
    this.active = h("ul");
    this.ended = h("ul");
    this.older = h("button", { class: "plain", type: "button", on: { click: () => void this.#older() } }, "Older runs…");
    this.problem = h("p", { class: "problem small", role: "alert" });
    this.groups = [
      h("section", { class: "run-group", "aria-label": "Active runs" }, h("h2", null, "Active"), this.active),
      h("section", { class: "run-group", "aria-label": "Ended runs" }, h("h2", null, "History"), this.ended),
    ];
  }

  build() {
    this.append(...this.groups, this.older, this.problem);
  }

  listen() {
    this.until(
      this.project.on("change", this.redraw),
      everySecond(() => {
        if (this.active.childElementCount > 0) this.redraw();
      }),
    );
  }

  /** @param {string} runId the run that is shown */
  select(runId) {
    this.runId = runId;
    this.redraw();
  }

  draw() {
    const { runs, more, seenAt, now } = this.project;
    const groups = [runs.filter((run) => !isFinal(run)), runs.filter(isFinal)];
    [this.active, this.ended].forEach((list, i) => {
      this.groups[i].hidden = groups[i].length === 0;
      reconcile(
        list,
        groups[i],
        ({ runId }) => runId,
        (run) => this.#item(run),
        (item, run) => this.#show(item, run, seenAt, now),
      );
    });
    this.older.hidden = !more;
  }

  /** @param {Run} run */
  #item(run) {
    return h(
      "li",
      null,
      h(
        "a",
        { class: "run-item", href: runHref(this.project.id, run.runId) },
        h("span", { class: "icon-place" }),
        h("span", { class: "title" }),
        h("span", { class: "figure" }),
        h("span", { class: "sub" }, h("span", { class: "said-state" }), h("span")),
        h("progress", { "aria-hidden": "true", max: 1 }),
      ),
    );
  }

  /**
   * @param {HTMLElement} item
   * @param {Run} run
   * @param {string} seenAt
   * @param {number} now
   */
  #show(item, run, seenAt, now) {
    const link = /** @type {HTMLElement} */ (item.firstElementChild);
    const [place, title, figure, sub, bar] = /** @type {Iterable<HTMLElement>} */ (link.children);
    const unseen = isFinal(run) && (run.endedAt ?? "") > seenAt;
    link.className = `run-item${unseen ? " unseen" : ""}`;
    setAttribute(link, "aria-current", run.runId === this.runId ? "page" : null);
    showIcon(place, run.state);
    place.className = `icon-place state-${run.state}`;
    setText(title, run.title || run.workflow);
    link.title = `${run.title || run.workflow}\n${run.workflow}`;
    setText(figure, elapsed(run, now));
    const [state, rest] = /** @type {Iterable<HTMLElement>} */ (sub.children);
    setText(state, STATE_WORDS[run.state]);
    state.className = `said-state state-${run.state}`;
    setText(rest, ` · ${subline(run, now)}`);
    const progress = /** @type {HTMLProgressElement} */ (bar);
    const total = run.progress?.total ?? null;
    progress.hidden = isFinal(run) || total === null || total <= 0;
    if (!progress.hidden) progress.value = Math.min(1, (run.progress?.current ?? 0) / (total ?? 1));
  }

  async #older() {
    this.older.disabled = true;
    try {
      await this.project.history();
      setText(this.problem, "");
    } catch (error) {
      setText(this.problem, `Older runs could not be loaded: ${/** @type {Error} */ (error).message}.`);
    } finally {
      this.older.disabled = false;
    }
  }
}

/**
 * @param {Run} run
 * @param {number} now
 */
function subline(run, now) {
  if (!isFinal(run) && run.progress) return progressText(run.progress);
  return when(new Date(run.createdAt), new Date(now));
}

customElements.define("aosui-runs", RunList);
