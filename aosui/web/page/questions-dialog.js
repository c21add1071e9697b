/** All open questions of all projects, to be answered in one place. */

import { openDialog } from "./dialog.js";
import { h, reconcile } from "./dom.js";
import { QuestionForm } from "./question-form.js";

/** @typedef {import("../aosui-client.js").Question} Question */
/** @typedef {import("../aosui-client.js").Run} Run */
/** @typedef {import("./project.js").Project} Project */
/** @typedef {import("./workspace.js").Workspace} Workspace */

/** @typedef {{project: Project, run: Run, question: Question}} Asked */

/** @param {Workspace} workspace */
export function openQuestionsDialog(workspace) {
  /** @type {Map<string, Asked>} what was open while the dialog was */
  const asked = new Map();
  const list = h("div", { class: "fields" });
  const none = h("p", { class: "muted" }, "Nothing waits for you.");

  const draw = () => {
    const open = new Set();
    for (const each of workspace.questions) {
      const key = `${each.project.id} ${each.question.questionId}`;
      open.add(key);
      asked.set(key, each);
    }
    none.hidden = asked.size > 0;
    reconcile(
      list,
      [...asked],
      ([key]) => key,
      ([, { project, run, question }]) => new QuestionForm(project, run, question, true),
      (/** @type {QuestionForm} */ form, [key, { project, run }]) => {
        if (open.has(key) || form.classList.contains("closed") || !project.known) return;
        const now = project.run(run.runId);
        form.close({ outcome: now && now.endedAt === null ? "answered" : "cancelled", answers: null, by: null });
      },
    );
  };
  const ends = [
    workspace.on("change", draw),
    workspace.on("closed", ({ project, event }) => {
      for (const form of /** @type {Iterable<QuestionForm>} */ (list.children)) {
        if (form.project === project && form.question.questionId === event.questionId && !form.answered) form.close(event);
      }
    }),
  ];
  const dialog = openDialog("Questions", list, none);
  list.addEventListener("click", (event) => {
    if (event.target instanceof HTMLAnchorElement) dialog.close();
  });
  dialog.addEventListener("close", () => ends.forEach((end) => end()));
  draw();
  const [first] = /** @type {Iterable<QuestionForm>} */ (list.children);
  first?.focusFirst();
}
