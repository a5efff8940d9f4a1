"""`engine plan` as a process: what would be started, asked of the real engine where it is wanted."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.cli.program import Program
from whisper_desktop.cli.engine_plan import placed_layers
from whisper_desktop.engines import EngineSpec


def test_a_plan_says_what_would_be_started_and_starts_nothing(tiny: Program, model: Path) -> None:
    planned = tiny.run("engine", "plan", "--json").json
    assert (planned["model"], planned["n_ctx"], planned["asked"]) == (str(model), 256, None)
    assert planned["expected"]["total_bytes"] > planned["expected"]["weights_bytes"] > 0
    assert (planned["experts_on_host"], planned["tensor_split"]) == (0, [])
    assert planned["reasons"]
    told = tiny.run("engine", "plan", str(model)).out
    assert "tiny on " in told
    assert "context: 256 tokens" in told
    assert not list((tiny.home / "run").glob("engine-*.json"))


def test_layers_are_named_with_the_cards_that_hold_them_and_without_the_experts_beside() -> None:
    plain = EngineSpec(Path("m.gguf"), "m", 4096, n_gpu_layers=33)
    assert placed_layers(plain, 33) == "33 of 33"
    divided = replace(plain, tensor_split=(22, 11), experts_on_host=12)
    assert placed_layers(divided, 33) == "33 of 33 (22 + 11), without the experts of 12"


def test_the_engine_itself_is_asked_what_a_model_needs(tiny: Program) -> None:
    tiny.env["WHISPER_LLM__LLAMACPP__N_CTX"] = "100000"
    planned = tiny.run("engine", "plan", "--ask", "--json").json
    asked = sum(device["cache_bytes"] for device in planned["asked"]["devices"])
    assert asked == pytest.approx(planned["expected"]["cache_bytes"], rel=0.1)
    assert f"asked ({planned['asked']['source']}): " in tiny.run("engine", "plan", "--ask").out


@pytest.mark.parametrize("content", [None, b"GGUF and nothing of it", b"a text"])
def test_a_file_that_is_no_model_cannot_be_planned_for(program: Program, content: bytes | None) -> None:
    file = program.home.parent / "thing.gguf"
    if content is not None:
        file.write_bytes(content)
    refused = program.run("engine", "plan", str(file), "--json")
    assert refused.code == 1
    assert "thing.gguf" in json.dumps(refused.json["error"])


def test_without_any_model_the_plan_says_how_to_set_one(program: Program) -> None:
    refused = program.run("engine", "plan")
    assert refused.code == 1
    assert "whisper-desktop config set llm.gguf_model_path FILE" in refused.err
