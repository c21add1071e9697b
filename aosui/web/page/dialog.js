/** Modal dialogs: one way to build and to end them. */

import { freshId, h } from "./dom.js";
import { icon } from "./icons.js";

/**
 * Show a dialog; it is gone from the page when it closes.
 *
 * @param {string} title
 * @param {...import("./dom.js").Child} body
 * @returns {HTMLDialogElement}
 */
export function openDialog(title, ...body) {
  const id = freshId("dialog");
  const dialog = h("dialog", { "aria-labelledby": id });
  dialog.append(
    h(
      "div",
      { class: "dialog-head" },
      h("h2", { id }, title),
      h("button", { class: "icon plain", type: "button", "aria-label": "Close", on: { click: () => dialog.close() } }, icon("close")),
    ),
    h("div", { class: "dialog-body" }, ...body),
  );
  const before = document.activeElement;
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog) dialog.close();
  });
  dialog.addEventListener("close", () => {
    dialog.remove();
    if (before instanceof HTMLElement && before.isConnected) before.focus();
  });
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}
