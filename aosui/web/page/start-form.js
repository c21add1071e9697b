/** `<aosui-start>`: the workflows of a project, and the form that starts one. */

import { h, reconcile, setAttribute, setText } from "./dom.js";
import { ParamFields } from "./param-fields.js";
import { matching, rememberable } from "./params.js";
import { format, runHref } from "./route.js";
import { View } from "./view.js";

/** @typedef {import("../aosui-client.js").AosuiError} AosuiError */
/** @typedef {import("../aosui-client.js").Workflow} Workflow */
/** @typedef {import("../aosui-client.js").WorkflowError} WorkflowError */
/** @typedef {import("./project.js").Project} Project */
/** @typedef {import("./storage.js").Memory} Memory */

export class StartForm extends View {
  /** @type {Workflow[] | null} */ #workflows = null;
  /** @type {WorkflowError[]} */ #errors = [];
  /** @type {ParamFields | null} */ #fields = null;
  #workflow = "";
  #formOf = "";
  #starting = false;
  #wantsFocus = false;

  /**
   * @param {Project} project
   * @param {Memory} memory
   */
  constructor(project, memory) {
    super();
    this.project = project;
    this.memory = memory;
    this.heading = h("h2", null, "Start a workflow");
    this.search = h("input", {
      type: "search",
      placeholder: "Find a workflow…",
      "aria-label": "Find a workflow",
      autocomplete: "off",
      on: { input: () => this.draw(), keydown: (/** @type {KeyboardEvent} */ event) => this.#searchKey(event) },
    });
    this.list = h("ul", { class: "workflows" });
    this.none = h("p", { class: "muted", hidden: true });
    this.empty = h("div", { class: "fields", hidden: true });
    this.failures = h("div", { class: "blocks" });
    this.form = h("form", { class: "fields", noValidate: true, hidden: true, on: { submit: (/** @type {Event} */ event) => void this.#submit(event) } });
    this.status = h("p", { class: "muted", role: "status" });
  }

  build() {
    const back = h("a", { class: "button plain back", href: format({ view: "project", projectId: this.project.id }) }, "‹ Runs");
    this.append(
      h("div", { class: "start" }, back, this.heading, this.search, this.list, this.none, this.empty, this.form, this.status, this.failures),
    );
  }

  listen() {
    this.until(this.project.on("change", this.redraw));
  }

  /**
   * Show the list, or the form of one workflow.
   *
   * @param {string} workflow
   */
  async show(workflow) {
    this.#workflow = workflow;
    this.#formOf = "";
    this.search.value = "";
    this.redraw();
    await this.load();
  }

  /** Ask for the workflows: they follow the project's files. */
  async load() {
    if (this.#workflows === null) setText(this.status, "Looking for workflows…");
    try {
      const { workflows, errors } = await this.project.api.workflows(this.project.id);
      this.#workflows = workflows;
      this.#errors = errors;
      setText(this.status, "");
    } catch (error) {
      setText(this.status, `The workflows could not be listed: ${/** @type {Error} */ (error).message}.`);
    }
    this.redraw();
  }

  /** Put the focus on the first field: at once, for the next key is meant for it. */
  focusFirst() {
    this.#wantsFocus = true;
    this.draw();
  }

  draw() {
    const workflows = this.#workflows ?? [];
    const chosen = workflows.find(({ workflow }) => workflow === this.#workflow);
    this.#drawList(chosen ? [] : workflows);
    this.#drawEmpty();
    this.form.hidden = !chosen;
    if (chosen) this.#drawForm(chosen);
    this.#drawButton();
    this.#drawFocus(chosen !== undefined);
    setText(this.heading, chosen ? `Start ${chosen.title || chosen.workflow}` : "Start a workflow");
    reconcile(
      this.failures,
      chosen ? [] : this.#errors,
      ({ executor }) => executor,
      () => h("div", { class: "outcome failed" }, h("strong"), h("p", { class: "message" })),
      (box, { executor, error }) => {
        setText(box.children[0], `The workflows of ${executor} could not be listed`);
        setText(box.children[1], error.message);
      },
    );
  }

  /** @param {boolean} form */
  #drawFocus(form) {
    const first = form ? this.form.querySelector("input, select, textarea, button") : this.search;
    if (!this.#wantsFocus || !(first instanceof HTMLElement) || first.hidden) return;
    this.#wantsFocus = false;
    first.focus({ preventScroll: true });
  }

  /** @param {Workflow[]} workflows */
  #drawList(workflows) {
    const found = matching(workflows, this.search.value);
    this.search.hidden = this.#workflows === null ? this.#workflow !== "" : workflows.length < 2;
    this.list.hidden = found.length === 0;
    const gone = this.#workflow !== "" && workflows.length > 0;
    this.none.hidden = !gone && (workflows.length === 0 || found.length > 0);
    setText(
      this.none,
      gone
        ? `${this.#workflow} is not among this project's workflows any more.`
        : `No workflow has “${this.search.value}” in its name or description.`,
    );
    reconcile(
      this.list,
      found,
      ({ workflow }) => workflow,
      ({ workflow }) =>
        h(
          "li",
          null,
          h(
            "a",
            { class: "workflow-link", href: format({ view: "start", projectId: this.project.id, workflow }) },
            h("span", { class: "title" }),
            " ",
            h("span", { class: "id" }),
            " ",
            h("span", { class: "description" }),
          ),
        ),
      (item, { workflow, executor, title, description }) => {
        const [name, id, about] = item.firstElementChild.children;
        setText(name, title || workflow);
        // What the title says already is not said again.
        setText(id, !title ? "" : workflow === `${executor}:${title}` ? executor : workflow);
        setText(about, description.split("\n")[0]);
        about.hidden = description === "";
      },
    );
  }

  #drawEmpty() {
    const empty = this.#workflows !== null && this.#workflows.length === 0;
    this.empty.hidden = !empty;
    if (!empty || this.empty.childElementCount > 0) return;
    this.empty.append(
      h("p", null, "No workflow is here yet. Targets of a Makefile and scripts of a package.json are found by themselves; or write an ", h("code", null, "aosui.toml"), " into ", h("code", null, this.project.root || "the project"), ":"),
      h("code", { class: "command" }, '[workflows.test]\nrun = "pytest -q"'),
      h("p", null, "Which executors are installed, and whether they work:"),
      h("code", { class: "command" }, "aosui executors"),
      h("div", { class: "form-actions" }, h("button", { type: "button", on: { click: () => void this.load() } }, "Look again")),
    );
  }

  /** @param {Workflow} workflow */
  #drawForm(workflow) {
    if (this.#formOf === workflow.workflow) return;
    this.#formOf = workflow.workflow;
    const fields = (this.#fields = new ParamFields(workflow.params, this.memory.get(this.#key(workflow), {})));
    const problem = h("p", { class: "problem", role: "alert" });
    this.form.replaceChildren(
      h("p", { class: "hint", hidden: !workflow.description }, workflow.description),
      h("p", { class: "muted small" }, h("code", null, workflow.workflow)),
      fields.element,
      problem,
      h(
        "div",
        { class: "form-actions" },
        h("button", { class: "primary", type: "submit" }, "Start"),
        h("a", { class: "button plain", href: format({ view: "start", projectId: this.project.id }) }, "Other workflows"),
      ),
    );
    this.#wantsFocus = true;
  }

  #drawButton() {
    const button = /** @type {HTMLButtonElement | null} */ (this.form.querySelector("button[type=submit]"));
    if (!button) return;
    const { name } = this.project.state;
    const away = name === "reconnecting" || name === "offline" || name === "signedOut";
    button.disabled = this.#starting;
    setAttribute(button, "aria-busy", this.#starting ? "true" : null);
    setText(button, !this.#starting ? "Start" : away ? "Starts when the connection is back…" : "Starting…");
  }

  /** @param {Workflow} workflow */
  #key({ workflow }) {
    return `params:${this.project.id}:${workflow}`;
  }

  /** @param {KeyboardEvent} event */
  #searchKey(event) {
    const first = /** @type {HTMLElement | null} */ (this.list.querySelector("a"));
    if (event.key === "ArrowDown") first?.focus();
    else if (event.key === "Enter") first?.click();
    else return;
    event.preventDefault();
  }

  /** @param {Event} event */
  async #submit(event) {
    event.preventDefault();
    const workflow = this.#workflows?.find((each) => each.workflow === this.#workflow);
    const fields = this.#fields;
    const params = fields?.read();
    if (!workflow || !fields || !params) return;
    this.memory.set(this.#key(workflow), rememberable(workflow.params, params));
    const problem = /** @type {HTMLElement} */ (this.form.querySelector(".problem[role=alert]"));
    setText(problem, "");
    this.#starting = true;
    this.#drawButton();
    try {
      const { runId } = await this.project.socket.start(workflow.workflow, params);
      this.#formOf = "";
      location.hash = runHref(this.project.id, runId);
    } catch (thrown) {
      const error = /** @type {AosuiError} */ (thrown);
      if (!fields.show(error.details?.params ?? {})) setText(problem, `${error.message}.`);
    } finally {
      this.#starting = false;
      this.#drawButton();
    }
  }
}

customElements.define("aosui-start", StartForm);
