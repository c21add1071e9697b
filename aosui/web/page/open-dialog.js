/** Opens a project: one the server has, one of before, or any directory. */

import { openDialog } from "./dialog.js";
import { freshId, h, reconcile, setText } from "./dom.js";

/** @typedef {import("../aosui-client.js").AosuiError} AosuiError */
/** @typedef {import("./workspace.js").Workspace} Workspace */

/** @typedef {{key: string, name: string, root: string, word: string, open: () => void | Promise<void>}} Choice */

/**
 * What to tell somebody whose directory was not opened.
 *
 * @param {AosuiError} error
 * @param {string} root
 * @returns {{text: string, command: string}}
 */
export function refusal(error, root) {
  switch (error.code) {
    case "notFound":
      return { text: `There is no directory ${root} on the machine where aosui runs.`, command: "" };
    case "outsideRoot":
      return {
        text: `${root} is outside the directories that this page may open. Allow it when the server starts, or open it there:`,
        command: `aosui serve --root ${quoted(root)}`,
      };
    case "forbidden":
      return { text: "You may not open projects here.", command: "" };
    default:
      return { text: `Not opened: ${error.message}.`, command: "" };
  }
}

/** @param {string} root */
const quoted = (root) => (/^[\w./~-]+$/.test(root) ? root : `'${root.replaceAll("'", `'\\''`)}'`);

/** @param {Workspace} workspace */
export function openProjectDialog(workspace) {
  const id = freshId("open");
  const input = h("input", { id, autocomplete: "off", spellcheck: false, placeholder: "/home/me/work/site, or part of a name" });
  const problem = h("p", { class: "problem", role: "alert" });
  const command = h("code", { class: "command", hidden: true });
  const list = h("ul", { class: "choices-list" });
  const heading = h("h3", null, "Recent");
  const submit = h("button", { class: "primary", type: "submit" }, "Open");

  /** @returns {Choice[]} */
  const choices = () => {
    const here = workspace.projects.map((project) => ({ key: project.id, name: project.name, root: project.root, word: "in a tab", open: () => workspace.go(workspace.placeOf(project)) }));
    const others = workspace.others.map((info) => ({ key: info.projectId, name: info.name, root: info.root, word: info.activity.active > 0 ? "running" : "", open: () => workspace.open(info) }));
    const recent = workspace.recent.map(({ projectId, name, root }) => ({ key: `recent ${projectId}`, name, root, word: "", open: () => workspace.openRoot(root) }));
    const query = input.value.trim().toLowerCase();
    return [...others, ...recent, ...here].filter(({ name, root }) => `${name} ${root}`.toLowerCase().includes(query));
  };
  const draw = () => {
    const found = choices();
    heading.hidden = found.length === 0;
    reconcile(
      list,
      found,
      ({ key }) => key,
      (choice) =>
        h(
          "li",
          null,
          h(
            "button",
            { class: "plain", type: "button", title: choice.root, on: { click: () => void act(choice.root, choice.open) } },
            h("span", { class: "name" }, choice.name),
            h("span", { class: "root" }, h("bdi", null, choice.root)),
            h("span", { class: "word" }, choice.word),
          ),
        ),
    );
  };
  /**
   * @param {string} root
   * @param {() => void | Promise<void>} open
   */
  const act = async (root, open) => {
    submit.disabled = true;
    setText(problem, "");
    command.hidden = true;
    try {
      await open();
      dialog.close();
    } catch (error) {
      const refused = refusal(/** @type {AosuiError} */ (error), root);
      setText(problem, refused.text);
      setText(command, refused.command);
      command.hidden = refused.command === "";
    } finally {
      submit.disabled = false;
    }
  };
  const form = h(
    "form",
    {
      class: "fields",
      on: {
        submit: (/** @type {Event} */ event) => {
          event.preventDefault();
          const typed = input.value.trim();
          const found = choices();
          const exact = found.find(({ root, name }) => root === typed.replace(/(.)\/+$/, "$1") || name === typed);
          if (exact) void act(exact.root, exact.open);
          else if (/^[/~]|^[A-Za-z]:\\/.test(typed)) void act(typed, () => workspace.openRoot(typed));
          else if (found.length === 1 && typed !== "") void act(found[0].root, found[0].open);
          else setText(problem, typed === "" ? "Type the path of a directory, or choose one below." : "Type the whole path of the directory: it begins with /.");
        },
      },
    },
    h("div", { class: "field" }, h("label", { htmlFor: id }, "Directory on the server's machine"), h("div", { class: "other-row" }, input, submit)),
    problem,
    command,
  );
  input.addEventListener("input", draw);
  const end = workspace.on("change", draw);
  const dialog = openDialog("Open a project", form, heading, list);
  dialog.addEventListener("close", end);
  draw();
  input.focus();
}
