/** Whether a run has ended.
 * @param {Pick<Run, "state">} run */
export function isFinal(run: Pick<Run, "state">): boolean;
/**
 * Fold one server frame into the state of a project: a `snapshot` frame is the new state, an event
 * above `snapshot.seq` moves it, everything else leaves it alone. Nothing is changed in place; the
 * same object comes back when nothing changed.
 *
 * Only `run.updated` carries state: it is the whole latest status of its run. Ended runs come first,
 * in the order in which they ended, and the last 20 of them stay; then the active ones.
 *
 * @param {Snapshot | null} snapshot
 * @param {any} frame   a server frame, decoded
 * @returns {Snapshot | null}
 */
export function fold(snapshot: Snapshot | null, frame: any): Snapshot | null;
/**
 * Follow the log by one server frame (section 5).
 *
 * @param {View} view
 * @param {any} frame   a server frame, decoded
 * @returns {{view: View, verdict: Verdict}}
 */
export function follow(view: View, frame: any): {
    view: View;
    verdict: Verdict;
};
/**
 * What to do after a close code (section 10): decided by the code alone.
 *
 * @param {number} code
 * @returns {"reconnect" | "idle" | "replaced" | "signedOut" | "closed"}
 */
export function closeAction(code: number): "reconnect" | "idle" | "replaced" | "signedOut" | "closed";
/**
 * Milliseconds to wait before the attempt after `n` failed ones (section 10).
 *
 * @param {number} n
 * @param {() => number} random   0 <= random() < 1
 */
export function backoff(n: number, random: () => number): number;
/**
 * The JavaScript client of aosui: one ES module without dependencies, for browsers and Node >= 20.
 *
 * - `AosuiApi`: the plain HTTP calls.
 * - `ProjectSocket`: one project, live: reconnects and resumes by itself.
 * - `ProjectSockets`: all open projects, each connected only while there is something to see.
 * - `fold`, `follow`, `closeAction`, `backoff`: the rules of the protocol as plain functions.
 *
 * `docs/protocol.md` is the wire; section numbers in comments are its.
 *
 * ```js
 * const sockets = new ProjectSockets();
 * const socket = sockets.open("site-1a2b3c");
 * socket.on("snapshot", ({ snapshot }) => draw(snapshot.runs));
 * const { runId } = await socket.start("shell:make-test", {});
 * ```
 *
 * @module aosui-client
 */
/** @typedef {"queued" | "running" | "waiting" | "cancelling"} ActiveState */
/** @typedef {"succeeded" | "failed" | "cancelled" | "interrupted"} FinalState */
/** @typedef {ActiveState | FinalState} RunState */
/**
 * Why something was refused or a run failed; `code` is stable, `message` is for people.
 *
 * @typedef {object} ErrorInfo
 * @property {string} code
 * @property {string} message
 * @property {boolean} retryable
 * @property {Record<string, any> | null} details
 */
/** @typedef {{current: number, total: number | null, message: string}} Progress */
/** @typedef {{value: string, label: string, description: string}} Option */
/**
 * @typedef {object} Prompt
 * @property {string} promptId
 * @property {string} text
 * @property {string} header
 * @property {Option[]} options       none: free text
 * @property {boolean} multiple
 * @property {boolean} allowOther
 */
/** @typedef {{questionId: string, askedAt: string, prompts: Prompt[]}} Question */
/** @typedef {Record<string, string | string[]>} Answers   by promptId */
/**
 * The whole latest status of one run. Times are RFC 3339 UTC.
 *
 * @typedef {object} Run
 * @property {string} runId
 * @property {string} workflow        `<executor>:<name>`
 * @property {string} executor
 * @property {string} title
 * @property {Record<string, any>} params   secrets are shown as "•••"
 * @property {RunState} state
 * @property {number} attempt
 * @property {string | null} retryOf
 * @property {string | null} by
 * @property {string} createdAt
 * @property {string | null} startedAt
 * @property {string | null} endedAt
 * @property {Progress | null} progress
 * @property {Question[]} questions   open ones only
 * @property {any} result
 * @property {ErrorInfo | null} error
 * @property {boolean} retryable
 * @property {number | null} firstSeq seq of the run's first event; null when of an earlier epoch
 */
/**
 * The state of a project at `seq`: all active runs and the last 20 final ones. `outputTails` are
 * the newest output events of the active runs, as of the server's last snapshot frame.
 *
 * @typedef {object} Snapshot
 * @property {string} projectId
 * @property {string} epoch
 * @property {number} seq
 * @property {{name: string}} project
 * @property {Run[]} runs
 * @property {Record<string, RunOutput[]>} outputTails
 */
/** @typedef {{projectId: string, seq: number, ts: string}} EventBase */
/** @typedef {EventBase & {type: "run.updated", run: Run, requestId?: string}} RunUpdated */
/** @typedef {EventBase & {type: "run.output", runId: string, stream: "stdout" | "stderr" | "log", text: string}} RunOutput */
/** @typedef {EventBase & {type: "run.event", runId: string, name: string, data: any}} RunEvent */
/** @typedef {EventBase & {type: "question.closed", runId: string, questionId: string, outcome: "answered" | "cancelled", answers: Answers | null, by: string | null, requestId?: string}} QuestionClosed */
/** @typedef {EventBase & {type: "project.event", name: string, data: any}} ProjectEvent */
/** @typedef {RunUpdated | RunOutput | RunEvent | QuestionClosed | ProjectEvent} ProjectLogEvent */
/** @typedef {"fresh" | "noEpoch" | "epochChanged" | "ahead" | "tooOld" | "tooFar" | "ok"} ResumeReason */
/**
 * @typedef {object} Welcome
 * @property {"welcome"} type
 * @property {string} projectId
 * @property {number} protocol
 * @property {{name: string, version: string}} server
 * @property {string} connectionId
 * @property {string} epoch
 * @property {number} seq
 * @property {number} firstSeq
 * @property {{recovered: boolean, reason: ResumeReason, replayed: number}} resume
 * @property {{maxMessageBytes: number, requestsPerSecond: number}} limits
 * @property {number | null} dormantAfterMs
 */
/** Events `fromSeq..toSeq` will not come by themselves; `AosuiApi.events` has them if kept.
 * @typedef {{fromSeq: number, toSeq: number, reason: string}} Missing */
/** Where in a project's log a client stands.
 * @typedef {{epoch: string, since: number}} Position */
/** @typedef {{projectId: string, name: string, root: string, epoch: string, seq: number | null, activity: {active: number, queued: number, waiting: number}}} ProjectInfo */
/** @typedef {{name: string, type: "string" | "text" | "integer" | "number" | "boolean", required: boolean, default: any, choices: any[], description: string, secret: boolean}} Param */
/** @typedef {{workflow: string, executor: string, title: string, description: string, params: Param[]}} Workflow */
/** @typedef {{executor: string, error: ErrorInfo}} WorkflowError */
/** @typedef {{name: string, distribution: string | null, version: string | null, status: "ok" | "broken" | "incompatible" | "duplicate", reason: string | null, blocked: {at: string, seconds: number, where: string} | null}} ExecutorInfo */
/** @typedef {{runId: string, since: number, epoch: string}} Started */
/** @typedef {{events: ProjectLogEvent[], next: number | null, firstSeq: number, seq: number, epoch: string}} EventsPage */
/**
 * Every way in which a call fails. `code` is one of section 8's, or the client's own:
 *
 * - `outcomeUnknown`: a request whose reply never came; it may have happened. `details.sent` is
 *   false when it was never sent, so it did not.
 * - `closed`: the socket was closed by `close()`.
 * - `connectionLost`: the line was cut; it comes back by itself.
 * - `replaced`: this page's connection was replaced by another with the same client id.
 * - `offline`: the server does not answer.
 * - `webSocketBlocked`: HTTP works and WebSocket does not: a proxy in between.
 * - `badResponse`: what answered is not aosui.
 */
export class AosuiError extends Error {
    /**
     * @param {string} code
     * @param {string} message
     * @param {{retryable?: boolean, details?: Record<string, any> | null, status?: number | null, requestId?: string | null}} [more]
     */
    constructor(code: string, message: string, { retryable, details, status, requestId }?: {
        retryable?: boolean;
        details?: Record<string, any> | null;
        status?: number | null;
        requestId?: string | null;
    });
    /** @readonly */ readonly code: string;
    /** Whether the same later may go well. @readonly */ readonly retryable: boolean;
    /** @readonly @type {Record<string, any> | null} */ readonly details: Record<string, any> | null;
    /** The HTTP status, of an HTTP call. @readonly @type {number | null} */ readonly status: number | null;
    /**
     * The id of the request: sent again with this id (`{id}`), it never acts twice.
     * @readonly @type {string | null}
     */
    readonly requestId: string | null;
}
/**
 * What a client knows of a project: the folded snapshot, and its cursor in the log.
 *
 * @typedef {object} View
 * @property {string | null} epoch
 * @property {number | null} lastSeq       the last event had
 * @property {Snapshot | null} snapshot
 * @property {Missing[]} missing           what was skipped, in this epoch
 */
/**
 * What a frame means for the cursor: `reset` = another log: forget all output and every seq;
 * `missing` = events were skipped; `event` = to be shown, and in the state; `history` = to be
 * shown, in the snapshot already; `drop` = had before; `resync` = close with 4000 and resume;
 * `ignore` = not for the cursor.
 *
 * @typedef {"reset" | "missing" | "snapshot" | "event" | "history" | "drop" | "resync" | "ignore"} Verdict
 */
/** @type {View} */
export const EMPTY_VIEW: View;
/**
 * An EventTarget of CustomEvents whose `on` knows their types.
 *
 * @template {Record<string, any>} Events   type of event -> type of its `detail`
 */
export class Emitter<Events extends Record<string, any>> extends EventTarget {
    constructor();
    /**
     * Call `listener` with the `detail` of each event; the function that comes back ends it.
     *
     * @template {keyof Events & string} Type
     * @param {Type} type
     * @param {(detail: Events[Type]) => void} listener
     * @returns {() => void}
     */
    on<Type extends keyof Events & string>(type: Type, listener: (detail: Events[Type]) => void): () => void;
    /**
     * @protected
     * @template {keyof Events & string} Type
     * @param {Type} type
     * @param {Events[Type]} detail
     */
    protected emit<Type extends keyof Events & string>(type: Type, detail: Events[Type]): void;
}
/**
 * @typedef {object} ApiOptions
 * @property {string | URL} [base]   where aosui lives, `http://127.0.0.1:8765/` or with a prefix; default: the page's own directory
 * @property {string | null} [token] sent as Bearer; none: the session cookie
 * @property {typeof globalThis.fetch} [fetch]
 * @property {number} [timeout]      ms for a whole call, default 30 s
 */
/**
 * The plain HTTP calls of section 7. Each rejects with an `AosuiError`: the server's own, or
 * `offline` (retryable) when it did not answer, or `badResponse`.
 *
 * The calls that act take `{id}`, a UUID: the same id again is answered with the first outcome.
 */
export class AosuiApi {
    /** @param {ApiOptions} [options] */
    constructor({ base, token, fetch, timeout }?: ApiOptions);
    /** Ends with a slash. @readonly @type {URL} */
    readonly base: URL;
    /** @readonly @type {string | null} */
    readonly token: string | null;
    /**
     * List the open projects. With the `etag` of an earlier answer, `projects` is null when nothing
     * changed since.
     *
     * @param {{etag?: string | null}} [options]
     * @returns {Promise<{projects: ProjectInfo[] | null, etag: string | null}>}
     */
    projects({ etag }?: {
        etag?: string | null;
    }): Promise<{
        projects: ProjectInfo[] | null;
        etag: string | null;
    }>;
    /**
     * Open the project of a directory of the server's; the same directory has the same id for ever.
     *
     * @param {string} root
     * @param {{name?: string, id?: string}} [options]
     * @returns {Promise<ProjectInfo>}
     */
    openProject(root: string, options?: {
        name?: string;
        id?: string;
    }): Promise<ProjectInfo>;
    /**
     * @param {string} projectId
     * @returns {Promise<Snapshot>}
     */
    project(projectId: string): Promise<Snapshot>;
    /**
     * Close a project for everybody. `cancel` ends its runs first (else `projectBusy`), `forget`
     * deletes its log.
     *
     * @param {string} projectId
     * @param {{cancel?: boolean, forget?: boolean}} [options]
     * @returns {Promise<void>}
     */
    closeProject(projectId: string, { cancel, forget }?: {
        cancel?: boolean;
        forget?: boolean;
    }): Promise<void>;
    /**
     * @param {string} projectId
     * @returns {Promise<{workflows: Workflow[], errors: WorkflowError[]}>}
     */
    workflows(projectId: string): Promise<{
        workflows: Workflow[];
        errors: WorkflowError[];
    }>;
    /**
     * Runs, newest first; `before` is the runId to go on from.
     *
     * @param {string} projectId
     * @param {{before?: string, limit?: number}} [query]
     * @returns {Promise<{runs: Run[], more: boolean}>}
     */
    runs(projectId: string, query?: {
        before?: string;
        limit?: number;
    }): Promise<{
        runs: Run[];
        more: boolean;
    }>;
    /**
     * @param {string} projectId
     * @param {string} runId
     * @returns {Promise<Run>}
     */
    run(projectId: string, runId: string): Promise<Run>;
    /**
     * Events after or before a position, oldest first; `next` is the position to go on from.
     *
     * @param {string} projectId
     * @param {{after?: number, before?: number, runId?: string, limit?: number}} [query]
     * @returns {Promise<EventsPage>}
     */
    events(projectId: string, query?: {
        after?: number;
        before?: number;
        runId?: string;
        limit?: number;
    }): Promise<EventsPage>;
    /**
     * Start a run, of an idle project too; then `socket.connect(started)` misses nothing of it.
     *
     * @param {string} projectId
     * @param {string} workflow
     * @param {Record<string, any>} [params]
     * @param {{id?: string}} [options]
     * @returns {Promise<Started>}
     */
    startRun(projectId: string, workflow: string, params?: Record<string, any>, { id }?: {
        id?: string;
    }): Promise<Started>;
    /**
     * @param {string} projectId
     * @param {string} runId
     * @param {{id?: string}} [options]
     * @returns {Promise<{state: RunState}>}
     */
    cancelRun(projectId: string, runId: string, { id }?: {
        id?: string;
    }): Promise<{
        state: RunState;
    }>;
    /**
     * @param {string} projectId
     * @param {string} runId
     * @param {Record<string, any>} [params]   those to change; secrets have to be given again
     * @param {{id?: string}} [options]
     * @returns {Promise<Started>}
     */
    retryRun(projectId: string, runId: string, params?: Record<string, any>, { id }?: {
        id?: string;
    }): Promise<Started>;
    /**
     * @param {string} projectId
     * @param {string} runId
     * @param {string} text
     * @param {{id?: string}} [options]
     * @returns {Promise<{}>}
     */
    sendInput(projectId: string, runId: string, text: string, { id }?: {
        id?: string;
    }): Promise<{}>;
    /**
     * @param {string} projectId
     * @param {string} questionId
     * @param {Answers} answers
     * @param {{id?: string}} [options]
     * @returns {Promise<{}>}
     */
    answerQuestion(projectId: string, questionId: string, answers: Answers, { id }?: {
        id?: string;
    }): Promise<{}>;
    /** @returns {Promise<{executors: ExecutorInfo[]}>} */
    executors(): Promise<{
        executors: ExecutorInfo[];
    }>;
    /**
     * Exchange a token for the session cookie.
     *
     * @param {string} token
     * @returns {Promise<void>}
     */
    signIn(token: string): Promise<void>;
    /**
     * The address and the subprotocols of a project's WebSocket.
     *
     * @param {string} projectId
     * @param {{position?: Position | null, clientId?: string}} [options]
     * @returns {{url: string, protocols: string[]}}
     */
    webSocket(projectId: string, { position, clientId }?: {
        position?: Position | null;
        clientId?: string;
    }): {
        url: string;
        protocols: string[];
    };
    #private;
}
/**
 * One project, live: connects, notices dead lines, reconnects and resumes by itself, so that every
 * event of the log comes once and in order, or is named as missing.
 *
 * Nothing happens before `connect()` (or a request). A socket that is no longer wanted needs
 * `close()`.
 *
 * @extends {Emitter<ProjectSocketEvents>}
 */
export class ProjectSocket extends Emitter<ProjectSocketEvents> {
    /** @param {SocketOptions} options */
    constructor({ projectId, api, base, token, fetch, position, clientId, WebSocket, clock, random, window, }: SocketOptions);
    /** @readonly */ readonly projectId: string;
    /** @readonly */ readonly api: AosuiApi;
    /** @returns {SocketState} */
    get state(): SocketState;
    /**
     * The state of the project, folded live; null before the first one came. A new object at each
     * change.
     *
     * @returns {Snapshot | null}
     */
    get snapshot(): Snapshot | null;
    /** @returns {string | null} */
    get epoch(): string | null;
    /** The seq of the last event had, 0 for an empty log. @returns {number | null} */
    get lastSeq(): number | null;
    /** Where to resume; what another socket takes as its `position`. @returns {Position | null} */
    get position(): Position | null;
    /** What was skipped in this epoch. @returns {readonly Missing[]} */
    get missing(): readonly Missing[];
    /** When the server was last heard (ms): what is shown is as of then. @returns {number | null} */
    get heardAt(): number | null;
    /** What the server said of itself at the last handshake. @returns {Welcome | null} */
    get welcome(): Welcome | null;
    /** How many requests wait for their reply. @returns {number} */
    get unanswered(): number;
    /**
     * Connect now, also out of a wait and out of `replaced`, `signedOut` and `closed`; nothing
     * when already connected or connecting.
     *
     * @param {Position} [position]   used when the socket has none of its own: a reply to `startRun`
     */
    connect(position?: Position): void;
    /**
     * Show the project without connecting: take the state from `GET /api/projects/ID`, which is a
     * position too. Only while `idle` and without a snapshot; errors end up in `state`, except
     * retryable ones, which leave it idle.
     *
     * @returns {Promise<void>}
     */
    load(): Promise<void>;
    /** Look whether the line is alive, or try again now: for when the page comes back. */
    wake(): void;
    /** Close for good (1000): runs go on. Requests that wait are rejected, iterators end. */
    close(): void;
    /**
     * @param {string} workflow
     * @param {Record<string, any>} [params]
     * @param {{id?: string}} [options]
     * @returns {Promise<Started>}
     */
    start(workflow: string, params?: Record<string, any>, options?: {
        id?: string;
    }): Promise<Started>;
    /**
     * @param {string} runId
     * @param {{id?: string}} [options]
     * @returns {Promise<{state: RunState}>}   a run that ended already: its final state
     */
    cancel(runId: string, options?: {
        id?: string;
    }): Promise<{
        state: RunState;
    }>;
    /**
     * Run again what failed, was cancelled or interrupted, as a new run.
     *
     * @param {string} runId
     * @param {Record<string, any>} [params]   those to change; secrets have to be given again
     * @param {{id?: string}} [options]
     * @returns {Promise<Started>}
     */
    retry(runId: string, params?: Record<string, any>, options?: {
        id?: string;
    }): Promise<Started>;
    /**
     * @param {string} runId
     * @param {string} text
     * @param {{id?: string}} [options]
     * @returns {Promise<{}>}
     */
    input(runId: string, text: string, options?: {
        id?: string;
    }): Promise<{}>;
    /**
     * Answer every prompt of a question. The first answer wins: later ones are rejected with
     * `questionClosed`, the outcome in `details`.
     *
     * @param {string} questionId
     * @param {Answers} answers
     * @param {{id?: string}} [options]
     * @returns {Promise<{}>}
     */
    answer(questionId: string, answers: Answers, options?: {
        id?: string;
    }): Promise<{}>;
    /**
     * Send a request and wait for its one reply, over reconnects; connects when idle. Rejected with
     * the server's error, or `outcomeUnknown` when no reply came within 5 minutes or the log is
     * another one by then.
     *
     * @param {string} type
     * @param {Record<string, any>} fields
     * @param {{id?: string}} [options]   the id of an earlier try whose error was retryable
     * @returns {Promise<any>}
     */
    request(type: string, fields: Record<string, any>, { id }?: {
        id?: string;
    }): Promise<any>;
    /**
     * The events from now on. Ends after `close()`; throws the state's error when the connection is
     * over for another reason. What is not yet consumed waits in memory.
     *
     * @returns {AsyncIterableIterator<ProjectLogEvent>}
     */
    [Symbol.asyncIterator](): AsyncIterableIterator<ProjectLogEvent>;
    #private;
}
/**
 * The events of `ProjectSockets`.
 *
 * - `projects`: the server's list changed.
 * - `state`: whether the server answers changed.
 *
 * @typedef {object} ProjectSocketsEvents
 * @property {{projects: readonly ProjectInfo[]}} projects
 * @property {ListState} state
 */
/**
 * Whether the server's list is known: `unknown` before the first answer, `signedOut` after a 401.
 *
 * @typedef {{name: "unknown" | "ok" | "offline" | "signedOut", at: number, error: AosuiError | null}} ListState
 */
/**
 * The lazy rule (section 4) for all open projects: each has a `ProjectSocket`, which is connected
 * when the user opens the project, when it has requests, and when the server's list shows it
 * active or elsewhere than the socket stands.
 *
 * @extends {Emitter<ProjectSocketsEvents>}
 */
export class ProjectSockets extends Emitter<ProjectSocketsEvents> {
    /**
     * @param {Omit<SocketOptions, "projectId" | "position"> & {visibleMs?: number, hiddenMs?: number}} [options]
     *   what every socket gets; the list is asked for every `visibleMs` (5 s) and, hidden, `hiddenMs` (60 s)
     */
    constructor({ visibleMs, hiddenMs, api, base, token, fetch, ...socketOptions }?: Omit<SocketOptions, "projectId" | "position"> & {
        visibleMs?: number;
        hiddenMs?: number;
    });
    /** @readonly */ readonly api: AosuiApi;
    /** Begin to ask for the list, at once and from then on. */
    start(): void;
    /** Stop asking and close every socket. */
    stop(): void;
    /** Ask for the list now. Resolves when the answer was acted on, whatever it was. @returns {Promise<void>} */
    poll(): Promise<void>;
    /** @returns {ListState} */
    get state(): ListState;
    /** The server's projects, open here or not. @returns {readonly ProjectInfo[]} */
    get projects(): readonly ProjectInfo[];
    /**
     * Open a project, as the user's act: connects it.
     *
     * @param {string} projectId
     * @param {Position} [position]
     * @returns {ProjectSocket}   the same one while the project stays open here
     */
    open(projectId: string, position?: Position): ProjectSocket;
    /**
     * Take up a project that was open before a reload: shown, and connected only if the list says so.
     *
     * @param {string} projectId
     * @returns {ProjectSocket}
     */
    restore(projectId: string): ProjectSocket;
    /**
     * Close a project here (1000); its runs go on.
     *
     * @param {string} projectId
     */
    close(projectId: string): void;
    /**
     * Start a run over HTTP, of an idle project too; if the project is open here, it is connected
     * and misses nothing of the run.
     *
     * @param {string} projectId
     * @param {string} workflow
     * @param {Record<string, any>} [params]
     * @param {{id?: string}} [options]
     * @returns {Promise<Started>}
     */
    startRun(projectId: string, workflow: string, params?: Record<string, any>, options?: {
        id?: string;
    }): Promise<Started>;
    /**
     * @param {string} projectId
     * @returns {ProjectSocket | undefined}
     */
    get(projectId: string): ProjectSocket | undefined;
    /** The sockets of the open projects, oldest first. @returns {IterableIterator<ProjectSocket>} */
    [Symbol.iterator](): IterableIterator<ProjectSocket>;
    #private;
}
export type ActiveState = "queued" | "running" | "waiting" | "cancelling";
export type FinalState = "succeeded" | "failed" | "cancelled" | "interrupted";
export type RunState = ActiveState | FinalState;
/**
 * Why something was refused or a run failed; `code` is stable, `message` is for people.
 */
export type ErrorInfo = {
    code: string;
    message: string;
    retryable: boolean;
    details: Record<string, any> | null;
};
export type Progress = {
    current: number;
    total: number | null;
    message: string;
};
export type Option = {
    value: string;
    label: string;
    description: string;
};
export type Prompt = {
    promptId: string;
    text: string;
    header: string;
    /**
     * none: free text
     */
    options: Option[];
    multiple: boolean;
    allowOther: boolean;
};
export type Question = {
    questionId: string;
    askedAt: string;
    prompts: Prompt[];
};
/**
 * by promptId
 */
export type Answers = Record<string, string | string[]>;
/**
 * The whole latest status of one run. Times are RFC 3339 UTC.
 */
export type Run = {
    runId: string;
    /**
     * `<executor>:<name>`
     */
    workflow: string;
    executor: string;
    title: string;
    /**
     * secrets are shown as "•••"
     */
    params: Record<string, any>;
    state: RunState;
    attempt: number;
    retryOf: string | null;
    by: string | null;
    createdAt: string;
    startedAt: string | null;
    endedAt: string | null;
    progress: Progress | null;
    /**
     * open ones only
     */
    questions: Question[];
    result: any;
    error: ErrorInfo | null;
    retryable: boolean;
    /**
     * seq of the run's first event; null when of an earlier epoch
     */
    firstSeq: number | null;
};
/**
 * The state of a project at `seq`: all active runs and the last 20 final ones. `outputTails` are
 * the newest output events of the active runs, as of the server's last snapshot frame.
 */
export type Snapshot = {
    projectId: string;
    epoch: string;
    seq: number;
    project: {
        name: string;
    };
    runs: Run[];
    outputTails: Record<string, RunOutput[]>;
};
export type EventBase = {
    projectId: string;
    seq: number;
    ts: string;
};
export type RunUpdated = EventBase & {
    type: "run.updated";
    run: Run;
    requestId?: string;
};
export type RunOutput = EventBase & {
    type: "run.output";
    runId: string;
    stream: "stdout" | "stderr" | "log";
    text: string;
};
export type RunEvent = EventBase & {
    type: "run.event";
    runId: string;
    name: string;
    data: any;
};
export type QuestionClosed = EventBase & {
    type: "question.closed";
    runId: string;
    questionId: string;
    outcome: "answered" | "cancelled";
    answers: Answers | null;
    by: string | null;
    requestId?: string;
};
export type ProjectEvent = EventBase & {
    type: "project.event";
    name: string;
    data: any;
};
export type ProjectLogEvent = RunUpdated | RunOutput | RunEvent | QuestionClosed | ProjectEvent;
export type ResumeReason = "fresh" | "noEpoch" | "epochChanged" | "ahead" | "tooOld" | "tooFar" | "ok";
export type Welcome = {
    type: "welcome";
    projectId: string;
    protocol: number;
    server: {
        name: string;
        version: string;
    };
    connectionId: string;
    epoch: string;
    seq: number;
    firstSeq: number;
    resume: {
        recovered: boolean;
        reason: ResumeReason;
        replayed: number;
    };
    limits: {
        maxMessageBytes: number;
        requestsPerSecond: number;
    };
    dormantAfterMs: number | null;
};
/**
 * Events `fromSeq..toSeq` will not come by themselves; `AosuiApi.events` has them if kept.
 */
export type Missing = {
    fromSeq: number;
    toSeq: number;
    reason: string;
};
/**
 * Where in a project's log a client stands.
 */
export type Position = {
    epoch: string;
    since: number;
};
export type ProjectInfo = {
    projectId: string;
    name: string;
    root: string;
    epoch: string;
    seq: number | null;
    activity: {
        active: number;
        queued: number;
        waiting: number;
    };
};
export type Param = {
    name: string;
    type: "string" | "text" | "integer" | "number" | "boolean";
    required: boolean;
    default: any;
    choices: any[];
    description: string;
    secret: boolean;
};
export type Workflow = {
    workflow: string;
    executor: string;
    title: string;
    description: string;
    params: Param[];
};
export type WorkflowError = {
    executor: string;
    error: ErrorInfo;
};
export type ExecutorInfo = {
    name: string;
    distribution: string | null;
    version: string | null;
    status: "ok" | "broken" | "incompatible" | "duplicate";
    reason: string | null;
    blocked: {
        at: string;
        seconds: number;
        where: string;
    } | null;
};
export type Started = {
    runId: string;
    since: number;
    epoch: string;
};
export type EventsPage = {
    events: ProjectLogEvent[];
    next: number | null;
    firstSeq: number;
    seq: number;
    epoch: string;
};
/**
 * What a client knows of a project: the folded snapshot, and its cursor in the log.
 */
export type View = {
    epoch: string | null;
    /**
     * the last event had
     */
    lastSeq: number | null;
    snapshot: Snapshot | null;
    /**
     * what was skipped, in this epoch
     */
    missing: Missing[];
};
/**
 * What a frame means for the cursor: `reset` = another log: forget all output and every seq;
 * `missing` = events were skipped; `event` = to be shown, and in the state; `history` = to be
 * shown, in the snapshot already; `drop` = had before; `resync` = close with 4000 and resume;
 * `ignore` = not for the cursor.
 */
export type Verdict = "reset" | "missing" | "snapshot" | "event" | "history" | "drop" | "resync" | "ignore";
/**
 * milliseconds, wall clock
 */
export type Clock = {
    now(): number;
    setTimeout(callback: () => void, ms: number): any;
    clearTimeout(timer: any): void;
};
export type WebSocketClass = new (url: string, protocols: string[]) => WebSocket;
/**
 * The events of the page: `focus`, `pageshow` and `online` of it, `visibilitychange` of its
 * document.
 */
export type PageWindow = EventTarget & {
    document: EventTarget & {
        visibilityState: string;
    };
};
export type ApiOptions = {
    /**
     * where aosui lives, `http://127.0.0.1:8765/` or with a prefix; default: the page's own directory
     */
    base?: string | URL | undefined;
    /**
     * sent as Bearer; none: the session cookie
     */
    token?: string | null | undefined;
    fetch?: typeof fetch | undefined;
    /**
     * ms for a whole call, default 30 s
     */
    timeout?: number | undefined;
};
/**
 * How a project's connection stands.
 *
 * - `idle`: not connected, and no need to be: nothing runs (or not connected yet).
 * - `connecting`: on its way, up to the server's `synced`.
 * - `live`: what is shown is what is.
 * - `reconnecting`: the line was cut; tries again at `retryAt`. With `error.code`
 *   `webSocketBlocked`, HTTP gets through and WebSocket does not.
 * - `offline`: the server answers neither; tries again at `retryAt`.
 * - `replaced`, `signedOut`, `closed`: over until `connect()` is called; `error` says why, in
 *   `closed` it is `closed` after `close()`, else `projectClosed`, `projectNotFound`, `forbidden`, ….
 */
export type SocketStateName = "idle" | "connecting" | "live" | "reconnecting" | "offline" | "replaced" | "signedOut" | "closed";
export type SocketState = {
    name: SocketStateName;
    /**
     * when it became so (ms)
     */
    at: number;
    /**
     * when it tries again (ms), of `reconnecting` and `offline`
     */
    retryAt: number | null;
    /**
     * failed attempts in a row
     */
    attempt: number;
    /**
     * why it is not live
     */
    error: AosuiError | null;
};
/**
 * The events of a `ProjectSocket`, in the order in which they come on a connection.
 *
 * - `state`: `socket.state` changed.
 * - `reset`: another log than before (its epoch changed): forget all output and every seq. Not
 *   fired for the first connection of a socket without a position.
 * - `gap`: events were skipped; `socket.missing` has all of them.
 * - `snapshot`: `socket.snapshot` has other runs than before: `run` is the one that changed, null
 *   when the server sent a whole snapshot. `tails` says that output before now was not replayed:
 *   `snapshot.outputTails` is where to begin.
 * - `event`: one event of the log, each once and in order; `history` when it is older than the
 *   snapshot that came before it.
 * - `error`: the server refused a frame, or is about to close (`fatal`).
 */
export type ProjectSocketEvents = {
    state: SocketState;
    reset: {
        epoch: string;
    };
    gap: Missing;
    snapshot: {
        snapshot: Snapshot;
        run: Run | null;
        tails: boolean;
    };
    event: {
        event: ProjectLogEvent;
        history: boolean;
    };
    error: {
        error: AosuiError;
        fatal: boolean;
    };
};
export type SocketOptions = {
    projectId: string;
    /**
     * or `base`, `token` and `fetch`, to make one
     */
    api?: AosuiApi | undefined;
    base?: string | URL | undefined;
    token?: string | null | undefined;
    fetch?: typeof fetch | undefined;
    /**
     * where to resume
     */
    position?: Position | null | undefined;
    /**
     * default: one a page load
     */
    clientId?: string | undefined;
    WebSocket?: WebSocketClass | undefined;
    clock?: Clock | undefined;
    random?: (() => number) | undefined;
    /**
     * default: the page's, none in Node
     */
    window?: PageWindow | null | undefined;
};
/**
 * a request without its reply
 */
export type Waiting = {
    id: string;
    text: string;
    at: number;
    epoch: string | null;
    sent: boolean;
    timer: any;
    promise: Promise<any>;
    resolve: (result: any) => void;
    reject: (error: AosuiError) => void;
};
/**
 * The events of `ProjectSockets`.
 *
 * - `projects`: the server's list changed.
 * - `state`: whether the server answers changed.
 */
export type ProjectSocketsEvents = {
    projects: {
        projects: readonly ProjectInfo[];
    };
    state: ListState;
};
/**
 * Whether the server's list is known: `unknown` before the first answer, `signedOut` after a 401.
 */
export type ListState = {
    name: "unknown" | "ok" | "offline" | "signedOut";
    at: number;
    error: AosuiError | null;
};
