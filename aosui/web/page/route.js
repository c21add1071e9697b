/** Where in the page one is, as the fragment of its address says: `#/p/PROJECT/r/RUN`. */

/**
 * - `overview`: all projects, `#/`
 * - `project`: a project's newest run, or its start form, `#/p/PROJECT`
 * - `run`: `#/p/PROJECT/r/RUN`
 * - `start`: `#/p/PROJECT/start` or `#/p/PROJECT/start/WORKFLOW`
 *
 * @typedef {object} Route
 * @property {"overview" | "project" | "run" | "start"} view
 * @property {string} projectId empty in the overview
 * @property {string} runId
 * @property {string} workflow
 */

/** @param {Partial<Route> & {view: Route["view"]}} route @returns {Route} */
const full = (route) => ({ projectId: "", runId: "", workflow: "", ...route });

/** @type {Route} */
export const OVERVIEW = Object.freeze(full({ view: "overview" }));

/**
 * @param {string} hash
 * @returns {Route | null} null when it says nothing that is a place here
 */
export function parse(hash) {
  const path = hash.replace(/^#\/?/, "");
  if (path === "") return hash === "" ? null : OVERVIEW;
  let parts;
  try {
    parts = path.split("/").map(decodeURIComponent);
  } catch {
    return null;
  }
  const [p, projectId, kind, name] = parts;
  if (p !== "p" || !projectId) return null;
  if (parts.length === 2) return full({ view: "project", projectId });
  if (kind === "r" && name && parts.length === 4) return full({ view: "run", projectId, runId: name });
  if (kind === "start" && parts.length <= 4) {
    return full({ view: "start", projectId, workflow: name ?? "" });
  }
  return null;
}

/** @param {Partial<Route> & {view: Route["view"]}} route */
export function format({ view, projectId = "", runId = "", workflow = "" }) {
  if (view === "overview") return "#/";
  const project = `#/p/${encodeURIComponent(projectId)}`;
  if (view === "run") return `${project}/r/${encodeURIComponent(runId)}`;
  if (view === "start") return `${project}/start${workflow && `/${encodeURIComponent(workflow)}`}`;
  return project;
}

/** @param {string} projectId @param {string} runId */
export const runHref = (projectId, runId) => format({ view: "run", projectId, runId });
