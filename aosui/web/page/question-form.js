/** `<aosui-question>`: what a run asks, to be answered in place. */

import { append, freshId, h, setText } from "./dom.js";

/** @typedef {import("../aosui-client.js").Answers} Answers */
/** @typedef {import("../aosui-client.js").Prompt} Prompt */
/** @typedef {import("../aosui-client.js").Question} Question */
/** @typedef {import("../aosui-client.js").QuestionClosed} QuestionClosed */
/** @typedef {import("../aosui-client.js").Run} Run */
/** @typedef {import("./project.js").Project} Project */

/** Up to so many options are buttons: one press answers. */
const BUTTONS = 4;

/**
 * What somebody answered, in words.
 *
 * @param {Question} question
 * @param {Pick<QuestionClosed, "outcome" | "answers" | "by">} closed
 */
export function outcomeText(question, { outcome, answers, by }) {
  if (outcome !== "answered") return "No longer asked.";
  const who = by ? `Answered by ${by}` : "Answered";
  const said = question.prompts
    .flatMap(({ promptId, options }) =>
      [answers?.[promptId] ?? []].flat().map((value) => options.find((option) => option.value === value)?.label || value),
    )
    .join(", ");
  return said ? `${who}: ${said}` : `${who}.`;
}

export class QuestionForm extends HTMLElement {
  /** @type {(() => string | string[] | null)[]} */ #readers = [];
  #mine = false;

  /**
   * @param {Project} project
   * @param {Run} run
   * @param {Question} question
   * @param {boolean} [origin] say which project and run asks
   */
  constructor(project, run, question, origin = false) {
    super();
    this.project = project;
    this.run = run;
    this.question = question;
    this.origin = origin;
    this.problem = h("p", { class: "problem", role: "alert" });
    this.state = h("p", { class: "muted", role: "status", hidden: true });
    this.form = h("form", { class: "fields", on: { submit: (/** @type {Event} */ event) => this.#submit(event) } });
  }

  connectedCallback() {
    if (this.childElementCount > 0) return;
    this.className = "question";
    const { prompts } = this.question;
    const quick = prompts.length === 1 && isQuick(prompts[0]);
    append(this.form, prompts.map((prompt) => (quick ? this.#quick(prompt) : this.#prompt(prompt))));
    if (!quick) {
      this.form.append(h("div", { class: "form-actions" }, h("button", { class: "primary", type: "submit" }, "Answer")));
    }
    append(this, [this.origin && this.#origin(), this.form, this.problem, this.state]);
    this.setAttribute("role", "group");
    this.setAttribute("aria-label", `Question of ${this.run.title || this.run.workflow}`);
  }

  /** Whether the answer of this form was the one that counted. */
  get answered() {
    return this.#mine;
  }

  /** Put the focus where one answers. */
  focusFirst() {
    /** @type {HTMLElement | null} */ (this.form.querySelector("input, textarea, button"))?.focus();
  }

  /**
   * The question was closed: say so, and keep it until nobody needs it.
   *
   * @param {Pick<QuestionClosed, "outcome" | "answers" | "by">} closed
   */
  close(closed) {
    this.classList.add("closed");
    for (const control of this.form.elements) /** @type {HTMLInputElement} */ (control).disabled = true;
    this.form.hidden = true;
    setText(this.problem, "");
    const text = outcomeText(this.question, closed);
    const asked = this.question.prompts.map((prompt) => prompt.text).join(" · ");
    setText(this.state, `${this.#mine || closed.outcome !== "answered" ? "" : "Somebody was faster. "}${asked} — ${text}`);
    this.state.hidden = false;
  }

  #origin() {
    const { project, run } = this;
    return h(
      "p",
      { class: "origin" },
      h("strong", null, project.name),
      "›",
      h("a", { href: `#/p/${encodeURIComponent(project.id)}/r/${encodeURIComponent(run.runId)}`, data: { leave: "" } }, run.title || run.workflow),
    );
  }

  /** @param {Prompt} prompt */
  #quick(prompt) {
    const buttons = prompt.options.map(({ value, label, description }, i) =>
      h(
        "button",
        {
          type: "button",
          class: i === 0 ? "primary" : "",
          title: description,
          on: { click: () => void this.#send({ [prompt.promptId]: value }) },
        },
        label || value,
      ),
    );
    const group = h("fieldset", null, legend(prompt), h("div", { class: "buttons" }, ...buttons));
    if (prompt.allowOther) {
      const other = h("input", { "aria-label": "Another answer", placeholder: "Another answer…", autocomplete: "off" });
      this.#readers.push(() => other.value.trim() || null);
      group.append(h("div", { class: "other-row" }, other, h("button", { type: "submit" }, "Answer")));
    }
    return group;
  }

  /** @param {Prompt} prompt */
  #prompt(prompt) {
    return prompt.options.length === 0 ? this.#freeText(prompt) : this.#choices(prompt);
  }

  /** @param {Prompt} prompt */
  #freeText(prompt) {
    const id = freshId("prompt");
    const area = h("textarea", { id, rows: 2 });
    area.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) this.form.requestSubmit();
    });
    this.#readers.push(() => (prompt.multiple ? area.value.split("\n").filter(Boolean) : area.value));
    return h(
      "div",
      null,
      h("label", { htmlFor: id, class: "legend" }, prompt.header && h("span", { class: "header" }, prompt.header, " "), prompt.text),
      area,
    );
  }

  /** @param {Prompt} prompt */
  #choices(prompt) {
    const name = freshId("prompt");
    const type = prompt.multiple ? "checkbox" : "radio";
    const inputs = prompt.options.map(({ value }) => h("input", { type, name, value }));
    const rows = prompt.options.map(({ value, label, description }, i) =>
      h(
        "label",
        { class: "option" },
        inputs[i],
        h("span", { class: "texts" }, label || value, description && h("span", { class: "description" }, description)),
      ),
    );
    /** @type {HTMLInputElement | null} */
    let chosen = null;
    /** @type {HTMLInputElement | null} */
    let text = null;
    if (prompt.allowOther) {
      const box = (chosen = h("input", { type, name, value: "" }));
      const input = (text = h("input", { "aria-label": "Another answer", placeholder: "Another answer…", autocomplete: "off" }));
      input.addEventListener("input", () => (box.checked = input.value !== ""));
      rows.push(h("label", { class: "option" }, box, h("span", { class: "texts" }, input)));
    }
    this.#readers.push(() => {
      const values = inputs.filter((input) => input.checked).map((input) => input.value);
      if (chosen?.checked && text?.value.trim()) values.push(text.value.trim());
      return prompt.multiple ? values : (values[0] ?? null);
    });
    return h("fieldset", null, legend(prompt), ...rows);
  }

  /** @param {Event} event */
  #submit(event) {
    event.preventDefault();
    /** @type {Answers} */
    const answers = {};
    for (const [i, read] of this.#readers.entries()) {
      const value = read();
      if (value === null || value === "") {
        setText(this.problem, this.#readers.length > 1 ? "Every question needs an answer." : "An answer is needed.");
        return;
      }
      answers[this.question.prompts[i].promptId] = value;
    }
    void this.#send(answers);
  }

  /** @param {Answers} answers */
  async #send(answers) {
    setText(this.problem, "");
    const controls = /** @type {HTMLInputElement[]} */ ([...this.form.elements]);
    for (const control of controls) control.disabled = true;
    this.#mine = true;
    try {
      await this.project.socket.answer(this.question.questionId, answers);
      this.close({ outcome: "answered", answers, by: null });
    } catch (thrown) {
      const error = /** @type {import("../aosui-client.js").AosuiError} */ (thrown);
      this.#mine = false;
      if (error.code === "questionClosed") {
        this.close(/** @type {any} */ ({ outcome: "answered", answers: null, by: null, ...error.details }));
        return;
      }
      for (const control of controls) control.disabled = false;
      setText(this.problem, `${error.message}.`);
    }
  }
}

/** @param {Prompt} prompt */
const isQuick = ({ options, multiple }) =>
  !multiple && options.length > 0 && options.length <= BUTTONS && options.every(({ label, value, description }) => (label || value).length <= 40 && description.length <= 80);

/** @param {Prompt} prompt */
const legend = ({ header, text }) => h("legend", null, header && h("span", { class: "header" }, header), text);

customElements.define("aosui-question", QuestionForm);
