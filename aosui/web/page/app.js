/** Puts the page together. */

import { AosuiApi, ProjectSockets } from "../aosui-client.js";
import { Attention } from "./attention.js";
import { Banners } from "./banners.js";
import { h, setAttribute } from "./dom.js";
import { icon } from "./icons.js";
import { listenToKeys } from "./keys.js";
import { openProjectDialog } from "./open-dialog.js";
import { Overview } from "./overview.js";
import { ProjectView } from "./project-view.js";
import { format, parse } from "./route.js";
import { openSignInDialog, takeToken } from "./sign-in.js";
import { Memory } from "./storage.js";
import { Tabs } from "./tabs.js";
import { Toasts } from "./toasts.js";
import { Tools } from "./tools.js";
import { Workspace } from "./workspace.js";

/** @typedef {import("./project.js").Project} Project */
/** @typedef {import("./route.js").Route} Route */

const main = /** @type {HTMLElement} */ (document.getElementById("main"));
const bar = /** @type {HTMLElement} */ (document.querySelector(".bar"));

const api = new AosuiApi();
const sockets = new ProjectSockets({ api });
const workspace = new Workspace({ sockets, memory: new Memory(api.base.pathname) });
const attention = new Attention(workspace);

/** @type {Map<Project, ProjectView>} */
const views = new Map();
const overview = new Overview(workspace, () => openProjectDialog(workspace));
const toasts = new Toasts();
const brand = h(
  "a",
  { class: "brand", href: "#/", title: "All projects (a)" },
  h("img", { src: "icon.svg", alt: "", width: 22, height: 22 }),
  h("span", { class: "words" }, "aosui"),
  h("span", { class: "visually-hidden" }, " All projects"),
);

function signIn(reason = "Your session has ended: the server was started with another token, or its cookie was removed.") {
  openSignInDialog(api, reason, signedIn);
}

/** @param {Route} route */
function show(route) {
  const { active } = workspace;
  overview.hidden = active !== undefined;
  setAttribute(brand, "aria-current", active ? null : "page");
  for (const [project, view] of views) {
    if (workspace.get(project.id) === project) continue;
    view.remove();
    views.delete(project);
  }
  for (const project of workspace.projects) {
    if (views.has(project)) continue;
    const view = new ProjectView(workspace, project, () => signIn());
    view.hidden = true;
    views.set(project, view);
    main.append(view);
  }
  for (const [project, view] of views) view.hidden = project !== active;
  if (active) views.get(active)?.show(route);
  else overview.draw();
  const place = format(route);
  if (location.hash !== place) history.pushState(null, "", place);
}

function look() {
  if (document.visibilityState === "visible" && document.hasFocus()) workspace.look();
}

/**
 * Sign in with a token in the address; before anything else, since an address is seen, copied and
 * kept in the history.
 *
 * @returns {Promise<string>} the fragment without it
 */
async function signInFromAddress() {
  const { token, hash } = takeToken(location.hash);
  if (token === null) return hash;
  history.replaceState(null, "", `${location.pathname}${location.search}${hash}`);
  try {
    await api.signIn(token);
  } catch (error) {
    const { code, message } = /** @type {import("../aosui-client.js").AosuiError} */ (error);
    if (code === "unauthorized") signIn("The token in the address is not this server's.");
    else workspace.say(`Not signed in: ${message}.`, "bad");
  }
  return hash;
}

function signedIn() {
  for (const { socket } of workspace.projects) if (socket.state.name === "signedOut") socket.connect();
  void sockets.poll();
}

bar.append(
  brand,
  new Tabs(workspace),
  h("button", { class: "icon plain add", type: "button", "aria-label": "Open a project", title: "Open a project (o)", on: { click: () => openProjectDialog(workspace) } }, icon("add")),
  new Tools(workspace, attention),
);
document.querySelector(".banners")?.replaceWith(new Banners(workspace, () => signIn()));
main.replaceChildren(overview);
document.body.append(toasts);

workspace.on("route", show);
workspace.on("change", () => {
  const known = new Set(workspace.projects);
  if (views.size !== known.size || [...views.keys()].some((project) => !known.has(project))) show(workspace.route);
});
workspace.on("run", look);
workspace.on("say", ({ text, tone }) => toasts.say(text, tone));
sockets.on("state", ({ name }) => {
  if (name === "signedOut" && workspace.projects.every((project) => !project.known)) {
    signIn("This server wants to know that you are you.");
  }
});
listenToKeys(workspace, () => (workspace.active && views.get(workspace.active)) ?? null);
document.querySelector(".skip")?.addEventListener("click", (event) => {
  event.preventDefault();
  main.focus();
});
window.addEventListener("hashchange", async () => {
  const came = takeToken(location.hash).token !== null;
  const route = parse(await signInFromAddress());
  if (came) signedIn();
  workspace.go(route ?? workspace.route);
});
for (const event of ["focus", "pointerdown", "pointermove", "keydown"]) window.addEventListener(event, look, { passive: true });
document.addEventListener("visibilitychange", look);
workspace.on("route", look);

workspace.begin(await signInFromAddress());
