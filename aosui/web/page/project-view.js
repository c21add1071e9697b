/** `<aosui-project>`: one project, as the panel of its tab. */

import { isFinal } from "../aosui-client.js";
import { h, reconcile, setAttribute, setText } from "./dom.js";
import { icon } from "./icons.js";
import { Pill } from "./pill.js";
import { format } from "./route.js";
import { RunList } from "./run-list.js";
import { RunView } from "./run-view.js";
import { StartForm } from "./start-form.js";
import { panelId, tabId } from "./tabs.js";
import { pretty } from "./output-lines.js";
import { clock } from "./format.js";
import { View } from "./view.js";

/** @typedef {import("./project.js").Project} Project */
/** @typedef {import("./route.js").Route} Route */
/** @typedef {import("./workspace.js").Workspace} Workspace */

export class ProjectView extends View {
  /** @type {Route | null} */ #route = null;
  /** @type {RunView | null} */ #runView = null;
  #looking = "";

  /**
   * @param {Workspace} workspace
   * @param {Project} project
   * @param {() => void} signIn
   */
  constructor(workspace, project, signIn) {
    super();
    this.workspace = workspace;
    this.project = project;
    this.heading = h("h1");
    this.root = h("span", { class: "root" });
    this.pill = new Pill(project, signIn);
    this.notices = h("ul", { class: "notices", "aria-label": "Messages of the application" });
    this.runs = new RunList(project);
    this.start = new StartForm(project, workspace.memory);
    this.missing = h("div", { class: "empty", role: "status" });
    this.stage = h("div", { class: "stage" });
    this.columns = h(
      "div",
      { class: "columns" },
      h("nav", { class: "side", "aria-label": "Runs" }, this.#startLink("start-link"), this.runs),
      this.stage,
    );
  }

  build() {
    const { project } = this;
    this.id = panelId(project);
    this.setAttribute("role", "tabpanel");
    this.setAttribute("aria-labelledby", tabId(project));
    this.append(
      h(
        "header",
        { class: "project-head" },
        h("div", { class: "titles" }, this.heading, this.root),
        this.pill,
        h("button", { type: "button", class: "plain close-tab", title: "What runs goes on", on: { click: () => this.workspace.close(project) } }, "Close tab"),
      ),
      this.notices,
      this.columns,
    );
  }

  listen() {
    this.until(this.project.on("change", this.redraw));
  }

  /**
   * Show a place in the project.
   *
   * @param {Route} route
   */
  show(route) {
    const same = this.#route !== null && format(this.#route) === format(route);
    this.#route = route;
    if (route.view === "start" && !same) void this.start.show(route.workflow);
    this.draw();
  }

  /** The run that is shown, if any. */
  get runView() {
    return this.#runView?.isConnected ? this.#runView : null;
  }

  draw() {
    const { project } = this;
    setText(this.heading, project.name);
    setAttribute(this.heading, "title", project.name);
    setText(this.root, project.root);
    setAttribute(this.root, "title", project.root);
    this.columns.classList.toggle("stale", project.known && !project.fresh && project.state.name !== "connecting");
    this.#drawNotices();
    this.#drawStage();
  }

  /** A run is shown as it is asked for; else the newest one, and where there is none, how to start one. */
  #drawStage() {
    const { project } = this;
    const route = this.#route;
    if (!route) return;
    if (project.gone && !project.known) return this.#drawGone();
    let { view, runId } = route;
    if (view === "project" && project.known) {
      const { runs } = project;
      const shown = runs.find((run) => run.questions.length > 0) ?? runs.find((run) => !isFinal(run)) ?? runs[0];
      // Once chosen it stays: a page must not turn under the eyes of its reader.
      runId = (this.#runView && project.run(this.#runView.runId) && this.#runView.runId) || (shown?.runId ?? "");
    }
    this.columns.dataset.view = view;
    if (view === "start" || (view === "project" && project.known && runId === "")) {
      if (view === "project" && this.start.parentElement !== this.stage) void this.start.show("");
      this.columns.dataset.view = view === "project" ? "start" : view;
      this.#place(this.start);
      this.runs.select("");
      return;
    }
    this.runs.select(runId);
    if (runId === "") return this.#wait(`Loading ${project.name}…`);
    const run = project.run(runId);
    if (run) {
      if (this.#runView?.runId !== runId || this.#runView.output.output !== project.output(runId)) {
        this.#runView = new RunView(project, run, this.workspace.memory);
      }
      this.#place(this.#runView);
    } else if (project.known) {
      this.#find(runId);
    } else {
      this.#wait(`Loading ${project.name}…`);
    }
  }

  /** @param {HTMLElement} element */
  #place(element) {
    if (element.parentElement !== this.stage || this.stage.childElementCount > 1) this.stage.replaceChildren(element);
  }

  /** @param {string} text */
  #wait(text) {
    this.missing.replaceChildren(h("p", { class: "muted" }, text));
    this.#place(this.missing);
  }

  /** @param {string} runId an old one, or one that never was */
  #find(runId) {
    if (this.#looking === runId) return;
    this.#looking = runId;
    this.#wait("Looking for the run…");
    this.project.find(runId).then(
      () => (this.#looking = ""),
      (error) => {
        this.missing.replaceChildren(
          h("h2", null, error.code === "runNotFound" ? "This run is not kept any more" : "The run could not be loaded"),
          h("p", null, error.code === "runNotFound" ? "The server keeps the last 1,000 runs of a project that ended." : `${error.message}.`),
          h("a", { href: format({ view: "project", projectId: this.project.id }) }, "Show the newest run"),
        );
        this.#looking = "";
      },
    );
  }

  #drawGone() {
    const { root } = this.project;
    const reopen = h("button", { class: "primary", type: "button", on: { click: () => void this.#reopen() } }, "Open it again");
    this.missing.replaceChildren(
      h("h2", null, "This project is no longer open on the server"),
      h("p", null, "It was closed there, or the server was started without it. Its log is kept: opening it again goes on with it."),
      h("div", { class: "form-actions" }, root ? reopen : "", h("button", { type: "button", on: { click: () => this.workspace.close(this.project) } }, "Close tab")),
      h("p", { class: "muted" }, "Or in a terminal:"),
      h("code", { class: "command" }, `aosui ${root || "DIRECTORY"}`),
    );
    this.columns.dataset.view = "gone";
    this.#place(this.missing);
  }

  async #reopen() {
    try {
      await this.workspace.openRoot(this.project.root);
    } catch (error) {
      this.workspace.say(`Not opened: ${/** @type {Error} */ (error).message}.`, "bad");
    }
  }

  #drawNotices() {
    reconcile(
      this.notices,
      this.project.notices.slice(-3),
      ({ seq }) => String(seq),
      (notice) =>
        h(
          "li",
          null,
          h("span", { class: "muted small" }, clock(new Date(notice.ts))),
          h("strong", null, notice.name),
          h("code", null, pretty(notice.data).replace(/\s+/g, " ").slice(0, 300)),
          h("button", { class: "icon plain", type: "button", "aria-label": "Dismiss", on: { click: () => this.project.dismiss(notice) } }, icon("close")),
        ),
    );
  }

  /** @param {string} name */
  #startLink(name) {
    return h("a", { class: `button soft ${name}`, href: format({ view: "start", projectId: this.project.id }) }, icon("play"), "Start a workflow");
  }
}

customElements.define("aosui-project", ProjectView);
