/** Icons: 16 x 16, drawn in the colour of the text around them. */

const SVG = "http://www.w3.org/2000/svg";

/** @type {Record<string, string>} */
const PATHS = {
  idle: "M8 2.5a5.5 5.5 0 1 0 0 11a5.5 5.5 0 1 0 0-11z",
  queued: "M8 2.5a5.5 5.5 0 1 0 0 11a5.5 5.5 0 1 0 0-11zM8 5v3.2l2 1.4",
  running: "M8 2.2a5.8 5.8 0 1 1-5.8 5.8",
  cancelling: "M8 2.2a5.8 5.8 0 1 1-5.8 5.8",
  waiting: "M2.2 3.2h11.6v7.6H8.6L5.4 13.6v-2.8H2.2zM8 5v2.4M8 8.9v.1",
  done: "M3 8.4l3.4 3.4L13 4.8",
  succeeded: "M3 8.4l3.4 3.4L13 4.8",
  failed: "M5.2 2h5.6L14 5.2v5.6L10.8 14H5.2L2 10.8V5.2zM6 6l4 4M10 6l-4 4",
  interrupted: "M9 1.8L4 9h4l-1 5.2L12 7H8z",
  cancelled: "M8 2.5a5.5 5.5 0 1 0 0 11a5.5 5.5 0 1 0 0-11zM4.2 4.2l7.6 7.6",
  close: "M4 4l8 8M12 4l-8 8",
  add: "M8 3v10M3 8h10",
  bell: "M4 11V7.5a4 4 0 0 1 8 0V11l1 1.2H3zM6.8 14h2.4",
  "bell-off": "M4 11V7.5a4 4 0 0 1 6.5-3.1M12 7.5V11l1 1.2H3M6.8 14h2.4M2.5 2.5l11 11",
  theme: "M8 2.2a5.8 5.8 0 1 0 0 11.6zM8 2.2a5.8 5.8 0 0 1 0 11.6",
  help: "M5.6 5.8a2.4 2.4 0 1 1 3.6 2.1c-.8.5-1.2.9-1.2 1.8M8 12.6v.1",
  back: "M10 3L5 8l5 5",
  up: "M3.5 10L8 5.5l4.5 4.5",
  down: "M3.5 6L8 10.5L12.5 6",
  warn: "M8 2l6.4 11.4H1.6zM8 6.4v3.2M8 11.4v.1",
  play: "M5 3.2v9.6L12.6 8z",
};

/**
 * @param {string} name
 * @returns {SVGSVGElement} hidden from screen readers: words stand beside it
 */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 16 16");
  svg.setAttribute("aria-hidden", "true");
  svg.setAttribute("class", `icon${name === "running" || name === "cancelling" ? " spin" : ""}`);
  svg.dataset.icon = name;
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", PATHS[name] ?? PATHS.idle);
  svg.append(path);
  return svg;
}

/**
 * Make the icon that stands in `place` another one.
 *
 * @param {Element} place
 * @param {string} name
 */
export function showIcon(place, name) {
  const old = place.firstElementChild;
  if (old instanceof SVGElement && old.dataset.icon === name) return;
  place.replaceChildren(icon(name));
}
