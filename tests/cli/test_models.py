"""`models`: what is on this computer, what it would take, and giving back room, on real files."""

import hashlib
import os
from pathlib import Path

import pytest

from tests.cli.here import run_here
from tests.cli.models_world import LARGE, World, hub_servers, world, write_model
from tests.cli.program import PATIENCE_S

__all__ = ["hub_servers", "world"]


def test_a_computer_without_models_is_told_how_to_get_one(world: World) -> None:
    told = run_here(world.program, "models")
    assert told.code == 0
    assert told.out.splitlines()[0] == "There are no models on this computer yet."
    assert "whisper-desktop models pull" in told.out
    assert run_here(world.program, "models", "list", "--json").json == {
        "models": [],
        "disk_bytes": 0,
        "own_engine": None,
        "unfinished": [],
        "problems": [],
    }


def test_models_of_every_program_are_on_one_list(world: World) -> None:
    write_model(world.own / "mine.gguf", name="mine")
    world.lm_studio("theirs-Q8_0.gguf")
    world.ollama("llama9:1b")
    told = run_here(world.program, "models").out
    for name, program in (("mine", "this app"), ("theirs-Q8_0", "LM Studio"), ("llama9:1b", "Ollama")):
        line = next(line for line in told.splitlines() if line.startswith(name))
        assert program in line
        assert "4 MB" in line
    assert "3 models, 12 MB on the disk." in told
    listed = run_here(world.program, "models", "list", "--json").json["models"]
    assert {entry["name"]: entry["source"] for entry in listed} == {
        "mine": "own",
        "theirs-Q8_0": "lm_studio",
        "llama9:1b": "ollama",
    }
    assert [entry["size_bytes"] for entry in listed] == [LARGE] * 3


def test_what_is_not_whole_is_said_and_not_listed(world: World) -> None:
    write_model(world.own / "half-00001-of-00002.gguf")
    told = run_here(world.program, "models", "list")
    assert told.out.startswith("There are no models")
    assert "half" in told.err
    assert "part 2 is not in" in told.err


# --- fit --------------------------------------------------------------------------------------------------


def test_a_model_of_the_catalogue_is_weighed_without_a_network(world: World) -> None:
    told = run_here(world.program, "models", "fit", "Qwen3-0.6B", HF_ENDPOINT="http://127.0.0.1:9").out
    assert "Qwen3-0.6B fits in memory with" in told
    assert "KV cache" in told
    assert "The figures are from the catalogue" in told
    assert "To fetch it: whisper-desktop models pull Qwen3-0.6B" in told
    facts = run_here(world.program, "models", "fit", "Qwen3-0.6B", "--json", "--context", "4096").json
    need, part = facts["need"], facts["need"]["host"]
    assert facts["context"] == 4096
    assert facts["figures_from"] == "catalogue"
    assert need["total_bytes"] == part["total_bytes"] + sum(gpu["total_bytes"] for gpu in need["gpus"])
    assert part["total_bytes"] == sum(size for name, size in part.items() if name != "total_bytes")
    assert part["cache_bytes"] == 4096 * 28 * 8 * (128 + 128) * 2
    if facts["mode"] == "cpu":
        assert facts["spare_bytes"] == facts["budget"]["host_bytes"] - part["total_bytes"]


def test_of_a_file_on_the_hub_only_the_header_is_fetched(world: World) -> None:
    from tests.models.sparse_gguf import SMALL, write_sparse

    file = world.folder / "o" / "sparse" / "sparse-Q4_K_M.gguf"
    file.parent.mkdir(parents=True, exist_ok=True)
    write_sparse(file, SMALL)
    before = len(world.store.requests())
    told = run_here(world.program, "models", "fit", "o/sparse/sparse-Q4_K_M.gguf", "--json").json
    assert told["figures_from"] == "header"
    assert told["size_bytes"] == file.stat().st_size > 20_000_000
    assert told["layers"] == 5
    assert told["train_context"] == 131_072
    assert told["path"] is None
    assert "only the beginning was fetched" in told["sentences"][-1]
    assert 0 < world.asked(before) < 5_000_000
    by_quant = run_here(world.program, "models", "fit", "o/sparse:Q4_K_M", "--json").json
    assert by_quant["need"] == told["need"]


def test_a_model_that_does_not_fit_is_said_calmly_with_what_is_missing(world: World) -> None:
    told = run_here(world.program, "models", "fit", "Qwen3.5-122B-A10B", "--context", "262144")
    assert told.code == 0
    assert "does not fit on this computer" in told.out
    assert "more memory would be needed" in told.out or "more on the graphics card" in told.out
    facts = run_here(world.program, "models", "fit", "Qwen3.5-122B-A10B", "--json").json
    assert facts["fits"] is False
    assert facts["missing"]["bytes"] > 0
    assert facts["speed"] is None


def test_a_context_beyond_what_a_model_was_trained_with_is_of_no_use(world: World) -> None:
    told = run_here(world.program, "models", "fit", "TinyLlama-1.1B-Chat-v1.0", "--context", "9000").out
    assert "at 2,048 tokens of context" in told
    assert "trained with 2,048 tokens, so that 9,000 would be of no use" in told


@pytest.mark.reference_engine
def test_a_file_that_is_here_is_checked_with_the_engine(world: World, reference_llama_server: Path) -> None:
    from tests.models.sparse_gguf import SMALL, write_sparse

    file = write_sparse(world.home / "small-Q4_K_M.gguf", SMALL)
    env = {"WHISPER_LLM__LLAMACPP__SERVER_PATH": str(reference_llama_server)}
    told = run_here(world.program, "models", "fit", str(file), "--context", "4096", "--json", **env).json
    alone = run_here(
        world.program, "models", "fit", str(file), "--context", "4096", "--json", "--no-ask", **env
    ).json
    assert (told["figures_from"], told["asked"]) == ("file", "llama-fit-params")
    assert alone["asked"] is None
    ours, theirs = alone["need"]["total_bytes"], told["need"]["total_bytes"]
    assert abs(ours - theirs) <= 0.02 * theirs
    assert "checked with llama-server" in told["sentences"][-1]


def test_a_name_that_nothing_has_comes_with_those_close_to_it(world: World) -> None:
    told = run_here(world.program, "models", "fit", "qwen3-0.6")
    assert told.code == 1
    assert told.err.startswith("No model on this computer or in the catalogue is called qwen3-0.6.")
    assert "Qwen3-0.6B" in told.err
    assert "models search qwen3-0.6" in told.err


# --- search -----------------------------------------------------------------------------------------------


def test_a_name_of_any_length_and_form_is_only_a_name(world: World) -> None:
    for name in ("x" * 3000, "two words", "$(id)"):
        told = run_here(world.program, "models", "fit", name)
        assert told.code == 1
        assert f"is called {name[:100]}." in told.err
    assert "`whisper-desktop models search '$(id)'`" in told.err


def test_a_mistake_in_the_person_s_own_models_is_said_where_one_is_missed(world: World) -> None:
    own = world.program.home / "config" / "models.yaml"
    own.parent.mkdir(parents=True, exist_ok=True)
    own.write_text("- id: mine\n  repo: 3\n")
    for command in ("search", "fit"):
        assert "models.yaml" in run_here(world.program, "models", command, "mine-own").err


def test_a_search_shows_what_we_know_and_what_the_hub_has(world: World) -> None:
    world.offer("finder/qwen3-special", downloads=4321, gated="manual")
    told = run_here(world.program, "models", "search", "qwen3").out
    assert "Qwen3-0.6B" in told
    line = next(line for line in told.splitlines() if "finder/qwen3-special" in line)
    assert "4,321" in line
    assert "asks for a licence" in line
    listed = run_here(world.program, "models", "search", "qwen3", "--json").json
    assert "finder/qwen3-special" in [each["repository"] for each in listed["repositories"]]
    assert listed["problem"] is None


def test_a_repository_shows_its_files(world: World) -> None:
    file = world.offer("finder/files", "big-Q8_0.gguf")
    write_model(file.with_name("small-Q4_K_M.gguf"))
    told = run_here(world.program, "models", "search", "finder/files").out
    assert told.index("small-Q4_K_M.gguf") < told.index("big-Q8_0.gguf")
    assert "models pull finder/files/small-Q4_K_M.gguf" in told


def test_without_a_network_a_search_still_finds_what_we_know(world: World) -> None:
    env = {"HF_ENDPOINT": "http://127.0.0.1:9"}
    told = run_here(world.program, "models", "search", "gemma", **env)
    assert told.code == 0
    assert "gemma-3-1b-it" in told.out
    assert "127.0.0.1:9 cannot be asked" in told.err
    assert run_here(world.program, "models", "search", "zzzz", **env).code == 1


# --- verify -----------------------------------------------------------------------------------------------


def test_a_blob_of_ollama_is_compared_with_its_name(world: World) -> None:
    blob = world.ollama("llama9:1b")
    intact = run_here(world.program, "models", "verify", "llama9:1b", "--json").json
    assert (intact["whole"], intact["certain"]) == (True, True)
    assert intact["files"][0]["expected_by"] == "Ollama"
    changed = os.stat(blob)
    with blob.open("r+b") as file:
        file.seek(LARGE - 10)
        file.write(b"x")
    os.utime(blob, ns=(changed.st_atime_ns, changed.st_mtime_ns))
    damaged = run_here(world.program, "models", "verify", "llama9:1b")
    assert damaged.code == 1
    assert "is damaged" in damaged.out
    assert "models pull ollama:llama9:1b" in damaged.out


def test_a_check_that_takes_long_shows_how_far_it_is_and_can_be_stopped(world: World) -> None:
    from tests.models.sparse_gguf import EIGHT_BILLION, write_sparse

    blob = world.ollama("llama9:1b")
    write_sparse(blob, EIGHT_BILLION)
    checking = world.program.terminal("models", "verify", "llama9:1b")
    checking.expect("Reading llama9:1b, ")
    checking.type("\x03")
    checking.expect("Stopped.")
    assert checking.wait() == 130


def test_without_a_checksum_the_structure_counts_and_that_is_said(world: World) -> None:
    file = write_model(world.own / "mine.gguf")
    told = run_here(world.program, "models", "verify", "mine")
    assert told.code == 0
    assert "No checksum is known" in told.out
    os.truncate(file, 90_000)
    short = run_here(world.program, "models", "verify", "mine")
    assert short.code == 1
    assert "bytes are missing at its end" in short.out


def test_the_catalogue_s_checksum_counts_where_nobody_else_tells_one(world: World) -> None:
    file = write_model(world.own / "known-Q4_K_M.gguf")
    own = world.program.home / "config" / "models.yaml"
    own.parent.mkdir(parents=True)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    entry = (
        "models:\n- id: Known\n  repo: me/known\n  file: known-Q4_K_M.gguf\n"
        "  size: {bytes: %d}\n  sha256: %s\n"
    )
    own.write_text(entry % (LARGE, digest))
    told = run_here(world.program, "models", "verify", "known-Q4_K_M", "--json").json
    assert (told["whole"], told["certain"], told["files"][0]["expected_by"]) == (True, True, "the catalogue")
    own.write_text(entry % (LARGE, "a" * 64))
    assert run_here(world.program, "models", "verify", "known-Q4_K_M").code == 1


def test_a_file_that_lies_anywhere_is_checked_too(world: World, tmp_path: Path) -> None:
    path = write_model(tmp_path / "far" / "a way.gguf")
    told = run_here(world.program, "models", "verify", str(path))
    assert told.code == 0
    assert told.out.startswith("a way is whole as far as its structure tells.")
    os.truncate(path, 90_000)
    assert run_here(world.program, "models", "verify", str(path)).code == 1


# --- use --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("whose", ["ollama", "lm_studio", "own", "file"])
def test_a_model_is_used_where_it_lies(world: World, whose: str, tmp_path: Path) -> None:
    match whose:
        case "ollama":
            path, name = world.ollama("llama9:1b"), "llama9:1b"
        case "lm_studio":
            path, name = world.lm_studio("theirs.gguf"), "theirs"
        case "own":
            path, name = write_model(world.own / "mine.gguf"), "mine"
        case _:
            path = write_model(tmp_path / "far" / "away.gguf")
            name = str(path)
    told = run_here(world.program, "models", "use", name, "--json").json
    assert told["path"] == str(path)
    shown = run_here(world.program, "config", "show", "--json").json
    assert str(path) in str(shown)
    planned = run_here(world.program, "engine", "plan", "--json").json
    assert planned["model"] == str(path)
    listed = run_here(world.program, "models").out
    assert ("* The app's own engine runs it." in listed) == (whose != "file")
    assert (f"The app's own engine runs {path}." in listed) == (whose == "file")
    assert str(path) in run_here(world.program, "models", "list", "--paths").out


def test_a_model_that_is_not_here_yet_comes_with_the_command_that_fetches_it(world: World) -> None:
    for command in ("use", "verify", "remove"):
        told = run_here(world.program, "models", command, "qwen3-0.6b")
        assert told.code == 1
        assert "Qwen3-0.6B is not on this computer yet." in told.err
        assert "`whisper-desktop models pull Qwen3-0.6B`" in told.err


def test_a_model_of_ollama_is_found_without_its_usual_tag(world: World) -> None:
    blob = world.ollama("llama9:latest")
    assert run_here(world.program, "models", "use", "llama9", "--json").json["path"] == str(blob)
    assert run_here(world.program, "models", "fit", "llama9", "--json").json["path"] == str(blob)


def test_a_blob_is_called_by_the_title_in_its_header(world: World, tmp_path: Path) -> None:
    blob = write_model(tmp_path / ("sha256-" + "0" * 64), name="Tiny 1B")
    assert run_here(world.program, "models", "use", str(blob), "--json").json["model"] == "Tiny 1B"


def test_what_cannot_answer_is_not_used(world: World) -> None:
    file = write_model(world.own / "mine.gguf")
    os.truncate(file, 90_000)
    refused = run_here(world.program, "models", "use", "mine")
    assert refused.code == 1
    assert "bytes too short" in refused.err
    assert run_here(world.program, "models", "use", "nothing").code == 1


def test_a_stronger_setting_is_named(world: World) -> None:
    write_model(world.own / "mine.gguf")
    told = run_here(world.program, "models", "use", "mine", WHISPER_GGUF_MODEL_PATH="/elsewhere.gguf")
    assert told.code == 0
    assert "the environment sets llm.gguf_model_path to another file" in told.err


# --- remove -----------------------------------------------------------------------------------------------


def test_deleting_says_what_it_frees_and_only_happens_when_it_was_said(world: World) -> None:
    file = write_model(world.own / "mine.gguf")
    unasked = run_here(world.program, "models", "remove", "mine")
    assert unasked.code == 1
    assert "Delete mine, which frees 4 MB?" in unasked.err
    assert "--yes" in unasked.err
    assert file.exists()
    done = run_here(world.program, "models", "remove", "mine", "--yes", "--json").json
    assert done["files"] == [str(file)]
    assert abs(done["freed_bytes"] - LARGE) < 10_000
    assert not file.exists()


def test_a_person_at_the_terminal_is_asked_and_may_say_no(world: World) -> None:
    file = write_model(world.own / "mine.gguf")
    asked = world.program.terminal("models", "remove", "mine")
    asked.expect("Delete mine, which frees 4 MB? [y/N]")
    asked.type("n\n")
    assert asked.wait() == 130
    assert file.exists()
    asked = world.program.terminal("models", "remove", "mine")
    asked.expect("[y/N]")
    asked.interrupt_until("Stopped.")
    assert asked.wait() == 130
    assert file.exists()
    asked = world.program.terminal("models", "remove", "mine")
    asked.expect("[y/N]")
    asked.type("y\n")
    assert "is deleted" in asked.rest()
    assert not file.exists()


def test_what_ollama_keeps_is_deleted_by_ollama(world: World) -> None:
    blob = world.ollama("llama9:1b")
    refused = run_here(world.program, "models", "remove", "llama9:1b", "--yes")
    assert refused.code == 1
    assert "ollama rm llama9:1b" in refused.err
    assert blob.exists()


def test_one_of_several_with_the_same_name_has_to_be_named_by_its_file(world: World) -> None:
    mine, theirs = write_model(world.own / "same.gguf"), world.lm_studio("same.gguf")
    refused = run_here(world.program, "models", "remove", "same", "--yes")
    assert refused.code == 1
    assert str(theirs) in refused.err
    assert run_here(world.program, "models", "remove", str(mine), "--yes").code == 0
    assert (mine.exists(), theirs.exists()) == (False, True)


def test_the_model_that_an_engine_has_open_is_not_deleted(world: World) -> None:
    file = write_model(world.own / "mine.gguf")
    world.program.env |= {
        "WHISPER_GGUF_MODEL_PATH": str(file),
        "WHISPER_LLM__LLAMACPP__N_CTX": "256",
    }
    engine = world.program.start("engine", "start")
    engine.expect("is ready")
    refused = world.program.run("models", "remove", "mine", "--yes")
    assert refused.code == 1
    assert "An engine uses it right now" in refused.err
    assert file.exists()
    assert world.program.run("engine", "stop").code == 0
    engine.process.wait(PATIENCE_S)
    used = world.program.run("models", "list", "--json").json["models"][0]["last_used"]
    assert used is not None
    assert "just now" in world.program.run("models").out


# --- dedupe -----------------------------------------------------------------------------------------------


def test_copies_become_links_and_other_programs_files_only_with_consent(world: World) -> None:
    mine = write_model(world.own / "mine.gguf")
    theirs = world.lm_studio("theirs.gguf", like=mine)
    blob = world.ollama("llama9:1b", like=mine)
    unasked = run_here(world.program, "models", "dedupe")
    assert unasked.code == 1
    assert "is here 3 times" in unasked.out
    assert "1 of them belongs to another program and is left alone" in unasked.out
    assert len({path.stat().st_ino for path in (mine, theirs, blob)}) == 3

    before = {path: path.stat().st_ino for path in (theirs, blob)}
    linked = run_here(world.program, "models", "dedupe", "--yes", "--json")
    assert linked.code == 0
    done = linked.json
    assert done["linked"] == [str(mine)]
    assert len(done["left"]) == 1
    assert abs(done["freed_bytes"] - LARGE) < 10_000
    assert {path: path.stat().st_ino for path in (theirs, blob)} == before

    assert run_here(world.program, "models", "dedupe", "--yes", "--also-others").code == 0
    assert len({path.stat().st_ino for path in (mine, theirs, blob)}) == 1
    assert "No model is here more than once." in run_here(world.program, "models", "dedupe").out
