/** `<aosui-run>`: one run, from its start to its end. */

import { isFinal } from "../aosui-client.js";
import { h, reconcile, setText } from "./dom.js";
import { STATE_WORDS, progressText, when } from "./format.js";
import { icon, showIcon } from "./icons.js";
import { Output } from "./output.js";
import { Outcome } from "./outcome.js";
import { QuestionForm } from "./question-form.js";
import { askSecrets } from "./secrets-dialog.js";
import { MASK } from "./params.js";
import { elapsed } from "./run-list.js";
import { format, runHref } from "./route.js";
import { View, everySecond } from "./view.js";

/** @typedef {import("../aosui-client.js").AosuiError} AosuiError */
/** @typedef {import("../aosui-client.js").QuestionClosed} QuestionClosed */
/** @typedef {import("../aosui-client.js").Run} Run */
/** @typedef {import("./project.js").Project} Project */
/** @typedef {import("./storage.js").Memory} Memory */

/** A question to be sure is taken back after so long. */
const SURE_MS = 8000;
/** Who everybody is that signs in with the server's token. */
const LOCAL = "local";

export class RunView extends View {
  /** @type {any} */ #sure = null;
  #sent = "";

  /**
   * @param {Project} project
   * @param {Run} run
   * @param {Memory} memory
   */
  constructor(project, run, memory) {
    super();
    this.project = project;
    this.runId = run.runId;
    this.memory = memory;
    this.heading = h("h2");
    this.chip = h("span", { class: "state-chip" }, h("span"), h("span", { role: "status" }));
    this.elapsed = h("span", { class: "elapsed" });
    this.facts = h("p", { class: "facts" });
    this.actions = h("div", { class: "actions" });
    this.problem = h("p", { class: "problem", role: "alert" });
    this.bar = h("progress", { "aria-label": "Progress" });
    this.said = h("output");
    this.progress = h("div", { class: "progress-line", hidden: true }, this.bar, this.said);
    this.questions = h("div", { class: "blocks" });
    this.outcome = new Outcome();
    this.output = new Output(project.output(run.runId), memory, `${project.name}-${run.title || run.workflow}`.replace(/[^\w.-]+/g, "-"));
    this.text = h("input", { "aria-label": "Input for the run", placeholder: "Send a line to the run…", autocomplete: "off", spellcheck: false });
    this.input = h("form", { class: "input-line", hidden: true, on: { submit: (/** @type {Event} */ event) => void this.#input(event) } }, this.text, h("button", { type: "submit" }, "Send"));
  }

  build() {
    const back = h("a", { class: "button plain back", href: format({ view: "project", projectId: this.project.id }) }, icon("back"), "Runs");
    this.classList.add("run");
    this.append(
      h(
        "header",
        { class: "run-head" },
        h("div", { class: "titles" }, back, h("div", { class: "title-line" }, this.heading, this.chip, this.elapsed), this.facts),
        this.actions,
      ),
      this.progress,
      this.questions,
      h("div", { class: "blocks" }, this.problem, this.outcome.element),
      this.output,
      this.input,
    );
  }

  listen() {
    this.until(
      this.project.on("change", this.redraw),
      this.project.on("closed", (event) => this.#closed(event)),
      everySecond(() => this.#drawElapsed()),
    );
  }

  get run() {
    return this.project.run(this.runId);
  }

  draw() {
    const run = this.run;
    if (!run) return;
    setText(this.heading, run.title || run.workflow);
    showIcon(/** @type {Element} */ (this.chip.firstElementChild), run.state);
    setText(/** @type {Element} */ (this.chip.lastElementChild), STATE_WORDS[run.state]);
    this.chip.className = `state-chip state-${run.state}`;
    this.#drawElapsed();
    this.#drawFacts(run);
    this.#drawActions(run);
    this.#drawProgress(run);
    this.#drawQuestions(run);
    this.outcome.show(run);
    this.input.hidden = isFinal(run) || run.state === "queued";
  }

  /** The first question that is open gets the focus. */
  focusQuestion() {
    const form = this.questions.querySelector("aosui-question:not(.closed)");
    if (form instanceof QuestionForm) form.focusFirst();
  }

  /** What the key for "cancel" does: the first of two steps. */
  askCancel() {
    if (this.run && !isFinal(this.run)) this.#ask();
  }

  #drawElapsed() {
    if (this.run) setText(this.elapsed, elapsed(this.run, this.project.now));
  }

  /** @param {Run} run */
  #drawFacts(run) {
    const parts = [
      h("span", null, h("code", null, run.workflow)),
      h("span", { title: run.createdAt }, `started ${when(new Date(run.startedAt ?? run.createdAt), new Date())}`),
      run.by && run.by !== LOCAL && h("span", null, `by ${run.by}`),
      run.attempt > 1 && h("span", null, `attempt ${run.attempt}`),
      run.retryOf && h("span", null, "retry of ", h("a", { href: runHref(this.project.id, run.retryOf) }, "an earlier run")),
      ...Object.entries(run.params).map(([name, value]) =>
        h("span", null, `${name} `, h("code", null, brief(typeof value === "string" ? value : JSON.stringify(value)))),
      ),
    ].filter((part) => part instanceof HTMLElement);
    const text = parts.map((part) => part.textContent).join("|");
    if (this.facts.dataset.text === text) return;
    this.facts.dataset.text = text;
    this.facts.replaceChildren(...parts);
  }

  /** @param {Run} run */
  #drawActions(run) {
    const state = isFinal(run) ? run.state : run.state === "cancelling" ? "cancelling" : "active";
    const sure = this.#sure !== null && state === "active";
    const shown = `${state}${sure ? "?" : ""}${this.#sent}`;
    if (this.actions.dataset.shown === shown) return;
    this.actions.dataset.shown = shown;
    this.actions.replaceChildren();
    if (state === "active" && sure) {
      const yes = h("button", { class: "danger", type: "button", on: { click: () => void this.#cancel() } }, "Yes, cancel");
      const no = h("button", { type: "button", on: { click: () => this.#unsure() } }, "Let it run");
      this.actions.append(h("span", { class: "confirm", role: "group", "aria-label": "Cancel this run?" }, h("span", null, "Cancel this run?"), yes, no));
      this.actions.addEventListener("keydown", (event) => event.key === "Escape" && this.#unsure(), { once: true });
      yes.focus();
    } else if (state === "active") {
      const busy = this.#sent === "cancel";
      this.actions.append(h("button", { type: "button", disabled: busy, on: { click: () => this.#ask() } }, busy ? "Cancelling…" : "Cancel"));
    } else if (state === "cancelling") {
      this.actions.append(h("button", { type: "button", disabled: true }, "Cancelling…"));
    } else {
      if (run.state !== "succeeded") {
        const busy = this.#sent === "retry";
        this.actions.append(h("button", { class: "primary", type: "button", disabled: busy, on: { click: () => void this.#retry() } }, busy ? "Retrying…" : "Retry"));
      }
      const again = format({ view: "start", projectId: this.project.id, workflow: run.workflow });
      this.actions.append(h("a", { class: "button", href: again }, "Start again…"));
    }
  }

  /** @param {Run} run */
  #drawProgress(run) {
    const { progress } = run;
    const busy = !isFinal(run) && run.state !== "waiting";
    this.progress.hidden = progress === null ? !busy : false;
    if (this.progress.hidden) return;
    if (progress !== null && progress.total !== null && progress.total > 0) {
      this.bar.max = progress.total;
      this.bar.value = Math.min(progress.current, progress.total);
    } else if (busy) {
      this.bar.removeAttribute("value");
    }
    this.bar.hidden = isFinal(run) || (progress?.total === null && !busy);
    const text = progress ? progressText(progress) : run.state === "queued" ? "Waits for its turn" : "";
    setText(this.said, isFinal(run) && text ? `Stood at ${text}` : text);
    this.progress.hidden = this.bar.hidden && (text === "" || run.state === "succeeded");
  }

  /** @param {Run} run */
  #drawQuestions(run) {
    const forms = /** @type {QuestionForm[]} */ ([...this.questions.children]);
    const open = new Set(run.questions.map(({ questionId }) => questionId));
    for (const form of forms) {
      if (open.has(form.question.questionId) || form.classList.contains("closed")) continue;
      form.close({ outcome: isFinal(run) ? "cancelled" : "answered", answers: null, by: null });
    }
    const closed = forms.filter((form) => !open.has(form.question.questionId)).map((form) => form.question);
    reconcile(
      this.questions,
      [...closed, ...run.questions],
      ({ questionId }) => questionId,
      (question) => new QuestionForm(this.project, run, question),
    );
  }

  /** @param {QuestionClosed} event */
  #closed(event) {
    for (const form of /** @type {Iterable<QuestionForm>} */ (this.questions.children)) {
      if (form.question.questionId === event.questionId && !form.answered) form.close(event);
    }
  }

  #ask() {
    clearTimeout(this.#sure);
    this.#sure = setTimeout(() => this.#unsure(), SURE_MS);
    if (this.run) this.#drawActions(this.run);
  }

  #unsure() {
    clearTimeout(this.#sure);
    this.#sure = null;
    const focused = this.actions.contains(document.activeElement);
    if (this.run) this.#drawActions(this.run);
    if (focused) this.actions.querySelector("button")?.focus();
  }

  async #cancel() {
    clearTimeout(this.#sure);
    this.#sure = null;
    await this.#send("cancel", () => this.project.socket.cancel(this.runId));
  }

  async #retry() {
    const { run } = this;
    if (!run) return;
    const hidden = Object.keys(run.params).filter((name) => run.params[name] === MASK);
    const secrets = hidden.length > 0 ? await askSecrets(this.project, run, hidden) : undefined;
    if (secrets === null) return;
    await this.#send("retry", async () => {
      const { runId } = await this.project.socket.retry(this.runId, secrets);
      location.hash = runHref(this.project.id, runId);
    });
  }

  /**
   * @param {string} what
   * @param {() => Promise<unknown>} send
   */
  async #send(what, send) {
    this.#sent = what;
    setText(this.problem, "");
    this.redraw();
    try {
      await send();
    } catch (error) {
      setText(this.problem, `${/** @type {AosuiError} */ (error).message}.`);
    } finally {
      this.#sent = "";
      this.redraw();
    }
  }

  /** @param {Event} event */
  async #input(event) {
    event.preventDefault();
    const { value } = this.text;
    this.text.value = "";
    try {
      await this.project.socket.input(this.runId, `${value}\n`);
      setText(this.problem, "");
    } catch (error) {
      if (this.text.value === "") this.text.value = value;
      setText(this.problem, `The input was not taken: ${/** @type {AosuiError} */ (error).message}.`);
    }
  }
}

/** @param {string} text */
const brief = (text) => (text.length > 80 ? `${text.slice(0, 80)}…` : text);

customElements.define("aosui-run", RunView);
