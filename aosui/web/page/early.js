// A classic script, and before the first paint: a dark page must not flash white.
(() => {
  try {
    const theme = JSON.parse(localStorage.getItem("aosui:theme") ?? "null");
    if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
  } catch {
    // Nothing is remembered then.
  }
})();
