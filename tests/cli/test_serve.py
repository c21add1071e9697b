"""`aosui serve` as a real process: where it is, what it remembers, how it ends."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import socket
import time
import urllib.error
import urllib.request
from typing import Any

import pytest

from aosui.client import Api, connect

from .conftest import Cli, Server


def get(server: Server, path: str, token: str | None = None, **headers: str) -> Any:
    request = urllib.request.Request(server.url + path, headers=headers)
    if token is not None:
        request.add_header("Authorization", f"Bearer {token}")
    with urllib.request.urlopen(request, timeout=5) as response:
        return json.load(response)


def roots(server: Server) -> list[str]:
    return [one["root"] for one in get(server, "api/projects", server.token)["projects"]]


def test_it_says_where_it_is_and_serves_the_directories(cli: Cli) -> None:
    server = cli.serve(cli.project)
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/#token=[A-Za-z0-9_-]{16,}", server.link)
    assert get(server, "health") == {"status": "ok"}
    assert roots(server) == [str(cli.project)]


def test_a_directory_alone_is_serve(cli: Cli) -> None:
    started = cli.start(cli.project, "--port", 0)
    started.stdout.until("aosui is running at http://127")


def test_options_alone_are_serve(cli: Cli) -> None:
    cli.start("--port", 0, "--log", "memory").stdout.until("aosui is running at http://127")


def test_the_token_is_kept_over_restarts_for_its_owner_alone(cli: Cli) -> None:
    first = cli.serve()
    first.send(signal.SIGTERM)
    assert first.wait() == 0
    assert (cli.state / "token").stat().st_mode & 0o777 == 0o600
    assert cli.serve().token == first.token


def test_the_token_of_the_option_goes_before_that_of_the_environment(cli: Cli) -> None:
    server = cli.serve("--token", "o" * 16, AOSUI_TOKEN="e" * 16)
    assert server.token == "o" * 16
    server.send(signal.SIGTERM)
    server.wait()
    server = cli.serve(AOSUI_TOKEN="e" * 16)
    assert server.token == "e" * 16
    with pytest.raises(urllib.error.HTTPError, match="401"):
        get(server, "api/projects", "o" * 16)
    assert not (cli.state / "token").exists()


@pytest.mark.parametrize("token", ["short", "with space and more", "ünïcödeünïcödeünïcöde"])
def test_a_weak_token_is_refused(cli: Cli, token: str) -> None:
    for ended in (cli.run("serve", "--token", token), cli.run("serve", AOSUI_TOKEN=token)):
        assert ended.returncode == 2
        assert "at least 16 characters" in ended.stderr


def test_a_prefix_is_part_of_the_url(cli: Cli) -> None:
    server = cli.serve("--prefix", "/tools/aosui/")
    assert server.url.endswith("/tools/aosui/")
    assert get(server, "health") == {"status": "ok"}


def test_a_second_server_on_the_same_log_exits_with_3_and_says_who_has_it(cli: Cli) -> None:
    server = cli.serve()
    ended = cli.run("serve", "--port", 0)
    assert ended.returncode == 3
    assert str(server.process.pid) in ended.stderr
    assert server.link in ended.stderr


def test_a_port_that_is_taken_is_named(cli: Cli) -> None:
    server = cli.serve()
    ended = cli.run("serve", "--port", server.port, "--log", "memory")
    assert ended.returncode == 2
    assert f"cannot listen on 127.0.0.1:{server.port}" in ended.stderr


def test_a_log_that_cannot_be_had_is_named(cli: Cli) -> None:
    ended = cli.run("serve", "--log", "/proc/no/such.db")
    assert ended.returncode == 2
    assert "/proc/no/such.db" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_directory_that_is_none_is_named(cli: Cli) -> None:
    ended = cli.run("serve", "/no/such/directory")
    assert ended.returncode == 2
    assert "/no/such/directory" in ended.stderr


def test_a_config_that_is_wrong_is_named(cli: Cli) -> None:
    path = cli.home / "my.toml"
    path.write_text("[limits]\nruns = 'many'")
    ended = cli.run("serve", "--config", path)
    assert ended.returncode == 2
    assert f"{path}: limits.runs: Expected `int`" in ended.stderr


def test_the_config_is_used(cli: Cli) -> None:
    path = cli.home / "config" / "aosui" / "aosui.toml"
    path.parent.mkdir(parents=True)
    path.write_text(f'[server]\nprefix = "x"\nroot = ["{cli.home}"]\n[executors.nobody]\n')
    server = cli.serve()
    assert server.url.endswith("/x/")
    listed = get(server, "api/executors", server.token)["executors"]
    assert {one["name"]: one["status"] for one in listed if one["name"] in ("talk", "nobody")} == {
        "talk": "ok",
        "nobody": "broken",
    }


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
def test_projects_are_opened_again(cli: Cli, end: signal.Signals) -> None:
    other = cli.home / "other"
    other.mkdir()
    server = cli.serve(cli.project, other, "--log", "memory")
    server.send(end)
    server.wait()
    assert roots(cli.serve()) == [str(cli.project), str(other)]


def test_a_project_that_is_gone_is_said_so_and_skipped(cli: Cli) -> None:
    other = cli.home / "other"
    other.mkdir()
    server = cli.serve(other, cli.project)
    server.send(signal.SIGTERM)
    server.wait()
    other.rmdir()
    server = cli.serve()
    assert roots(server) == [str(cli.project)]
    server.stderr.until(rf"a project is gone.*{other}")


def test_a_project_opened_by_the_page_is_remembered(cli: Cli) -> None:
    async def open_and_close(link: str) -> None:
        async with Api(link) as api:
            project = await api.call("POST", "projects", body={"root": str(cli.project)})
            other = await api.call("POST", "projects", body={"root": str(cli.home)})
            await api.call("DELETE", "projects", other["projectId"])
            assert project["root"] == str(cli.project)

    server = cli.serve()
    asyncio.run(open_and_close(server.link))
    server.send(signal.SIGKILL)
    server.wait()
    assert roots(cli.serve()) == [str(cli.project)]


def test_outside_the_roots_the_page_opens_nothing(cli: Cli) -> None:
    async def try_to(link: str) -> str:
        async with Api(link) as api:
            try:
                await api.call("POST", "projects", body={"root": "/"})
            except Exception as error:
                return type(error).__name__
        return "opened"

    assert asyncio.run(try_to(cli.serve().link)) == "OutsideRoot"


def test_others_are_let_in_only_when_asked_for(cli: Cli) -> None:
    ended = cli.run("serve", "--host", "0.0.0.0")
    assert (ended.returncode, "--allow-host" in ended.stderr) == (2, True)
    ended = cli.run("serve", "--host", "0.0.0.0", "--allow-host", "ui.example.org")
    assert (ended.returncode, "--token or AOSUI_TOKEN" in ended.stderr) == (2, True)
    ended = cli.run("serve", "--allow-host", "*")
    assert (ended.returncode, "--allow-host *" in ended.stderr) == (2, True)


def test_beyond_loopback_it_says_what_that_means(cli: Cli) -> None:
    server = cli.serve(
        "--host", "0.0.0.0", "--allow-host", "https://ui.example.org", AOSUI_TOKEN="e" * 16
    )
    assert server.link == f"https://ui.example.org/#token={'e' * 16}"
    server.stderr.until("Everybody who reaches port")
    [running] = (cli.state / "servers").glob("*.json")
    url = json.loads(running.read_text())["url"]
    with urllib.request.urlopen(url + "health", timeout=5) as response:
        assert json.load(response) == {"status": "ok"}
    allowed = urllib.request.Request(url + "health", headers={"Host": "ui.example.org"})
    with urllib.request.urlopen(allowed, timeout=5) as response:
        assert response.status == 200
    foreign = urllib.request.Request(url + "health", headers={"Host": "evil.example.org"})
    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(foreign, timeout=5)


def test_no_token_and_no_query_reaches_the_log(cli: Cli) -> None:
    server = cli.serve(cli.project)
    with pytest.raises(urllib.error.HTTPError, match="401"):
        get(server, f"api/projects?token={server.token}&secret=hidden")
    get(server, "health?verbose=1", server.token)
    with pytest.raises(urllib.error.HTTPError, match="404"):
        get(server, f"no/{server.token}/such%0apath")
    server.send(signal.SIGTERM)
    said = server.stderr.rest()
    assert "GET /api/projects 401" in said
    assert "GET /no/•••/such%0apath 404" in said or "GET /no/•••/such%0Apath 404" in said
    assert server.token not in said
    assert "hidden" not in said


@pytest.mark.slow
def test_headers_that_never_end_are_cut_off_within_ten_seconds(cli: Cli) -> None:
    server = cli.serve()
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as line:
        line.sendall(b"GET / HTTP/1.1\r\nHost: 127")
        began = time.monotonic()
        assert line.recv(1000) == b""
        assert time.monotonic() - began < 10


async def test_a_second_ctrl_c_ends_it_at_once(cli: Cli) -> None:
    server = cli.serve(cli.project)
    await start_stubborn(server)
    server.send(signal.SIGINT)
    await until_interrupted(server)
    began = time.monotonic()
    server.send(signal.SIGINT)
    assert await asyncio.to_thread(server.wait) == 130
    assert time.monotonic() - began < 1
    assert roots(cli.serve()) == [str(cli.project)]


async def until_interrupted(server: Server) -> None:
    """Wait until the first signal has arrived: nobody is let in any more."""
    while True:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", server.port)
        except OSError:
            return
        writer.close()
        await asyncio.sleep(0.01)


async def start_stubborn(server: Server) -> str:
    async with Api(server.link) as api:
        [project] = (await api.projects())[0] or []
        async with connect(server.link, project["projectId"]) as socket:
            started = await socket.start("talk:stubborn")
            async for event in socket:
                if event["type"] == "run.output":
                    return str(started["runId"])
    raise AssertionError("the run said nothing")


async def test_a_client_follows_over_kill_and_restart(cli: Cli) -> None:
    server = cli.serve(cli.project)
    async with Api(server.link) as api:
        [project] = (await api.projects())[0] or []
    async with connect(server.link, project["projectId"]) as socket:
        await socket.start("talk:wait")
        seqs = []
        async for event in socket:
            assert event["type"] not in ("gap", "reset")
            seqs.append(event["seq"])
            if event["type"] == "run.output":
                server.send(signal.SIGKILL)
                await asyncio.to_thread(server.wait)
                cli.serve(port=server.port)
            if event["type"] == "run.updated" and event["run"]["endedAt"]:
                assert event["run"]["state"] == "interrupted"
                break
    assert seqs == list(range(1, len(seqs) + 1))


def test_it_says_its_version(cli: Cli) -> None:
    assert re.fullmatch(r"aosui \d+\.\d+\.\d+\S*\n", cli.run("--version").stdout)
