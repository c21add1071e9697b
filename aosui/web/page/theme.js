/** Light, dark, or as the system is. `early.js` applies what was chosen before the first paint. */

/** @typedef {"system" | "light" | "dark"} Theme */

const ORDER = /** @type {const} */ (["system", "light", "dark"]);

/** @returns {Theme} */
export function theme() {
  const { theme: chosen } = document.documentElement.dataset;
  return chosen === "light" || chosen === "dark" ? chosen : "system";
}

/** Go on to the next theme, and remember it in this browser. */
export function nextTheme() {
  const next = ORDER[(ORDER.indexOf(theme()) + 1) % ORDER.length];
  if (next === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = next;
  try {
    localStorage.setItem("aosui:theme", JSON.stringify(next));
  } catch {
    // Forbidden or full: for this page only, then.
  }
}
