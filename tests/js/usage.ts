// How a front end in TypeScript uses the client: compiled by types.mjs, never run.
import { AosuiApi, AosuiError, ProjectSocket, ProjectSockets, fold } from "../../aosui/web/aosui-client.js";
import type { Run, Snapshot, SocketState } from "../../aosui/web/aosui-client.js";

const api = new AosuiApi({ base: "http://127.0.0.1:8765/", token: "t" });
const sockets = new ProjectSockets({ api });
sockets.on("projects", ({ projects }) => projects.map((project) => project.activity.active));
const socket: ProjectSocket = sockets.open("site-1a2b3c");

socket.on("state", (state: SocketState) => state.retryAt?.toFixed());
socket.on("snapshot", ({ snapshot, run }) => {
  const runs: Run[] = snapshot.runs;
  return run ?? runs[0];
});
// @ts-expect-error: there is no such event
socket.on("stat", () => {});

export async function follow(): Promise<Snapshot | null> {
  for await (const event of socket) {
    if (event.type === "run.output") console.log(event.text);
    if (event.type === "question.closed" && event.outcome === "answered") break;
  }
  try {
    const { runId } = await socket.start("shell:make-test", { fast: true });
    await socket.cancel(runId);
  } catch (error) {
    if (error instanceof AosuiError && error.retryable) console.log(error.code, error.details);
  }
  return fold(socket.snapshot, { type: "pong" });
}
