/** Asks for the secrets of a run that is to be retried: they are not kept after a run. */

import { openDialog } from "./dialog.js";
import { h } from "./dom.js";
import { ParamFields } from "./param-fields.js";

/** @typedef {import("../aosui-client.js").Run} Run */
/** @typedef {import("./project.js").Project} Project */

/**
 * @param {Project} project
 * @param {Run} run
 * @param {string[]} names
 * @returns {Promise<Record<string, any> | null>} null: not now
 */
export async function askSecrets(project, run, names) {
  const listed = await project.api.workflows(project.id).catch(() => ({ workflows: [] }));
  const known = listed.workflows.find(({ workflow }) => workflow === run.workflow)?.params ?? [];
  const params = names.map(
    (name) =>
      known.find((param) => param.name === name) ??
      { name, type: /** @type {const} */ ("string"), required: true, default: null, choices: [], description: "", secret: true },
  );
  const fields = new ParamFields(params, {});
  return new Promise((resolve) => {
    /** @type {Record<string, any> | null} */
    let given = null;
    const form = h(
      "form",
      {
        class: "fields",
        noValidate: true,
        on: {
          submit: (/** @type {Event} */ event) => {
            event.preventDefault();
            given = fields.read();
            if (given) dialog.close();
          },
        },
      },
      h("p", { class: "muted" }, "Secrets are not kept after a run: they have to be given again."),
      fields.element,
      h("div", { class: "form-actions" }, h("button", { class: "primary", type: "submit" }, "Retry")),
    );
    const dialog = openDialog(`Retry ${run.title || run.workflow}`, form);
    dialog.addEventListener("close", () => resolve(given));
    fields.focusFirst();
  });
}
