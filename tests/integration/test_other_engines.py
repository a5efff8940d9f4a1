"""Engines that run on several computers already, and proxies before them: used by address and key."""

from pathlib import Path

import pytest

from tests.cli.program import Program, program
from tests.servers.fixtures import ServerFactory

__all__ = ["program"]

KEY = "sk-of-the-cluster-0123456789"
ENGINES = {
    "vLLM": ("vllm", "llama-3.2-3b-instruct"),
    "SGLang": ("sglang", "qwen3-8b"),
    "Ray Serve, LiteLLM and whatever else speaks OpenAI's API": ("generic", "team/large"),
}


@pytest.fixture
def at_home(program: Program, tmp_path: Path) -> Program:
    """The program, with a keyring."""
    program.env["PYTHON_KEYRING_BACKEND"] = "tests.integration.file_keyring.FileKeyring"
    program.env["WHISPER_TEST_KEYRING"] = str(tmp_path / "keyring.json")
    return program


@pytest.mark.parametrize(("flavor", "model"), ENGINES.values(), ids=ENGINES)
def test_an_engine_of_its_own_is_used_by_its_address_and_its_key(
    at_home: Program, servers: ServerFactory, flavor: str, model: str
) -> None:
    server = servers("openai_compatible", "--flavor", flavor, "--auth", KEY, models=[model])
    api_base = f"{server.url}/v1"
    assert at_home.run("config", "set", "llm.base_url", api_base).code == 0
    assert at_home.run("keys", "set", api_base, stdin=f"{KEY}\n".encode()).code == 0
    answered = at_home.run("chat", "--json", "Hello there")
    assert answered.json["text"] == "You said: Hello there"
    provenance = answered.json["provenance"]
    assert (provenance["url"], provenance["model"], provenance["reach"]) == (api_base, model, "this_machine")
    (asked,) = server.requests("/v1/chat/completions")
    assert asked["headers"]["authorization"] == f"Bearer {KEY}"
    written = [path for path in at_home.home.rglob("*") if path.is_file()]
    assert not any(KEY.encode() in path.read_bytes() for path in written)


def test_without_its_key_it_says_how_to_give_it(at_home: Program, servers: ServerFactory) -> None:
    server = servers("openai_compatible", "--flavor", "vllm", "--auth", KEY)
    asked = at_home.run("chat", "--json", "Hello there", env={"LLM_CHAT_API_URL": f"{server.url}/v1"})
    error = asked.json["error"]
    assert (error["kind"], f"keys set {server.url}" in error["next_step"]) == ("auth", True)
