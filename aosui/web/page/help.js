/** The keys of the page, and how to switch them off. */

import { openDialog } from "./dialog.js";
import { h } from "./dom.js";

/** @typedef {import("./storage.js").Memory} Memory */

/** @type {[string[], string][]} */
export const KEYS = [
  [["?"], "This help"],
  [["a"], "All projects"],
  [["o"], "Open a project"],
  [["q"], "Answer open questions"],
  [["1", "…", "9"], "Go to that tab"],
  [["[", "]"], "Previous, next tab"],
  [["Del"], "Close the tab that has the focus"],
  [["s"], "Start a workflow"],
  [["j", "k"], "Next older, next newer run"],
  [["c"], "Cancel the run (asks first)"],
  [["/"], "Find in the output, or among the workflows"],
  [["e"], "To the end of the output, and follow it"],
  [["w"], "Break long lines of output, or not"],
  [["Esc"], "Close a dialog"],
];

/** @param {Memory} memory */
export function openHelpDialog(memory) {
  const box = h("input", {
    type: "checkbox",
    checked: memory.get("keys", true),
    on: { change: () => memory.set("keys", box.checked) },
  });
  openDialog(
    "Keys",
    h(
      "dl",
      { class: "keys" },
      ...KEYS.flatMap(([keys, what]) => [
        h("dt", null, ...keys.flatMap((key, i) => [i > 0 ? " " : "", key === "…" ? key : h("kbd", null, key)])),
        h("dd", null, what),
      ]),
    ),
    h("label", { class: "check" }, box, "Single keys do this (the tabs' arrow keys always work)"),
  );
}
