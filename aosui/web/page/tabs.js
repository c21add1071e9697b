/** `<aosui-tabs>`: one tab a project. */

import { h, reconcile, setAttribute, setText } from "./dom.js";
import { icon, showIcon } from "./icons.js";
import { View } from "./view.js";

/** @typedef {import("./project.js").Project} Project */
/** @typedef {import("./workspace.js").Workspace} Workspace */

/** @param {Project} project */
export const tabId = (project) => `tab-${project.id}`;
/** @param {Project} project */
export const panelId = (project) => `panel-${project.id}`;

/**
 * A long name in two parts: the first gives way, so that the end, which tells names apart, stays.
 *
 * @param {string} name
 */
const ends = (name) =>
  name.length <= 12 ? [name] : [h("span", { class: "head" }, name.slice(0, -4)), h("span", null, name.slice(-4))];

export class Tabs extends View {
  /** @param {Workspace} workspace */
  constructor(workspace) {
    super();
    this.workspace = workspace;
    this.list = h("div", { class: "tabs", role: "tablist", "aria-label": "Open projects" });
    this.shown = "";
  }

  build() {
    this.append(this.list);
    this.list.addEventListener("keydown", (event) => this.#key(event));
    this.list.addEventListener("wheel", (event) => (this.list.scrollLeft += event.deltaY), { passive: true });
  }

  listen() {
    this.until(this.workspace.on("change", this.redraw));
  }

  draw() {
    const { projects, active } = this.workspace;
    this.list.hidden = projects.length === 0;
    reconcile(
      this.list,
      projects,
      ({ id }) => id,
      (project) => this.#slot(project),
      (slot, project) => this.#show(slot, project, project === active),
    );
    const selected = active ?? projects[0];
    for (const project of projects) {
      this.#tab(project)?.setAttribute("tabindex", project === selected ? "0" : "-1");
    }
    if (active && active.id !== this.shown) {
      this.#tab(active)?.parentElement?.scrollIntoView({ block: "nearest", inline: "nearest" });
    }
    this.shown = active?.id ?? "";
  }

  /** Put the focus on the tab that is selected. */
  focusTab() {
    const { active, projects } = this.workspace;
    const project = active ?? projects[0];
    if (project) this.#tab(project)?.focus();
  }

  /** @param {Project} project */
  #tab(project) {
    return document.getElementById(tabId(project));
  }

  /**
   * The cross is for pointers: inside of a tab there is nothing for a screen reader; keys close a
   * tab with Delete, and the project itself has a button.
   *
   * @param {Project} project
   */
  #slot(project) {
    const tab = h(
      "div",
      {
        class: "tab",
        role: "tab",
        id: tabId(project),
        "aria-controls": panelId(project),
        "aria-keyshortcuts": "Delete",
        on: { click: () => this.workspace.go(this.workspace.placeOf(project)) },
      },
      h("span", { class: "icon-place" }),
      h("span", { class: "name" }),
      h("span", { class: "word" }),
      h("span", { class: "unread" }),
    );
    const close = h(
      "button",
      {
        class: "tab-close",
        type: "button",
        tabIndex: -1,
        "aria-hidden": "true",
        title: "Close this tab; what runs goes on",
        on: { click: () => this.workspace.close(project) },
      },
      icon("close"),
    );
    const slot = h("div", { class: "tab-slot", role: "presentation" }, tab, close);
    slot.addEventListener("auxclick", (event) => {
      if (event.button === 1) this.workspace.close(project);
    });
    return slot;
  }

  /**
   * @param {HTMLElement} slot
   * @param {Project} project
   * @param {boolean} active
   */
  #show(slot, project, active) {
    const { state, word, unread } = project.glance;
    const tab = /** @type {HTMLElement} */ (slot.firstElementChild);
    const [place, name, label, count] = /** @type {Iterable<HTMLElement>} */ (tab.children);
    const stale = !project.fresh && project.state.name !== "connecting";
    tab.className = `tab ${state}${stale ? " stale" : ""}`;
    setAttribute(tab, "aria-selected", String(active));
    tab.title = project.root ? `${project.name}\n${project.root}` : project.name;
    showIcon(place, state);
    place.className = `icon-place state-${state}`;
    if (name.textContent !== project.name) name.replaceChildren(...ends(project.name));
    const short = { offline: "offline", reconnecting: "reconnecting", signedOut: "signed out", closed: "closed", replaced: "replaced" };
    const said = /** @type {Record<string, string>} */ (short)[project.state.name] ?? word;
    setText(label, said);
    label.className = `word state-${state}`;
    count.hidden = unread === 0;
    count.className = `unread ${state === "waiting" || state === "failed" ? state : ""}`;
    if (count.dataset.count !== String(unread)) {
      count.dataset.count = String(unread);
      count.replaceChildren(
        unread > 99 ? "99+" : String(unread),
        h("span", { class: "visually-hidden" }, " not looked at"),
      );
    }
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    const { projects } = this.workspace;
    const at = projects.findIndex((project) => tabId(project) === /** @type {Element} */ (event.target).id);
    if (at < 0 || event.ctrlKey || event.metaKey || event.altKey) return;
    const last = projects.length - 1;
    /** @type {Record<string, number>} */
    const moves = {
      ArrowRight: at === last ? 0 : at + 1,
      ArrowLeft: at === 0 ? last : at - 1,
      Home: 0,
      End: last,
    };
    if (event.key in moves) {
      const project = projects[moves[event.key]];
      this.workspace.go(this.workspace.placeOf(project));
      this.#tab(project)?.focus();
    } else if (event.key === "Delete") {
      this.workspace.close(projects[at]);
      requestAnimationFrame(() => this.focusTab());
    } else if (event.key === "Enter" || event.key === " ") {
      this.workspace.go(this.workspace.placeOf(projects[at]));
    } else {
      return;
    }
    event.preventDefault();
    event.stopPropagation();
  }
}

customElements.define("aosui-tabs", Tabs);
