/** Numbers, times and states as people read them. */

/**
 * @param {number} milliseconds
 * @returns {string} "0.4 s", "12 s", "3:07 min", "1:02:33 h", "2 d 4 h"
 */
export function duration(milliseconds) {
  const total = Math.max(0, milliseconds) / 1000;
  if (total < 9.95) return `${total.toFixed(1)} s`;
  const seconds = Math.round(total);
  if (seconds < 60) return `${seconds} s`;
  const two = (/** @type {number} */ part) => String(part).padStart(2, "0");
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes}:${two(seconds % 60)} min`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return `${hours}:${two(minutes % 60)}:${two(seconds % 60)} h`;
  return `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

/**
 * @param {Date} date
 * @returns {string} "14:03:07"
 */
export function clock(date) {
  return [date.getHours(), date.getMinutes(), date.getSeconds()]
    .map((part) => String(part).padStart(2, "0"))
    .join(":");
}

/**
 * @param {Date} date
 * @param {Date} now
 * @returns {string} "14:03" today, else "Tue 14:03" within a week, else "2026-03-01 14:03"
 */
export function when(date, now) {
  const time = clock(date).slice(0, 5);
  const midnight = new Date(now);
  midnight.setHours(0, 0, 0, 0);
  const days = (midnight.getTime() - date.getTime()) / 86_400_000;
  if (days <= 0) return time;
  if (days <= 1) return `yesterday ${time}`;
  if (days <= 6) return `${["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"][date.getDay()]} ${time}`;
  const two = (/** @type {number} */ part) => String(part).padStart(2, "0");
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())} ${time}`;
}

/**
 * @param {number} count
 * @param {string} noun
 * @param {string} [plural]
 * @returns {string} "1 line", "2 lines", "50,000 lines"
 */
export function counted(count, noun, plural = `${noun}s`) {
  return `${count.toLocaleString("en")} ${count === 1 ? noun : plural}`;
}

/**
 * @param {number} bytes
 * @returns {string}
 */
export function size(bytes) {
  if (bytes < 1024) return `${bytes} bytes`;
  if (bytes < 1024 * 1024) return `${(bytes / 1024).toFixed(bytes < 10240 ? 1 : 0)} KiB`;
  return `${(bytes / 1024 / 1024).toFixed(1)} MiB`;
}

/**
 * @param {{current: number, total: number | null, message: string}} progress
 * @returns {string} "3 of 10 · building", "42 % · building", "17 · building"
 */
export function progressText({ current, total, message }) {
  const figure = (/** @type {number} */ value) =>
    Number.isInteger(value) ? value.toLocaleString("en") : value.toFixed(1);
  let text = figure(current);
  if (total !== null && total > 0) {
    text =
      total === 100 || !Number.isInteger(total)
        ? `${Math.round((current / total) * 100)} %`
        : `${figure(current)} of ${figure(total)}`;
  }
  return message ? `${text} · ${message}` : text;
}

/** The word for each state of a run. */
export const STATE_WORDS = Object.freeze({
  queued: "queued",
  running: "running",
  waiting: "needs answer",
  cancelling: "cancelling",
  succeeded: "done",
  failed: "failed",
  cancelled: "cancelled",
  interrupted: "interrupted",
});
