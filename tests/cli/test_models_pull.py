"""`models pull` over real sockets: progress, Ctrl-C, the queue, and what goes wrong."""

import json
from pathlib import Path

import pytest

from tests.cli.here import run_here
from tests.cli.models_world import LARGE, World, hub_servers, world
from tests.servers.fixtures import ServerFactory

__all__ = ["hub_servers", "world"]

SLOW = 500_000
"""Bytes a second on each connection, so that a model takes two seconds."""


def _here(world: World, repo: str, file: str = "m-Q4_K_M.gguf") -> Path:
    return world.own / repo / file


def test_a_model_is_fetched_checked_and_used(world: World) -> None:
    offered = world.offer("puller/one")
    told = run_here(world.program, "models", "pull", "puller/one")
    assert told.code == 0, told.err
    here = _here(world, "puller/one")
    assert here.read_bytes() == offered.read_bytes()
    assert f"m-Q4_K_M is here: {here}" in told.out
    assert "models use m-Q4_K_M" in told.out
    assert run_here(world.program, "models", "use", "m-Q4_K_M").code == 0
    checked = run_here(world.program, "models", "verify", "m-Q4_K_M", "--json").json
    assert (checked["certain"], checked["whole"]) == (True, True)
    assert checked["files"][0]["expected_by"] == "the place it was downloaded from"


def test_the_command_to_use_it_names_this_one_also_among_several_of_its_name(world: World) -> None:
    world.offer("puller/left")
    world.offer("puller/right")
    told = run_here(world.program, "models", "pull", "puller/left", "puller/right").out
    for repo in ("puller/left", "puller/right"):
        here = _here(world, repo)
        assert f"models use {here}" in told
        assert run_here(world.program, "models", "use", str(here)).code == 0


def test_what_is_no_model_is_said_to_be_none(world: World) -> None:
    world.offer("puller/page").write_bytes(b"<html>" * 1000)
    told = run_here(world.program, "models", "pull", "puller/page")
    assert told.code == 1
    assert "m-Q4_K_M was fetched, but it is no model" in told.err
    assert "It is a web page, not a model." in told.err
    assert "models use" not in told.out
    again = run_here(world.program, "models", "pull", "puller/page", "--json")
    assert again.code == 1
    assert "no model" in again.json["downloads"][0]["error"]


def test_asked_for_again_it_is_not_fetched_again(world: World) -> None:
    world.offer("puller/again")
    run_here(world.program, "models", "pull", "puller/again")
    before = len(world.store.requests())
    told = run_here(world.program, "models", "pull", "puller/again", "--json").json
    assert [job["state"] for job in told["downloads"]] == ["done"]
    assert len(world.store.requests()) == before


def test_what_rotted_is_found_and_fetched_again(world: World) -> None:
    offered = world.offer("puller/rotten")
    run_here(world.program, "models", "pull", "puller/rotten")
    here = _here(world, "puller/rotten")
    with here.open("r+b") as file:
        file.seek(LARGE - 10)
        file.write(b"xxxxx")
    damaged = run_here(world.program, "models", "verify", str(here))
    assert damaged.code == 1
    assert "models pull puller/rotten" in damaged.out
    assert run_here(world.program, "models", "pull", "puller/rotten").code == 0
    assert here.read_bytes() == offered.read_bytes()


def test_a_terminal_shows_one_line_and_ctrl_c_keeps_what_has_arrived(world: World) -> None:
    offered = world.offer("puller/slow")
    world.store.set_fault("slow", str(SLOW))
    pulling = world.program.terminal("models", "pull", "puller/slow", env={"COLUMNS": "72", "LINES": "24"})
    pulling.expect(" MB/s")
    line = pulling.expect("left")
    assert "\n" not in line
    pulling.interrupt_until("Stopped.")
    assert pulling.wait() == 130
    part = _here(world, "puller/slow").with_name("m-Q4_K_M.gguf.part")
    assert part.exists()
    assert not _here(world, "puller/slow").exists()
    world.store.set_fault("none")
    before = len(world.store.requests())
    assert run_here(world.program, "models", "pull").code == 0
    assert _here(world, "puller/slow").read_bytes() == offered.read_bytes()
    assert 0 < world.asked(before) < LARGE


def test_ctrl_c_says_how_to_go_on(world: World) -> None:
    world.offer("puller/stopped")
    world.store.set_fault("slow", str(SLOW))
    pulling = world.program.terminal("models", "pull", "puller/stopped")
    pulling.expect("MB/s")
    told = pulling.interrupt_until("Stopped.")
    assert "What has arrived is kept. To go on: whisper-desktop models pull puller/stopped" in told
    journal = json.loads((world.program.home / "data" / "downloads.json").read_text())
    assert [job["state"] for job in journal["jobs"]] == ["paused"]
    listed = run_here(world.program, "models").out
    assert "Not fetched to the end yet: m-Q4_K_M.\n  To go on: whisper-desktop models pull" in listed


def test_without_a_terminal_there_are_plain_lines(world: World) -> None:
    world.offer("puller/plain")
    world.store.set_fault("slow", str(SLOW))
    told = world.program.run("models", "pull", "puller/plain")
    assert told.code == 0
    assert "\r" not in told.err
    assert "m-Q4_K_M: " in told.err


def test_several_are_fetched_one_after_the_other_and_one_that_fails_does_not_stop_the_rest(
    world: World,
) -> None:
    world.offer("puller/first")
    world.offer("puller/second", "n-Q4_K_M.gguf")
    told = run_here(
        world.program, "models", "pull", "puller/first", "puller/nothing", "puller/second", "--json"
    )
    assert told.code == 1
    assert [(job["source"], job["state"]) for job in told.json["downloads"]] == [
        ("puller/first", "done"),
        ("puller/second", "done"),
    ]
    assert [each["source"] for each in told.json["refused"]] == ["puller/nothing"]
    assert _here(world, "puller/second", "n-Q4_K_M.gguf").exists()


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("puller/gated", "licence"),
        ("qwen3-0.6", "No model in the catalogue is called qwen3-0.6."),
        ("ollama:llama9", "Ollama is not running"),
    ],
)
def test_what_cannot_be_fetched_is_explained(world: World, source: str, words: str) -> None:
    world.offer("puller/gated", gated="manual")
    told = run_here(world.program, "models", "pull", source)
    assert told.code == 1
    assert words in told.err
    error = run_here(world.program, "models", "pull", source, "--json")
    assert error.code == 1
    assert words in error.out


def test_a_checksum_that_is_never_right_leaves_nothing_that_looks_usable(world: World) -> None:
    world.offer("puller/wrong")
    world.hub.set_fault("foreign_checksums")
    told = run_here(world.program, "models", "pull", "puller/wrong")
    assert told.code == 1
    assert not _here(world, "puller/wrong").exists()
    assert "models pull puller/wrong" in told.err
    assert run_here(world.program, "models", "list", "--json").json["models"] == []


def test_two_at_the_same_time_do_not_get_in_each_other_s_way(world: World) -> None:
    world.offer("puller/both")
    world.store.set_fault("slow", str(SLOW))
    first = world.program.start("models", "pull", "puller/both")
    first.expect("m-Q4_K_M: ")
    second = world.program.run("models", "pull", "puller/both")
    assert second.code == 1
    assert "by another window or program of this app" in second.err
    assert first.wait() == 0


def test_ollama_fetches_for_us_and_its_progress_is_shown(world: World, servers: ServerFactory) -> None:
    ollama = servers("ollama", models=["llama3.2:3b"])
    env = {"OLLAMA_HOST": ollama.url}
    told = run_here(world.program, "models", "pull", "ollama:llama3.2:3b", **env)
    assert told.code == 0, told.err
    assert "llama3.2:3b is there: Ollama has it." in told.out


def test_nothing_to_go_on_with_is_no_failure(world: World) -> None:
    told = run_here(world.program, "models", "pull")
    assert (told.code, told.out) == (0, "Nothing is waiting to be fetched.\n")
