/** Single keys for those who know them. */

import { openHelpDialog } from "./help.js";
import { openProjectDialog } from "./open-dialog.js";
import { openQuestionsDialog } from "./questions-dialog.js";
import { OVERVIEW } from "./route.js";

/** @typedef {import("./project-view.js").ProjectView} ProjectView */
/** @typedef {import("./workspace.js").Workspace} Workspace */

/**
 * Whether somebody types, or uses the keys for something else.
 *
 * @param {KeyboardEvent} event
 */
function elsewhere(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || event.defaultPrevented) return true;
  const target = event.target;
  if (!(target instanceof HTMLElement)) return false;
  if (target.isContentEditable || target.closest("dialog")) return true;
  if (target instanceof HTMLInputElement) return !["checkbox", "radio", "button"].includes(target.type);
  return target instanceof HTMLTextAreaElement || target instanceof HTMLSelectElement;
}

/**
 * @param {Workspace} workspace
 * @param {() => ProjectView | null} view what is shown of a project
 */
export function listenToKeys(workspace, view) {
  /** @param {number} by */
  const moveTab = (by) => {
    const { projects, active } = workspace;
    if (projects.length === 0) return;
    const at = active ? projects.indexOf(active) : by > 0 ? -1 : 0;
    workspace.go(workspace.placeOf(projects[(at + by + projects.length) % projects.length]));
  };
  /** @param {number} by */
  const moveRun = (by) => {
    const shown = view()?.runView;
    const project = workspace.active;
    if (!project) return;
    const { runs } = project;
    const at = runs.findIndex(({ runId }) => runId === shown?.runId);
    const run = runs[Math.min(runs.length - 1, Math.max(0, at + by))];
    if (run) workspace.go({ view: "run", projectId: project.id, runId: run.runId, workflow: "" });
  };
  /** @type {Record<string, () => void>} */
  const actions = {
    "?": () => openHelpDialog(workspace.memory),
    a: () => workspace.go(OVERVIEW),
    o: () => openProjectDialog(workspace),
    q: () => openQuestionsDialog(workspace),
    "[": () => moveTab(-1),
    "]": () => moveTab(1),
    j: () => moveRun(1),
    k: () => moveRun(-1),
    s: () => {
      const project = workspace.active;
      if (project) workspace.go({ view: "start", projectId: project.id, runId: "", workflow: "" });
      view()?.start.focusFirst();
    },
    c: () => view()?.runView?.askCancel(),
    e: () => view()?.runView?.output.follow(),
    w: () => view()?.runView?.output.toggleWrap(),
    "/": () => {
      const shown = view();
      if (shown?.runView) shown.runView.output.search();
      else shown?.start.focusFirst();
    },
  };
  document.addEventListener("keydown", (event) => {
    if (elsewhere(event) || !(workspace.memory.get("keys", true) || event.key === "?")) return;
    const tab = /^[1-9]$/.test(event.key) ? workspace.projects[Number(event.key) - 1] : undefined;
    if (tab) {
      workspace.go(workspace.placeOf(tab));
    } else if (Object.hasOwn(actions, event.key)) {
      actions[event.key]();
    } else {
      return;
    }
    event.preventDefault();
  });
}
