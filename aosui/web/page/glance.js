/** What one look at a project says. */

import { isFinal } from "../aosui-client.js";

/** @typedef {import("../aosui-client.js").Run} Run */
/** @typedef {import("../aosui-client.js").Question} Question */
/** @typedef {import("../aosui-client.js").ProjectInfo} ProjectInfo */

/** @typedef {"waiting" | "failed" | "running" | "done" | "idle"} GlanceState */

/**
 * @typedef {object} Glance
 * @property {GlanceState} state
 * @property {string} word the state for people
 * @property {number} unread what happened and was not looked at: questions and ended runs
 * @property {number} active runs
 * @property {{run: Run, question: Question}[]} questions open ones, oldest first
 * @property {Run[]} unseen ended and not looked at, newest first
 */

const WORDS = Object.freeze({
  waiting: "needs answer",
  failed: "failed",
  running: "running",
  done: "done",
  idle: "idle",
});

/**
 * A failure nobody has looked at is more urgent than what still runs; what ended well is not.
 *
 * @param {readonly Run[] | null} runs null as long as nobody knows
 * @param {string} seenAt the latest `endedAt` that was looked at
 * @param {ProjectInfo["activity"] | null} activity what the list of projects says, for want of runs
 * @returns {Glance}
 */
export function glance(runs, seenAt, activity) {
  const all = runs ?? [];
  const active = runs === null ? (activity?.active ?? 0) : all.filter((run) => !isFinal(run)).length;
  const questions = all
    .flatMap((run) => run.questions.map((question) => ({ run, question })))
    .sort((a, b) => (a.question.askedAt < b.question.askedAt ? -1 : 1));
  const unseen = all
    .filter((run) => isFinal(run) && (run.endedAt ?? "") > seenAt)
    .sort((a, b) => ((a.endedAt ?? "") > (b.endedAt ?? "") ? -1 : 1));
  const waiting = runs === null ? (activity?.waiting ?? 0) : questions.length;
  /** @type {GlanceState} */
  let state = "idle";
  if (waiting > 0) state = "waiting";
  else if (unseen.some(bad)) state = "failed";
  else if (active > 0) state = "running";
  else if (unseen.length > 0) state = "done";
  return {
    state,
    word: WORDS[state],
    unread: waiting + unseen.length,
    active,
    questions,
    unseen,
  };
}

/**
 * Cancelled is what somebody wanted: no reason to call for attention.
 *
 * @param {Run} run
 */
export const bad = (run) => run.state === "failed" || run.state === "interrupted";

/**
 * @param {readonly Run[]} runs
 * @returns {Run[]} newest first
 */
export function newestFirst(runs) {
  return [...runs].sort((a, b) =>
    a.createdAt === b.createdAt
      ? (b.firstSeq ?? 0) - (a.firstSeq ?? 0)
      : a.createdAt < b.createdAt
        ? 1
        : -1,
  );
}
