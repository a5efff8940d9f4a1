"""`machine` and `recommend`: the arithmetic, the ranking, and other computers that a file describes."""

import json
import re
from pathlib import Path

import pytest

from tests.advice.machines import FILE
from tests.cli.program import Program

LAPTOP = str(FILE.with_name("laptop.yaml"))


def test_machine_says_what_a_model_may_use_and_how_that_comes_about(program: Program) -> None:
    told = program.run("machine").out
    assert "For a model\n" in told
    assert " less " in told
    assert "GB a second" in told

    facts = program.run("machine", "--json").json
    budget = facts["budget"]
    assert 0 < budget["host_bytes"] < facts["ram"]["total_bytes"]
    assert f"{budget['host_bytes'] / 1e9:.1f} GB that may be used" in budget["host_words"]
    assert facts["figures"]["source"] in ("measured", "table", "guess")


def test_a_described_computer_is_advised_without_looking_at_this_one(program: Program) -> None:
    result = program.run("recommend", "--profile", LAPTOP)
    assert (result.code, result.err) == (0, "")
    lines = result.out.splitlines()
    assert lines[0] == "For Gaming laptop"
    assert lines[1].startswith("Recommended: LM Studio with ")
    assert "to spare at" in lines[2]
    assert "tokens/s (" in lines[3]
    assert "For chat, best first" in lines
    assert lines[-1].endswith("are not offered: the same command with --all")
    assert "free at the moment" not in result.out
    order = [
        lines.index(heading)
        for heading in ("What to do", "More about it", "What else there is", "For chat, best first")
    ]
    assert order == sorted(order)
    assert lines[lines.index("What to do") + 1].startswith("  1. Download LM Studio")
    # The table says what the sentence says.
    speed = re.search(r"tokens/s \(([^)]+)\)", lines[3])
    takes = re.search(r"takes (?:about )?(\d+ s)", lines[3])
    assert speed
    assert takes
    assert speed[1] in lines[-6]
    assert takes[1] in lines[-6]


def test_everything_that_was_looked_at_is_shown_on_request(program: Program) -> None:
    every = program.run("recommend", "--profile", LAPTOP, "--all").out
    told = program.run("recommend", "--profile", LAPTOP, "--json").json
    assert told["profile"] == "Gaming laptop"
    for choice in told["choices"]:
        assert choice["model"] in every
        assert choice["spare_bytes"] >= 0
        low, high = choice["tokens_per_second_range"]
        assert low <= choice["tokens_per_second"] <= high
    assert told["rejected"]
    for rejected in told["rejected"]:
        assert rejected["reason"] in every
    assert {"preferred_server", "recommended_models", "reasons", "steps", "alternatives"} < set(told)


def test_a_purpose_is_kept_to(program: Program) -> None:
    told = program.run("recommend", "--profile", LAPTOP, "--purpose", "code", "--json").json
    assert told["purpose"] == "code"
    assert min(choice["context"] for choice in told["choices"]) >= 32768
    wrong = program.run("recommend", "--purpose", "poetry")
    assert wrong.code == 2
    assert "'chat'" in wrong.err


def test_the_person_s_own_models_are_ranked_too(program: Program) -> None:
    own = program.home / "config" / "models.yaml"
    own.parent.mkdir(parents=True)
    own.write_text(
        "models:\n- id: Mine\n  repo: me/mine-GGUF\n  file: mine-Q4_K_M.gguf\n  size: {bytes: 1000000000}\n"
    )
    told = program.run("recommend", "--profile", LAPTOP, "--json").json
    assert "Mine" in [entry["model"] for entry in (*told["choices"], *told["rejected"])]
    own.write_text("models:\n- id: Broken\n")
    result = program.run("recommend", "--profile", LAPTOP)
    assert result.code == 0
    assert "Broken" in result.err


@pytest.mark.parametrize(
    ("text", "words"),
    [(b"os: Linux\n", "`ram_gb` is missing"), (b"\xff\xfe", "not text"), (b"ram_gb: big\n", "a number")],
)
def test_a_profile_that_is_wrong_is_explained(
    program: Program, tmp_path: Path, text: bytes, words: str
) -> None:
    file = tmp_path / "box.yaml"
    file.write_bytes(text)
    result = program.run("recommend", "--profile", str(file))
    assert (result.code, result.raw) == (1, b"")
    assert "box.yaml" in result.err
    assert words in result.err
    failed = program.run("recommend", "--profile", str(file), "--json")
    assert failed.code == 1
    assert words in json.dumps(failed.json["error"], ensure_ascii=False)


def test_a_profile_that_is_not_there_is_wrong_usage(program: Program) -> None:
    result = program.run("recommend", "--profile", "/nowhere/box.yaml")
    assert result.code == 2
    assert "box.yaml" in result.err
