"""
A stand-in for the `claude` command: it speaks stream-json as Claude Code does, without a network.

What it does is the prompt's first word. Everything it is given goes into `seen.jsonl` beside it:
its arguments and some of its environment first, then each frame.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

SEEN = Path(__file__).resolve().with_name("seen.jsonl")
SESSION = next(
    (arg.partition("=")[2] for arg in sys.argv if arg.startswith("--resume=")), "session-1"
)
Frame = dict[str, Any]


class Interrupted(Exception):
    """The SDK asked for an interrupt."""


def see(what: object) -> None:
    with SEEN.open("a") as file:
        file.write(json.dumps(what) + "\n")


def write(frame: Frame) -> None:
    sys.stdout.write(json.dumps(frame) + "\n")
    sys.stdout.flush()


def read() -> Frame:
    """Read a frame; the end of the input is the end of this program."""
    line = sys.stdin.readline()
    if not line:
        raise SystemExit(0)
    frame: Frame = json.loads(line)
    see(frame)
    if frame["type"] == "control_request":
        request = frame["request"]["subtype"]
        answer = {"subtype": "success", "request_id": frame["request_id"], "response": {}}
        write({"type": "control_response", "response": answer})
        if request == "interrupt":
            raise Interrupted
        return read()
    return frame


def ask(*uses: tuple[str, Frame], **more: Any) -> list[Frame]:
    """Ask for permission to use tools, all at once, and return the answers in order."""
    ids = []
    for number, (tool, arguments) in enumerate(uses):
        ids.append(str(uuid.uuid4()))
        request = {"subtype": "can_use_tool", "tool_name": tool, "input": arguments}
        request |= {"tool_use_id": f"use-{number}"} | more
        write({"type": "control_request", "request_id": ids[-1], "request": request})
    answers: dict[str, Frame] = {}
    try:
        while len(answers) < len(ids):
            frame = read()
            answers[frame["response"]["request_id"]] = frame["response"]
    except Interrupted:
        for request_id in ids:
            write({"type": "control_cancel_request", "request_id": request_id})
        raise
    return [answers[request_id].get("response", answers[request_id]) for request_id in ids]


def stream(text: str) -> None:
    event = {"type": "content_block_delta", "index": 0}
    delta = {"type": "text_delta", "text": text}
    write(
        {"type": "stream_event", "uuid": "u", "session_id": SESSION}
        | {"event": event | {"delta": delta}}
    )


def assistant(*blocks: Frame, **more: Any) -> None:
    message = {"role": "assistant", "model": "stand-in", "content": list(blocks)}
    write({"type": "assistant", "message": message, "session_id": SESSION} | more)


def text(words: str) -> Frame:
    return {"type": "text", "text": words}


def use(tool: str, arguments: Frame) -> Frame:
    return {"type": "tool_use", "id": "use-0", "name": tool, "input": arguments}


def tool_result(content: Any, *, is_error: bool = False) -> None:
    block = {"type": "tool_result", "tool_use_id": "use-0", "content": content}
    message = {"role": "user", "content": [block | {"is_error": is_error}]}
    write({"type": "user", "message": message, "session_id": SESSION})


def result(words: str, **more: Any) -> None:
    frame = {"type": "result", "subtype": "success", "is_error": False, "result": words}
    frame |= {"duration_ms": 1500, "duration_api_ms": 900, "num_turns": 2}
    frame |= {"session_id": SESSION, "total_cost_usd": 0.0123, "usage": {"output_tokens": 7}}
    write(frame | more)


def hello() -> None:
    stream("Hel")
    stream("lo.")
    assistant(text("Hello."))
    result("Hello.")


def tools() -> None:
    assistant({"type": "thinking", "thinking": "Let me look.", "signature": "s"})
    assistant(text("I run the tests."), use("Bash", {"command": "npm test", "timeout": 5}))
    tool_result([{"type": "text", "text": "\n".join(f"line {n}" for n in range(1, 13))}])
    assistant(text("A part of it."), parent_tool_use_id="use-0")
    assistant(text("They pass."))
    result("They pass.")


def permission() -> None:
    suggestion = {"type": "setMode", "mode": "acceptEdits", "destination": "session"}
    assistant(use("Bash", {"command": "rm -rf build"}))
    (answer,) = ask(
        ("Bash", {"command": "rm -rf build"}),
        title="Claude wants to remove the build",
        permission_suggestions=[suggestion],
    )
    allowed = answer["behavior"] == "allow"
    tool_result("removed" if allowed else answer["message"], is_error=not allowed)
    result(json.dumps(answer))


def several() -> None:
    answers = ask(*(("Write", {"file_path": name, "content": "x" * 9000}) for name in "abc"))
    result(" ".join(answer["behavior"] for answer in answers))


def question() -> None:
    colours = [{"label": "Red", "description": "like a rose"}, {"label": "Blue"}]
    questions = [
        {"question": "Which colour?", "header": "Colour", "options": colours},
        {
            "question": "Which sizes?",
            "multiSelect": True,
            "options": [{"label": "S"}, {"label": "L"}],
        },
    ]
    (answer,) = ask(("AskUserQuestion", {"questions": questions}))
    result(json.dumps(answer))


def long_question() -> None:
    (answer,) = ask(("AskUserQuestion", {"questions": [{"question": "?" * 13_000}]}))
    result(json.dumps(answer))


def malformed_question() -> None:
    (answer,) = ask(("AskUserQuestion", {"questions": [{"text": "What?"}]}))
    result(json.dumps(answer))


def wait() -> None:
    stream("Working")
    try:
        read()
    except Interrupted:
        result("", subtype="error_during_execution", is_error=True, errors=["interrupted"])


def deaf() -> NoReturn:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sleeper = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)"
    child = subprocess.Popen([sys.executable, "-c", sleeper], start_new_session=True)
    see({"pids": [os.getpid(), child.pid]})
    stream("Deaf")
    while True:
        signal.pause()


def leaves() -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True
    )
    see({"pids": [os.getpid(), child.pid]})
    result("There is a server now.")


def killed() -> None:
    stream("Dying")
    os.kill(os.getpid(), signal.SIGKILL)


def fails() -> NoReturn:
    sys.stderr.write("starting\nthe credentials have expired\n")
    sys.stderr.flush()
    raise SystemExit(3)


def malformed() -> None:
    sys.stdout.write('{"type": "assistant", "message"\n')
    sys.stdout.flush()
    read()


def strange() -> None:
    write({"type": "assistant", "message": {"content": []}})
    read()


def error() -> NoReturn:
    result("", subtype="error_max_turns", is_error=True, errors=["too many turns"])
    raise SystemExit(1)


def mute() -> NoReturn:
    raise SystemExit(0)


def huge() -> None:
    assistant(text("half an emoji: \ud83d"), use("Read", {"file_path": "a", "n": 2**70}))
    tool_result("y" * 300_000)
    tool_result([{"type": "text", "text": "z\n" * 2} for _ in range(20_000)])
    deep: Any = "end"
    for _ in range(300):
        deep = [deep]
    tool_result(deep)
    result("w" * 50_000)


def more_work() -> None:
    """Let a helper in the background end after the first result: there is a second one."""
    task = {"type": "system", "task_id": "t", "uuid": "u", "session_id": SESSION}
    write(task | {"subtype": "task_started", "description": "", "task_type": "local_agent"})
    result("first")
    done = {"subtype": "task_notification", "status": "completed", "output_file": "", "summary": ""}
    write(task | done)
    result("second")


def resumed() -> None:
    result(f"Going on with {SESSION}.")


def main() -> None:
    names = ("AOSUI_TOKEN", "AOSUI_PROCESS", "PWD")
    see({"argv": sys.argv[1:], "env": {name: os.environ.get(name) for name in names}})
    scenarios: dict[str, Callable[[], object]] = {
        name: value for name, value in globals().items() if callable(value)
    }
    prompt = read()["message"]["content"]
    version = {"claude_code_version": "9.9.9", "model": "stand-in", "permissionMode": "default"}
    init = {"type": "system", "subtype": "init", "session_id": SESSION, "cwd": os.getcwd()}
    write(init | version)
    scenarios[
        "resumed" if prompt.startswith("You were stopped") else prompt.split()[0].strip("/")
    ]()
    while True:
        read()


if __name__ == "__main__":
    main()
