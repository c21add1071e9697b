/** The fields of a form for parameters. */

import { freshId, h, setAttribute, setText } from "./dom.js";
import { initial, readAll } from "./params.js";

/** @typedef {import("./params.js").Param} Param */

/** @typedef {HTMLInputElement | HTMLSelectElement | HTMLTextAreaElement} Control */

export class ParamFields {
  /** @type {Map<string, {control: Control, problem: HTMLElement}>} */ #fields = new Map();

  /**
   * @param {readonly Param[]} params
   * @param {Record<string, any>} last values to begin with, where they fit
   */
  constructor(params, last) {
    this.params = params;
    this.element = h("div", { class: "fields" }, ...params.map((param) => this.#field(param, last)));
  }

  /**
   * Read what was typed; null, with the problems shown at their fields, when it does not do.
   *
   * @returns {Record<string, any> | null}
   */
  read() {
    const { values, problems } = readAll(this.params, (name) => {
      const control = this.#fields.get(name)?.control;
      if (control instanceof HTMLInputElement && control.type === "checkbox") return control.checked;
      return control?.value ?? "";
    });
    this.show(problems);
    return Object.keys(problems).length > 0 ? null : values;
  }

  /**
   * Show problems at their fields and put the focus on the first.
   *
   * @param {Record<string, string>} problems
   * @returns {boolean} whether there is a field for any
   */
  show(problems) {
    /** @type {Control | null} */
    let first = null;
    for (const [name, { control, problem }] of this.#fields) {
      const text = problems[name];
      setText(problem, text ? `${name} ${text}.` : "");
      setAttribute(control, "aria-invalid", text ? "true" : null);
      if (text) first ??= control;
    }
    first?.focus();
    return first !== null;
  }

  focusFirst() {
    const [first] = this.#fields.values();
    first?.control.focus();
  }

  /**
   * @param {Param} param
   * @param {Record<string, any>} last
   */
  #field(param, last) {
    const id = freshId("param");
    const control = this.#control(param, initial(param, last));
    const problem = h("p", { class: "problem", id: `${id}-problem` });
    control.id = id;
    control.setAttribute("aria-describedby", `${id}-hint ${id}-problem`);
    if (param.required && param.type !== "boolean") control.setAttribute("aria-required", "true");
    this.#fields.set(param.name, { control, problem });
    const needed = param.required && param.type !== "boolean" ? h("span", { class: "needed" }, " needed") : null;
    const label =
      control instanceof HTMLInputElement && control.type === "checkbox"
        ? h("label", { class: "check" }, control, param.name)
        : h("label", { htmlFor: id }, param.name, needed);
    return h(
      "div",
      { class: "field" },
      label,
      label.contains(control) ? null : control,
      h("p", { class: "hint", id: `${id}-hint`, hidden: !hint(param) }, hint(param)),
      problem,
    );
  }

  /**
   * @param {Param} param
   * @param {string | boolean} value
   * @returns {Control}
   */
  #control(param, value) {
    const { type, choices, secret, required } = param;
    if (choices.length > 0) {
      const select = h("select");
      if (value === "") select.append(h("option", { value: "" }, required ? "Choose…" : "—"));
      for (const choice of choices) select.append(h("option", { value: String(choice) }, String(choice)));
      select.value = String(value);
      return select;
    }
    if (type === "boolean") return h("input", { type: "checkbox", checked: value === true });
    if (type === "text" && !secret) return h("textarea", { value: String(value), rows: 4, spellcheck: false });
    const kind = secret ? "password" : type === "integer" || type === "number" ? "number" : "text";
    return h("input", {
      type: kind,
      value: String(value),
      autocomplete: secret ? "new-password" : "off",
      spellcheck: false,
      ...(type === "number" ? { step: "any" } : {}),
    });
  }
}

/** @param {Param} param */
const hint = ({ description, secret }) =>
  [description, secret && "Not shown to anybody, and not kept after the run."].filter(Boolean).join("\n");
