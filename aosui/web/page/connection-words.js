/** How a project's connection stands, in words. */

import { clock } from "./format.js";

/** @typedef {import("../aosui-client.js").SocketState} SocketState */

/**
 * @typedef {object} Words
 * @property {"live" | "idle" | "busy" | "warn" | "bad"} tone
 * @property {string} text what is said aloud when it changes
 * @property {string} countdown seconds until the next try; not said aloud
 * @property {string} detail
 * @property {"" | "now" | "connect" | "signIn" | "reload"} action
 */

/**
 * @param {SocketState} state
 * @param {object} more
 * @param {boolean} more.known whether anything of the project is shown
 * @param {number | null} more.heardAt when the server was last heard
 * @param {number} more.now
 * @returns {Words}
 */
export function connectionWords(state, { known, heardAt, now }) {
  const asOf = known && heardAt !== null ? `as of ${clock(new Date(heardAt))}` : "";
  const seconds = state.retryAt === null ? null : Math.max(0, Math.ceil((state.retryAt - now) / 1000));
  const countdown = seconds === null ? "" : seconds > 0 ? `in ${seconds} s` : "now…";
  const plain = { countdown: "", detail: "", action: /** @type {const} */ ("") };
  switch (state.name) {
    case "live":
      return { ...plain, tone: "live", text: "live" };
    case "idle":
      return known
        ? { ...plain, tone: "idle", text: "idle", detail: "no connection needed" }
        : { ...plain, tone: "busy", text: "loading…" };
    case "connecting":
      return { ...plain, tone: "busy", text: "connecting…", detail: asOf };
    case "reconnecting": {
      const blocked = state.error?.code === "webSocketBlocked";
      return {
        tone: "warn",
        text: blocked ? "a proxy blocks WebSockets, trying again" : "reconnecting",
        countdown,
        detail: asOf,
        action: "now",
      };
    }
    case "offline":
      return { tone: "bad", text: "offline, trying again", countdown, detail: asOf, action: seconds === null ? "" : "now" };
    case "replaced":
      return { ...plain, tone: "warn", text: "replaced by another connection", detail: asOf, action: "connect" };
    case "signedOut":
      return { ...plain, tone: "bad", text: "signed out", detail: asOf, action: "signIn" };
    case "closed":
      return { ...plain, ...closedWords(state.error?.code ?? "", state.error?.message ?? ""), detail: asOf };
  }
}

/**
 * @param {string} code
 * @param {string} message
 * @returns {{tone: "warn" | "bad", text: string, action: Words["action"]}}
 */
function closedWords(code, message) {
  switch (code) {
    case "projectNotFound":
    case "projectClosed":
      return { tone: "bad", text: "no longer open on the server", action: "" };
    case "forbidden":
      return { tone: "bad", text: "not allowed", action: "" };
    case "unsupportedVersion":
      return { tone: "bad", text: "this page is older than the server", action: "reload" };
    case "messageTooBig":
      return { tone: "warn", text: "disconnected: a message was too big", action: "connect" };
    default:
      return { tone: "bad", text: message || "disconnected", action: "connect" };
  }
}
