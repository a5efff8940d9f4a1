"""Every command, for people and with `--json`: right answers, documented shapes, honest exit codes."""

import json
from pathlib import Path

import pytest

from tests.cli.program import Program
from tests.servers.fixtures import ServerFactory

COMMANDS = ("chat", "detect", "machine", "recommend", "engine", "servers", "keys", "config", "doctor")


def test_help_fits_a_screen_and_names_every_command(program: Program) -> None:
    result = program.run("--help")
    assert result.code == 0
    lines = result.out.splitlines()
    assert len(lines) <= 24
    assert all(len(line) <= 80 for line in lines)
    assert "..." not in result.out.partition("Commands:")[2]  # every line about a command is whole
    for name in COMMANDS:
        assert f"  {name} " in result.out


def test_detect_names_what_runs(program: Program, servers: ServerFactory) -> None:
    model = {"id": "qwen3.5-4b", "loaded": True, "context_length": 8192, "size_bytes": 2_740_000_000}
    lm_studio = servers("lm_studio", models=[model])
    impostor = servers("impostor", "--mode", "spa_html_200")
    env = {"WHISPER_LLM__LMSTUDIO__PORT": str(lm_studio.port), "OLLAMA_HOST": impostor.url}
    result = program.run("detect", "--json", env=env)
    assert result.code == 0
    assert set(result.json) == {"servers", "elapsed_ms"}
    by_url = {server["url"]: server for server in result.json["servers"]}
    found = by_url[lm_studio.url]
    assert (found["id"], found["name"], found["status"]) == ("lm_studio", "LM Studio", "available")
    assert found["latency_ms"] > 0
    assert found["models"] == [
        {
            "id": "qwen3.5-4b",
            "loaded": True,
            "context_length": 8192,
            "size_bytes": 2_740_000_000,
            "remote": False,
            "capabilities": found["models"][0]["capabilities"],
        }
    ]
    assert by_url[impostor.url]["status"] == "something_else"

    people = program.run("detect", env=env)
    assert people.code == 0
    assert "LM Studio" in people.out
    assert "loaded, 2.7 GB, 8,192 tokens of context" in people.out


def test_machine_and_recommend(program: Program) -> None:
    facts = program.run("machine", "--json").json
    assert facts["ram"]["total_bytes"] > 0
    assert set(facts) > {"os", "cpu", "ram", "gpus", "has_display", "warnings"}
    assert facts["has_display"] is False
    assert program.run("machine").out.startswith("This computer\n  Memory ")

    advice = program.run("recommend", "--json").json
    assert advice["reasons"]
    assert advice["steps"]
    assert {"preferred_server", "recommended_models", "setup_url", "memory_note"} < set(advice)
    assert program.run("recommend").out.startswith("Recommended: ")


def test_settings_are_shown_set_and_checked(program: Program) -> None:
    place = program.run("config", "path", "--json").json["config"]
    assert program.run("config", "path").out == f"{place}\n"
    assert Path(place).parent == program.home / "config"

    done = program.run("config", "set", "llm.context_window", "4096", "--json")
    assert (done.code, done.json) == (0, {"key": "llm.context_window", "value": 4096})
    assert program.run("config", "set", "llm.fallback_chain", "ollama,lmstudio").out == (
        "llm.fallback_chain is now ollama, lm_studio.\n"
    )
    shown = program.run("config", "show", "--json").json
    assert shown["settings"]["llm.context_window"] == {"value": 4096, "source": "config.yaml"}
    assert shown["problems"] == []
    assert "llm.context_window" in program.run("config", "show").out

    wrong = program.run("config", "set", "llm.context_window", "many", "--json")
    assert wrong.code == 1
    assert wrong.json["error"]["type"] == "SettingsError"
    unknown = program.run("config", "set", "llm.contxt_window", "1")
    assert unknown.code == 1
    assert "llm.contxt_window" in unknown.err


def test_a_setting_that_the_environment_overrules_is_said_to_be(program: Program) -> None:
    said = program.run("config", "set", "llm.mode", "auto", env={"WHISPER_LLM_MODE": "http"}).out
    assert said == "llm.mode is auto in config.yaml, but the environment sets it to http now.\n"


def test_a_bad_setting_is_told_once_and_json_stays_json(program: Program) -> None:
    file = program.home / "config" / "config.yaml"
    file.parent.mkdir(parents=True)
    file.write_text("llm:\n  mode: sideways\n")
    for command in (("detect",), ("engine", "status"), ("keys", "list"), ("config", "show")):
        result = program.run(*command, "--json")
        assert result.code == 0
        assert result.err.count("Note: ") == 1, command
        assert "sideways" in result.err
        assert "line 2" in result.err
        assert "problems" not in result.json or command == ("config", "show")
    mended = program.run("config", "set", "llm.mode", "auto")
    assert (mended.code, mended.err) == (0, "")


def test_doctor_asks_the_engine_and_names_what_is_wrong(program: Program) -> None:
    report = program.run("doctor", "--json")
    assert report.code == 0, report.out
    assert report.json["healthy"] is True
    checks = {check["name"]: check for check in report.json["checks"]}
    assert set(checks) >= {"settings", "keyring", "display", "engine", "servers"}
    assert checks["engine"]["ok"] is True
    assert "answers" in checks["engine"]["detail"]

    absent = program.run("doctor", "--backend", "ollama")
    assert absent.code == 1
    assert "Ollama" in absent.out
    sick = program.run("doctor", env={"WHISPER_LLM_MODE": "sideways"})
    assert sick.code == 1
    assert "PROBLEM" in sick.out
    assert "WHISPER_LLM_MODE" in sick.out


def test_a_key_that_cannot_be_kept_is_said_to_be_lost_and_is_shown_nowhere(program: Program) -> None:
    key = "sk-or-v1-0123456789abcdef"
    for flags in ((), ("--json",)):
        result = program.run("keys", "set", "openrouter", *flags, stdin=f"{key}\n".encode())
        assert result.code == 1
        told = result.out if flags else result.err
        assert "was not kept" in told
        assert "keyring" in told
        assert key not in result.out + result.err
    listed = program.run("keys", "list", "--json")
    assert (listed.code, listed.json["origins"]) == (0, [])
    assert "keyring" in program.run("keys", "list").out
    gone = program.run("keys", "remove", "openrouter", "--json")
    assert (gone.code, gone.json) == (0, {"origin": "https://openrouter.ai", "removed": False})
    kept = [path for path in program.home.rglob("*") if path.is_file() and key.encode() in path.read_bytes()]
    assert kept == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ("chat", "--backend", "nonsense", "Hi"),
            "There is no backend called “nonsense”. Known are: lm_studio",
        ),
        (("chat", "--backend", "guide", "Hi"), "--guide"),
        (("chat", "--guide", "--backend", "ollama", "Hi"), "leave out --backend"),
        (("chat", "--reach", "mars", "Hi"), "this_machine"),
        (("chat", "--nonsense"), "--nonsense"),
        (("chat", " "), "The question is empty"),
        (("chat",), "There is no question"),
        (("chat", "--json"), "There is no question"),
        (("chat", b"caf\xe9"), "not text"),
        (("engine", "logs", "-n", "0"), "0"),
        (("config", "set", "llm.mode"), "VALUE"),
        (("nonsense",), "nonsense"),
    ],
)
def test_wrong_usage_is_one_sentence_and_exit_code_2(
    program: Program, arguments: tuple[str | bytes, ...], words: str
) -> None:
    result = program.run(*arguments)
    assert result.code == 2
    assert result.raw == b""
    assert words in result.err
    assert len(result.err.splitlines()) <= 2
    assert "--help` shows how" in result.err


def test_a_group_without_a_command_shows_its_help(program: Program) -> None:
    result = program.run("engine")
    assert result.code == 2
    assert "status" in result.err


def test_json_is_ascii_where_the_output_is(program: Program) -> None:
    result = program.run(
        "config", "set", "llm.model_name", "Größe", "--json", env={"PYTHONIOENCODING": "ascii"}
    )
    assert result.code == 0
    assert json.loads(result.raw.decode("ascii"))["value"] == "Größe"
