// Node's ws: `send` to one client after the other, as its documentation broadcasts.
import { createInterface } from "node:readline";
import { setImmediate, setTimeout } from "node:timers/promises";
import { WebSocketServer, WebSocket } from "ws";

const LINE = "x".repeat(119) + "\n";
let seq = 0;

function say(stamped) {
  const now = process.hrtime.bigint().toString().padStart(19, "0");
  return JSON.stringify({
    type: "run.output",
    runId: "0123456789abcdef0123",
    projectId: "bench-012345",
    seq: ++seq,
    ts: new Date().toISOString(),
    stream: "stdout",
    text: stamped ? `@${now} ${LINE.slice(21)}` : LINE,
  });
}

const wss = new WebSocketServer({ host: "127.0.0.1", port: 0, backlog: 4096, perMessageDeflate: false });
wss.on("listening", () => console.log(`port ${wss.address().port}`));
wss.on("connection", (ws) => ws.on("error", console.error));

for await (const line of createInterface({ input: process.stdin })) {
  const [mode, count, gap] = line.split(" ");
  for (let number = 1; number <= Number(count); number++) {
    if (mode === "lone") await setTimeout(Number(gap));
    const data = say(mode === "lone");
    for (const client of wss.clients) {
      if (client.readyState === WebSocket.OPEN) client.send(data);
    }
    if (mode === "turn" || number % 50 === 0) await setImmediate();
  }
}
