/** Signing in: a token for the session cookie. */

import { openDialog } from "./dialog.js";
import { freshId, h, setText } from "./dom.js";

/** @typedef {import("../aosui-client.js").AosuiApi} AosuiApi */
/** @typedef {import("../aosui-client.js").AosuiError} AosuiError */

/**
 * The token in an address, and the address without it.
 *
 * @param {string} hash
 * @returns {{token: string | null, hash: string}}
 */
export function takeToken(hash) {
  const match = /^#(?:(.*)&)?token=([^&]*)(?:&(.*))?$/.exec(hash);
  if (!match) return { token: null, hash };
  const rest = [match[1], match[3]].filter(Boolean).join("&");
  let token = match[2];
  try {
    token = decodeURIComponent(match[2]);
  } catch {
    // As it stands, then.
  }
  return { token, hash: rest ? `#${rest}` : "" };
}

/** @type {HTMLDialogElement | null} */
let shown = null;

/**
 * Ask for the token.
 *
 * @param {AosuiApi} api
 * @param {string} reason
 * @param {() => void} done
 */
export function openSignInDialog(api, reason, done) {
  if (shown?.isConnected) return;
  const id = freshId("token");
  const input = h("input", { id, type: "password", autocomplete: "current-password", spellcheck: false });
  const problem = h("p", { class: "problem", role: "alert" });
  const button = h("button", { class: "primary", type: "submit" }, "Sign in");
  const form = h(
    "form",
    {
      class: "fields",
      on: {
        submit: async (/** @type {Event} */ event) => {
          event.preventDefault();
          // Somebody may paste the whole address.
          const typed = input.value.trim();
          const token = takeToken(typed.slice(Math.max(0, typed.indexOf("#")))).token ?? typed;
          if (token === "") return;
          button.disabled = true;
          try {
            await api.signIn(token);
            input.value = "";
            dialog.close();
            done();
          } catch (thrown) {
            const error = /** @type {AosuiError} */ (thrown);
            setText(problem, error.code === "unauthorized" ? "This is not the server's token." : `${error.message}.`);
          } finally {
            button.disabled = false;
          }
        },
      },
    },
    h("p", null, reason),
    h("p", null, "Open the address that aosui printed where it was started, the one with ", h("code", null, "#token=…"), ". The same server prints it again at its next start:"),
    h("code", { class: "command" }, "aosui serve"),
    h("div", { class: "field" }, h("label", { htmlFor: id }, "Or paste that address, or the token, here"), h("div", { class: "other-row" }, input, button)),
    problem,
  );
  const dialog = openDialog("Sign in", form);
  shown = dialog;
  input.focus();
}
