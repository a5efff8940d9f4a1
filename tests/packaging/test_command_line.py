"""dev.py's command line: every wrong word gets one sentence and exit status 2."""

import pytest

from tests.packaging.conftest import Checkout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["jump"], "dev.py knows no verb 'jump'"),
        (["--fast"], "dev.py knows no verb '--fast'"),
        (["run", "chat"], "dev.py run -- chat"),
        (["run", "--json"], "dev.py run -- --json"),
        (["check", "ruff"], "`check` takes nothing more"),
        (["llama-server", "-v"], "`llama-server` takes nothing more"),
        (["bench", "nothing"], "There is no benchmark 'nothing'"),
    ],
)
def test_what_cannot_be_understood_is_said_in_a_sentence(
    checkout: Checkout, arguments: list[str], said: str
) -> None:
    ran = checkout.dev(*arguments)
    assert ran.code == 2
    assert said in ran.err
    assert ran.err.count("\n") == 1
    assert ran.out == ""
    assert not (checkout.folder / ".venv").exists()


def test_no_verb_shows_the_usage_as_an_error(checkout: Checkout) -> None:
    ran = checkout.dev()
    assert (ran.code, ran.out) == (2, "")
    assert "dev.py run [-- ARGS]" in ran.err


@pytest.mark.parametrize("arguments", [["--help"], ["-h"], ["help"], ["test", "--help"]])
def test_help_is_given_when_asked_for(checkout: Checkout, arguments: list[str]) -> None:
    ran = checkout.dev(*arguments)
    assert (ran.code, ran.err) == (0, "")
    for verb in ("run", "test", "check", "bench", "chaos", "fuzz", "llama-server"):
        assert f"dev.py {verb}" in ran.out


def test_bench_lists_what_there_is_with_its_purpose(checkout: Checkout) -> None:
    folder = checkout.folder / "tests" / "benchmarks"
    folder.mkdir(parents=True)
    (folder / "start.py").write_text('"""How long a start takes.\n\nMore."""\n', encoding="utf-8")
    (folder / "_shared.py").write_text("", encoding="utf-8")
    ran = checkout.dev("bench")
    assert ran.code == 0
    assert ran.out.split() == ["start", "How", "long", "a", "start", "takes."]


def test_bench_without_benchmarks_says_so(checkout: Checkout) -> None:
    ran = checkout.dev("bench")
    assert (ran.code, ran.out) == (0, "")
    assert "no benchmarks" in ran.err
