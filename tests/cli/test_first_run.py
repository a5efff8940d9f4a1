"""`whisper-desktop` without arguments and without a display."""

from tests.cli.program import Program
from tests.servers.fixtures import ServerFactory


def test_a_fresh_machine_gets_an_answer_from_the_guide(program: Program) -> None:
    result = program.run(env={"DISPLAY": ":4099"})  # a display that has gone counts as none
    assert (result.code, result.err) == (0, "")
    told = [
        "There is no display here",
        "This computer\n",
        "Servers\n",
        "Recommended: ",
        "Guide: a tiny demo model",
        "> What can you do?\n",
        "— Guide: a demo for this app · this computer · ",
    ]
    places = [result.out.index(part) for part in told]
    assert places == sorted(places)
    answer = result.out[places[-2] + len(told[-2]) : places[-1]]
    assert len(answer.strip()) > 20


def test_the_question_that_is_piped_in_goes_to_the_best_server(
    program: Program, servers: ServerFactory
) -> None:
    ollama = servers("ollama", models=[{"id": "llama3.2:3b", "loaded": True}])
    env = {"OLLAMA_HOST": ollama.url, "WHISPER_LLM_BACKEND": "ollama"}
    result = program.run(stdin=b"Why is the sky blue?\n", env=env)
    assert result.code == 0, result.err
    assert "> Why is the sky blue?\nYou said: Why is the sky blue?\n— llama3.2:3b · Ollama" in result.out


def test_a_terminal_gets_a_conversation(program: Program) -> None:
    talk = program.terminal()
    talk.expect("Recommended: ")
    talk.expect("What shall answer? (0: not now)")
    talk.type("0\r")
    talk.expect("Ctrl-D ends.")
    talk.expect("> ")
    talk.type("Hello\r")
    talk.expect("— Guide: a demo for this app")
    talk.expect("> ")
    talk.type("\x04")
    talk.rest()
    assert talk.wait() == 0


def test_a_server_that_may_pass_prompts_on_is_asked_about_where_somebody_can_say_yes(
    program: Program, servers: ServerFactory
) -> None:
    server = servers("localai", models=[{"id": "phi", "loaded": True}])
    env = {"WHISPER_LLM__LLAMACPP__PORT": str(server.port)}
    talk = program.terminal(env=env)
    talk.expect("(0: not now)")
    talk.type("0\r")
    talk.expect("Ctrl-D ends.")
    talk.expect("> ")
    talk.type("Hello\r")
    talk.expect("[y/N] ")
    talk.type("y\r")
    talk.expect("You said: Hello")
    talk.expect("> ")
    talk.type("\x04")
    talk.rest()
    assert talk.wait() == 0


def test_without_somebody_to_say_yes_the_guide_answers(program: Program, servers: ServerFactory) -> None:
    server = servers("localai", models=[{"id": "phi", "loaded": True}])
    result = program.run(env={"WHISPER_LLM__LLAMACPP__PORT": str(server.port)})
    assert "— Guide: a demo for this app" in result.out
    assert not server.requests("/v1/chat/completions")


def test_a_pipe_that_is_merely_open_does_not_stop_it(program: Program) -> None:
    started = program.start(open_input=True)
    started.expect("> What can you do?")
    started.expect("— Guide: a demo for this app")
    assert started.wait() == 0


def test_the_background_needs_a_display(program: Program) -> None:
    result = program.run("--background")
    assert (result.code, result.raw) == (1, b"")
    assert "no display" in result.err


def test_the_terminal_walks_the_setup_to_a_first_answer_and_asks_only_once(
    program: Program, servers: ServerFactory
) -> None:
    ollama = servers("ollama", models=[{"id": "llama3.2:3b", "loaded": True, "size_bytes": 2_000_000_000}])
    env = {"OLLAMA_HOST": ollama.url}
    talk = program.terminal(env=env)
    talk.expect("What shall answer? (0: not now) [1]")
    talk.type("\r")
    talk.expect("> Say hello in one short sentence.")
    talk.expect("✓  Ollama answers with llama3.2:3b.")
    talk.expect("How far may what you write travel?")
    talk.type("2\r")
    talk.expect("That is kept.")
    talk.expect("> ")
    talk.type("\x04")
    talk.rest()
    assert talk.wait() == 0
    kept = program.run("config", "show", "--json", env=env).out
    assert '"ollama"' in kept
    assert '"my_network"' in kept
    again = program.terminal(env=env)
    again.expect("Ctrl-D ends.")
    again.type("\x04")
    again.rest()
    assert "What shall answer?" not in again.seen


def test_the_guide_can_be_chosen_in_the_terminal(program: Program) -> None:
    talk = program.terminal()
    before = talk.expect("What shall answer? (0: not now)")
    guide = next(
        line.split(".")[0].strip()
        for line in before.splitlines()
        if line.lstrip()[:1].isdigit() and "Only the guide" in line
    )
    talk.type(f"{guide}\r")
    talk.expect("> Who are you?")
    talk.expect("✓  ")
    talk.expect("That is kept.")
    talk.expect("> ")
    talk.type("\x04")
    talk.rest()
    assert talk.wait() == 0


def test_a_test_that_fails_says_why_and_leads_back_to_the_choice(
    program: Program, servers: ServerFactory
) -> None:
    ollama = servers("ollama", "--fault", "error_500@chat", models=[{"id": "llama3.2:3b", "loaded": True}])
    talk = program.terminal(env={"OLLAMA_HOST": ollama.url})
    talk.expect("What shall answer? (0: not now)")
    talk.type("\r")
    talk.expect("What now?")
    talk.type("2\r")
    talk.expect("What shall answer?")
    talk.type("0\r")
    talk.expect("> ")
    talk.type("\x04")
    talk.rest()
    assert talk.wait() == 0
