/** What is wrong with an executor, in words. */

import { clock } from "./format.js";

/** @typedef {import("../aosui-client.js").ExecutorInfo} ExecutorInfo */

/**
 * What to say of an executor.
 *
 * @param {ExecutorInfo} executor
 * @returns {{key: string, text: string, more: string} | null} null: nothing
 */
export function executorWords({ name, distribution, version, status, reason, blocked }) {
  const source = distribution ? ` (${[distribution, version].filter(Boolean).join(" ")})` : "";
  if (status !== "ok") {
    const what = {
      broken: "is broken",
      incompatible: "does not fit this version of aosui",
      duplicate: "comes from more than one distribution: none of them is used",
    }[status];
    return { key: `${name} ${status} ${reason}`, text: `The executor ${name}${source} ${what}.`, more: reason ?? "" };
  }
  if (blocked) {
    return {
      key: `${name} blocked ${blocked.at}`,
      text: `The executor ${name}${source} blocked the whole server for ${blocked.seconds.toFixed(1)} s at ${clock(new Date(blocked.at))}. Give it a process of its own: [executors.${name}] isolation = "process".`,
      more: blocked.where,
    };
  }
  return null;
}
