/** What calls the user from elsewhere: the title, the favicon, and notifications if asked for. */

/** @typedef {import("../aosui-client.js").Run} Run */
/** @typedef {import("./project.js").Project} Project */
/** @typedef {import("./workspace.js").Workspace} Workspace */

/**
 * @typedef {object} Call
 * @property {number} waiting open questions
 * @property {number} failed runs nobody has looked at
 * @property {number} done runs nobody has looked at
 * @property {number} running runs
 */

/**
 * @param {readonly Project[]} projects
 * @returns {Call}
 */
export function call(projects) {
  const out = { waiting: 0, failed: 0, done: 0, running: 0 };
  for (const project of projects) {
    const { questions, unseen, active, unread, state } = project.glance;
    out.waiting += project.known ? questions.length : state === "waiting" ? unread : 0;
    const failed = unseen.filter((run) => run.state === "failed" || run.state === "interrupted").length;
    out.failed += failed;
    out.done += unseen.length - failed;
    out.running += active;
  }
  return out;
}

/**
 * @param {Call} call
 * @param {string} place the project that is looked at, or ""
 */
export function titleText({ waiting, failed, done, running }, place) {
  const count = waiting + failed + done;
  const name = place ? `${place} · aosui` : "aosui";
  if (waiting > 0) return `(${count}) needs you · ${name}`;
  if (failed > 0) return `(${count}) failed · ${name}`;
  if (done > 0) return `(${count}) done · ${name}`;
  return running > 0 ? `▸ ${name}` : name;
}

const COLOURS = Object.freeze({ waiting: "#e08600", failed: "#d13428", done: "#1f8a4c", running: "#3d7be8" });

/**
 * The favicon with a count, or a dot while something runs.
 *
 * @param {Call} call
 * @returns {string} a data: URL
 */
function drawIcon({ waiting, failed, done, running }) {
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = 64;
  const context = canvas.getContext("2d");
  if (!context) return "icon.svg";
  context.fillStyle = "#2b3a55";
  context.beginPath();
  context.roundRect(0, 0, 64, 64, 14);
  context.fill();
  context.strokeStyle = "#fff";
  context.lineWidth = 6;
  context.lineCap = "round";
  for (const [y, to] of [[18, 36], [32, 48], [46, 30]]) {
    context.beginPath();
    context.moveTo(16, y);
    context.lineTo(to, y);
    context.stroke();
  }
  const count = waiting + failed + done;
  const colour = waiting > 0 ? COLOURS.waiting : failed > 0 ? COLOURS.failed : done > 0 ? COLOURS.done : COLOURS.running;
  if (count > 0 || running > 0) {
    const radius = count > 0 ? 21 : 13;
    context.fillStyle = colour;
    context.beginPath();
    context.arc(64 - radius, radius, radius, 0, 2 * Math.PI);
    context.fill();
    if (count > 0) {
      context.fillStyle = "#fff";
      context.font = "bold 32px system-ui, sans-serif";
      context.textAlign = "center";
      context.textBaseline = "middle";
      context.fillText(count > 9 ? "9+" : String(count), 64 - radius, radius + 2);
    }
  }
  return canvas.toDataURL("image/png");
}

export class Attention {
  #icon = "";

  /** @param {Workspace} workspace */
  constructor(workspace) {
    this.workspace = workspace;
    this.link = /** @type {HTMLLinkElement | null} */ (document.querySelector('link[rel="icon"]'));
    // Not by frames: those stop while the page is hidden, when this matters most.
    let asked = false;
    workspace.on("change", () => {
      if (asked) return;
      asked = true;
      setTimeout(() => {
        asked = false;
        this.#draw();
      }, 50);
    });
    workspace.on("run", (detail) => this.#run(detail));
  }

  /** Whether the user asked for notifications and the browser allows them. */
  get notifies() {
    return globalThis.Notification?.permission === "granted" && this.workspace.memory.get("notify", false);
  }

  /** @returns {Promise<"on" | "off" | "denied" | "unsupported">} */
  async toggle() {
    if (!("Notification" in globalThis)) return "unsupported";
    if (this.notifies) {
      this.workspace.memory.set("notify", false);
      return "off";
    }
    if ((await Notification.requestPermission()) !== "granted") return "denied";
    this.workspace.memory.set("notify", true);
    return "on";
  }

  #draw() {
    const { projects, active } = this.workspace;
    const now = call(projects);
    const title = titleText(now, active?.name ?? "");
    if (document.title !== title) document.title = title;
    const key = JSON.stringify(now.waiting + now.failed + now.done > 0 ? now : { running: now.running > 0 });
    if (key !== this.#icon && this.link) {
      this.#icon = key;
      this.link.type = "image/png";
      this.link.href = drawIcon(now);
    }
  }

  /** @param {{project: Project, run: Run, before: Run | null, history: boolean}} detail */
  #run({ project, run, before, history }) {
    if (history || !this.notifies || (document.visibilityState === "visible" && document.hasFocus())) return;
    const asks = run.questions.length > (before?.questions.length ?? 0);
    const ended = before !== null && before.endedAt === null && run.endedAt !== null && run.state !== "cancelled";
    if (!asks && !ended) return;
    const what = run.title || run.workflow;
    const word = asks ? "needs an answer" : run.state === "succeeded" ? "is done" : run.state;
    const body = asks ? (run.questions.at(-1)?.prompts[0]?.text ?? "") : (run.error?.message ?? "");
    const notification = new Notification(`${project.name}: ${what} ${word}`, { body, tag: run.runId, icon: "icon.svg" });
    notification.addEventListener("click", () => {
      window.focus();
      this.workspace.go({ view: "run", projectId: project.id, runId: run.runId, workflow: "" });
      notification.close();
    });
  }
}
