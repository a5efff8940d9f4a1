"""`chat`: streamed over pipes and terminals, stopped by Ctrl-C, honest about who answered and what failed."""

import json

from tests.cli.program import Program
from tests.servers.fixtures import ServerFactory

CHAT_MODEL = {"id": "qwen3.5-4b", "loaded": True, "context_length": 8192}


def test_an_answer_streams_through_a_pipe_as_it_comes_and_says_who_gave_it(
    program: Program, servers: ServerFactory
) -> None:
    server = servers("openai_compatible", "--tokens", "40", "--token-delay", "0.05", models=[CHAT_MODEL])
    asked = program.start("chat", "Go", env={"LLM_CHAT_API_URL": f"{server.url}/v1"})
    asked.expect("word3")
    assert "word39" not in asked.seen
    assert not any(
        entry["tokens_sent"] for entry in server.log("response")
    )  # what was printed was printed while the server still wrote
    rest = asked.rest()
    assert "word39" in rest
    assert "\n— qwen3.5-4b · " in rest
    assert "this computer (as given)" in rest
    assert asked.wait() == 0


def test_json_is_one_document_with_the_answer_and_its_provenance(
    program: Program, servers: ServerFactory
) -> None:
    server = servers("openai_compatible", models=[CHAT_MODEL])
    result = program.run(
        "chat", "--json", stdin="Grüße?\n".encode(), env={"LLM_CHAT_API_URL": f"{server.url}/v1"}
    )
    assert (result.code, result.err) == (0, "")
    assert result.json["text"] == "You said: Grüße?"
    assert set(result.json) == {
        "text",
        "reasoning",
        "finish_reason",
        "usage",
        "tool_calls",
        "seams",
        "set_aside",
        "provenance",
    }
    who = result.json["provenance"]
    assert (who["model"], who["reach"], who["as_given"]) == ("qwen3.5-4b", "this_machine", True)
    assert [attempt["kind"] for attempt in who["attempts"]] == [None]


def test_a_failure_is_told_with_every_attempt_and_what_to_do(program: Program) -> None:
    result = program.run("chat", "--backend", "lmstudio", "Hello")
    assert result.code == 1
    assert result.raw == b""
    assert "LM Studio" in result.err
    assert "whisper-desktop chat --guide" in result.err

    error = program.run("chat", "--backend", "lmstudio", "--json", "Hello")
    assert error.code == 1
    assert error.err == ""
    told = error.json["error"]
    assert told["type"] == "LLMConnectionError"
    assert [attempt["kind"] for attempt in told["attempts"]] == ["connect_refused"]
    assert told["setup_guidance"]["offer_guide"] is True


def test_the_cloud_is_asked_only_where_it_is_allowed(program: Program, servers: ServerFactory) -> None:
    cloud = servers("openrouter", models=[{"id": "openai/gpt-4"}])
    env = {
        "WHISPER_LLM__OPENROUTER__BASE_URL": cloud.url,
        "WHISPER_LLM__OPENROUTER__MODEL": "openai/gpt-4",
        "LLM_CHAT_API_KEY": "sk-or-v1-test",
    }
    program.home.joinpath("config").mkdir(parents=True)
    program.home.joinpath("config", "config.yaml").write_text("llm:\n  backend: openrouter\n")
    refused = program.run("chat", "A secret", env=env)
    assert refused.code == 1
    assert "in the cloud" in refused.err
    assert "--reach cloud" in refused.err
    assert not cloud.requests("/api/v1/chat/completions")

    # The key of the environment belongs to openrouter.ai, so this test server never sees it.
    asked = program.run("chat", "--reach", "cloud", "Hello", env=env)
    assert "in the cloud" not in asked.err
    for request in cloud.requests():
        assert "sk-or-v1-test" not in json.dumps(request["headers"])


def test_a_terminal_asks_once_whether_a_server_may_be_asked_that_may_pass_prompts_on(
    program: Program, servers: ServerFactory
) -> None:
    server = servers("localai", models=[CHAT_MODEL])
    env = {"WHISPER_LLM__LLAMACPP__PORT": str(server.port)}
    chat = program.terminal("chat", env=env)
    chat.expect("> ")
    chat.type("First\r")
    chat.expect("LocalAI was not asked.")
    chat.expect(f"LocalAI at {server.url} may pass prompts on to the internet.")
    chat.expect("[y/N] ")
    chat.type("\r")
    chat.expect("> ")
    assert not server.requests("/v1/chat/completions")

    chat.type("Second\r")
    chat.expect("[y/N] ")
    chat.type("y\r")
    chat.expect("You said: Second")
    chat.expect("this computer (as given)")
    chat.expect("> ")
    chat.type("Third\r")
    assert "[y/N]" not in chat.expect("You said: Third")
    chat.expect("> ")
    chat.type("\x04")
    chat.rest()
    assert chat.wait() == 0
    assert program.run("chat", "Fourth", env=env).out.startswith("You said: Fourth")
    sent = [entry["body"]["messages"] for entry in server.requests("/v1/chat/completions")]
    assert [[each["content"] for each in messages if each["role"] == "user"] for messages in sent] == [
        ["Second"],
        ["Second", "Third"],
        ["Fourth"],
    ]


def test_a_single_question_waits_for_the_same_word(program: Program, servers: ServerFactory) -> None:
    server = servers("localai", models=[CHAT_MODEL])
    env = {"WHISPER_LLM__LLAMACPP__PORT": str(server.port)}
    for typed in ("n\r", "\x04"):
        chat = program.terminal("chat", "Hello", env=env)
        chat.expect("[y/N] ")
        chat.type(typed)
        assert "Traceback" not in chat.rest()
        assert chat.wait() == 1
    chat = program.terminal("chat", "Hello", env=env)
    chat.expect("[y/N] ")
    assert "Traceback" not in chat.interrupt_until("Stopped.")
    chat.rest()
    assert chat.wait() == 130
    assert not server.requests("/v1/chat/completions")
    chat = program.terminal("chat", "Hello", env=env)
    chat.expect("[y/N] ")
    chat.type("yes\r")
    chat.expect("You said: Hello")
    chat.rest()
    assert chat.wait() == 0


def test_where_nobody_can_answer_nothing_is_asked_and_nothing_sent(
    program: Program, servers: ServerFactory
) -> None:
    server = servers("localai", models=[CHAT_MODEL])
    env = {"WHISPER_LLM__LLAMACPP__PORT": str(server.port)}
    piped = program.run("chat", stdin=b"y\n", env=env)
    assert piped.code == 1
    assert "[y/N]" not in piped.out + piped.err
    told = program.run("chat", "--json", "Hello", env=env)
    assert (told.code, told.json["error"]["type"]) == (1, "ConsentRequired")
    assert not server.requests("/v1/chat/completions")


def test_a_conversation_in_a_terminal(program: Program, servers: ServerFactory) -> None:
    """Ctrl-C stops an answer and keeps the conversation; errors do not end it; Ctrl-D ends it with 0."""
    server = servers("openai_compatible", "--tokens", "400", "--token-delay", "0.05", models=[CHAT_MODEL])
    chat = program.terminal("chat", env={"LLM_CHAT_API_URL": f"{server.url}/v1"})
    chat.expect("> ")
    chat.type("Count\r")
    chat.expect("word5 ")
    chat.type("\x03")
    chat.expect("Stopped.")
    assert server.wait_for("disconnect")["tokens_sent"] < 400  # the stop reached the server
    chat.expect("> ")

    server.set_fault("error_500", on="chat")
    chat.type("Again\r")
    chat.expect("Try again")
    chat.expect("> ")

    server.set_fault("none")
    chat.type("And now?\r")
    chat.expect("word5 ")
    sent = server.requests("/v1/chat/completions")[-1]["body"]["messages"]
    assert sent[0]["content"] == "Count"
    assert sent[1]["role"] == "assistant"
    assert sent[1]["content"].startswith(
        "word0"
    )  # what was shown before the stop is part of the conversation
    chat.type("\x03")
    chat.expect("Stopped.")
    chat.expect("> ")
    chat.type("\x04")
    chat.rest()
    assert chat.wait() == 0


def test_a_terminal_says_what_it_waits_for_and_after_two_seconds_for_how_long(
    program: Program, servers: ServerFactory
) -> None:
    server = servers("openai_compatible", "--first-token-delay", "60", models=[CHAT_MODEL])
    chat = program.terminal("chat", "Hello", env={"LLM_CHAT_API_URL": f"{server.url}/v1"})
    assert " s" not in chat.expect("Waiting for the first word…\r")
    chat.expect("Waiting for the first word… 2 s")
    chat.type("\x03")
    chat.rest()
    assert chat.wait() == 130


def test_ctrl_c_at_the_prompt_ends_cleanly(program: Program) -> None:
    chat = program.terminal("chat", "--guide")
    chat.expect("Guide: a tiny demo model")
    chat.expect("> ")
    chat.type("Hello\r")
    chat.expect("— ")
    chat.expect("> ")
    chat.type("half a question")
    chat.expect("half a question")
    chat.interrupt_until("\n> ")  # takes the line back
    assert "Traceback" not in chat.interrupt_until("Stopped.")
    assert "Traceback" not in chat.rest()
    assert chat.wait() == 130
    assert program.owner_pid() is None


def test_ctrl_c_ends_a_single_question(program: Program, servers: ServerFactory) -> None:
    server = servers("openai_compatible", "--tokens", "400", "--token-delay", "0.05", models=[CHAT_MODEL])
    chat = program.terminal("chat", "Count", env={"LLM_CHAT_API_URL": f"{server.url}/v1"})
    chat.expect("word3 ")
    chat.type("\x03")
    rest = chat.rest()
    assert "Traceback" not in rest
    assert "Stopped." in rest
    assert chat.wait() == 130
    server.wait_for("disconnect")


def test_what_a_model_says_cannot_steer_the_terminal(program: Program, servers: ServerFactory) -> None:
    answer = "red \x1b[31m\x1b]0;title\x07\x9b2Jend"
    server = servers("openai_compatible", "--answer", answer, models=[CHAT_MODEL])
    env = {"LLM_CHAT_API_URL": f"{server.url}/v1"}
    result = program.run("chat", "Colour?", env=env)
    assert result.code == 0
    assert result.out.startswith("red [31m]0;title2Jend\n")
    assert program.run("chat", "--json", "Colour?", env=env).json["text"] == answer
