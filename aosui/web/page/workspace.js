/** Everything that is open in this page: the projects, their order, and which one is looked at. */

import { Emitter } from "../aosui-client.js";
import { Project } from "./project.js";
import { OVERVIEW, format, parse } from "./route.js";

/** @typedef {import("../aosui-client.js").Position} Position */
/** @typedef {import("../aosui-client.js").ProjectInfo} ProjectInfo */
/** @typedef {import("../aosui-client.js").ProjectSockets} ProjectSockets */
/** @typedef {import("../aosui-client.js").QuestionClosed} QuestionClosed */
/** @typedef {import("../aosui-client.js").Run} Run */
/** @typedef {import("./route.js").Route} Route */
/** @typedef {import("./storage.js").Memory} Memory */

/** @typedef {{projectId: string, name: string, root: string}} Recent */
/** @typedef {Recent & {seenAt: string, place: string}} SavedTab */

/** What a page that has never been here opens by itself, at most. */
const FIRST_TABS = 12;
const RECENT = 20;

/**
 * - `change`: something is to be drawn anew.
 * - `route`: another place is shown.
 * - `run`: a run of an open project changed its state.
 * - `closed`: a question of an open project was closed.
 * - `say`: a word for the user.
 *
 * @typedef {object} WorkspaceEvents
 * @property {null} change
 * @property {Route} route
 * @property {{project: Project, run: Run, before: Run | null, history: boolean}} run
 * @property {{project: Project, event: QuestionClosed}} closed
 * @property {{text: string, tone?: "info" | "bad"}} say
 */

/** @extends {Emitter<WorkspaceEvents>} */
export class Workspace extends Emitter {
  /** @type {Map<string, Project>} in the order of their tabs */ #projects = new Map();
  /** @type {Map<string, (() => void)[]>} */ #listening = new Map();
  /** @type {Route} */ #route = OVERVIEW;
  #begun = false;

  /**
   * @param {object} options
   * @param {ProjectSockets} options.sockets
   * @param {Memory} options.memory
   */
  constructor({ sockets, memory }) {
    super();
    this.sockets = sockets;
    this.api = sockets.api;
    this.memory = memory;
    sockets.on("projects", () => this.#listed());
    sockets.on("state", (state) => {
      for (const project of this.projects) project.reach(state);
      this.emit("change", null);
    });
  }

  /** The open projects in the order of their tabs. @returns {Project[]} */
  get projects() {
    return [...this.#projects.values()];
  }

  /** @param {string} projectId */
  get(projectId) {
    return this.#projects.get(projectId);
  }

  get route() {
    return this.#route;
  }

  /** The project that is looked at; undefined in the overview. */
  get active() {
    return this.#projects.get(this.#route.projectId);
  }

  /** All open questions, oldest first. */
  get questions() {
    return this.projects
      .flatMap((project) => project.glance.questions.map((each) => ({ project, ...each })))
      .sort((a, b) => (a.question.askedAt < b.question.askedAt ? -1 : 1));
  }

  /** The server's projects that have no tab here. @returns {ProjectInfo[]} */
  get others() {
    return this.sockets.projects.filter(({ projectId }) => !this.#projects.has(projectId));
  }

  /** What was open here once and is not open on the server. @returns {Recent[]} */
  get recent() {
    const open = new Set(this.sockets.projects.map(({ root }) => root));
    return this.memory.get("recent", /** @type {Recent[]} */ ([])).filter(({ root }) => !open.has(root));
  }

  /**
   * Take up what was open before a reload, and go where the address says.
   *
   * @param {string} hash
   */
  begin(hash) {
    const saved = this.memory.get("tabs", /** @type {SavedTab[] | null} */ (null));
    for (const tab of saved ?? []) {
      const project = this.#add(this.sockets.restore(tab.projectId), tab);
      project.place = tab.place;
    }
    this.#begun = saved !== null;
    this.sockets.start();
    const route = parse(hash) ?? parse(this.memory.get("place", "")) ?? OVERVIEW;
    this.go(route);
  }

  /**
   * Show another place; a project that has no tab gets one.
   *
   * @param {Route} route
   */
  go(route) {
    if (route.projectId && !this.#projects.has(route.projectId)) {
      this.#add(this.sockets.open(route.projectId));
      this.#begun = true;
    }
    const left = this.active;
    this.#route = route;
    const place = format(route);
    if (this.active) this.active.place = place;
    if (left?.gone && left !== this.active) this.#drop(left);
    this.memory.set("place", place);
    this.save();
    this.emit("route", route);
    this.emit("change", null);
  }

  /**
   * Open a project, as the user's act.
   *
   * @param {ProjectInfo} info
   * @param {Position} [position]
   */
  open(info, position) {
    const known = this.#projects.get(info.projectId);
    if (known) {
      if (known.gone) known.socket.connect();
    } else {
      this.#add(this.sockets.open(info.projectId, position)).describe(info);
      this.#begun = true;
    }
    void this.sockets.poll();
    this.go({ view: "project", projectId: info.projectId, runId: "", workflow: "" });
  }

  /**
   * Open the project of a directory.
   *
   * @param {string} root
   */
  async openRoot(root) {
    this.open(await this.api.openProject(root));
  }

  /** @param {Project} project */
  close(project) {
    const order = this.projects;
    const at = order.indexOf(project);
    if (at < 0) return;
    const next = order[at + 1] ?? order[at - 1];
    const looked = this.active === project;
    this.#drop(project);
    if (looked) this.go(next ? this.placeOf(next) : OVERVIEW);
  }

  /** Where a click on a project's tab leads: to where the user left it. @param {Project} project */
  placeOf(project) {
    return parse(project.place) ?? { ...OVERVIEW, view: /** @type {const} */ ("project"), projectId: project.id };
  }

  /** The user looks at the active project. */
  look() {
    if (this.active?.see()) this.save();
  }

  /** Remember the tabs. */
  save() {
    this.memory.set(
      "tabs",
      this.projects
        .filter((project) => !project.gone)
        .map(({ id, name, root, seenAt, place }) => ({ projectId: id, name, root, seenAt, place })),
    );
  }

  /** @param {string} text @param {"info" | "bad"} [tone] */
  say(text, tone = "info") {
    this.emit("say", { text, tone });
  }

  /**
   * @param {import("../aosui-client.js").ProjectSocket} socket
   * @param {Partial<SavedTab>} [saved]
   */
  #add(socket, { name, root, seenAt } = {}) {
    const project = new Project({ socket, name, root, seenAt });
    this.#projects.set(project.id, project);
    this.#listening.set(project.id, [
      project.on("change", () => this.#changed(project)),
      project.on("run", (detail) => this.emit("run", { project, ...detail })),
      project.on("closed", (event) => this.emit("closed", { project, event })),
    ]);
    const info = this.sockets.projects.find(({ projectId }) => projectId === project.id);
    if (info) this.#describe(project, info);
    project.reach(this.sockets.state);
    this.save();
    this.emit("change", null);
    return project;
  }

  /** @param {Project} project */
  #drop(project) {
    for (const end of this.#listening.get(project.id) ?? []) end();
    this.#listening.delete(project.id);
    this.#projects.delete(project.id);
    project.release();
    this.sockets.close(project.id);
    this.save();
    this.emit("change", null);
  }

  /** @param {Project} project */
  #changed(project) {
    if (project.gone && project !== this.active && this.#projects.has(project.id)) {
      this.say(`${project.name} is no longer open on the server: its tab was closed.`);
      this.#drop(project);
      return;
    }
    this.emit("change", null);
  }

  /** @param {Project} project @param {ProjectInfo} info */
  #describe(project, info) {
    project.describe(info);
    const { projectId, name, root } = info;
    const recent = this.memory.get("recent", /** @type {Recent[]} */ ([]));
    if (recent.some((other) => other.projectId === projectId && other.name === name)) return;
    this.memory.set(
      "recent",
      [{ projectId, name, root }, ...recent.filter((other) => other.projectId !== projectId)].slice(0, RECENT),
    );
  }

  #listed() {
    for (const info of this.sockets.projects) {
      const project = this.#projects.get(info.projectId);
      if (project) this.#describe(project, info);
    }
    if (!this.#begun) {
      // A first visit: what the server was started with is what the user came for.
      this.#begun = true;
      for (const info of this.sockets.projects.slice(0, FIRST_TABS)) {
        if (!this.#projects.has(info.projectId)) {
          this.#add(this.sockets.restore(info.projectId), info).describe(info);
        }
      }
      const [only] = this.projects;
      if (this.projects.length === 1 && this.#route.view === "overview") {
        this.go(this.placeOf(only));
      }
    }
    this.emit("change", null);
  }
}
