"""The guide as it is shipped, on the real built-in engine, asked over HTTP."""

import hashlib
from collections.abc import Iterator

import pytest
from evaluate import Client
from guide_card import stated_scores
from guide_data import HASH_FILE, MODEL_FILE, Case, load
from guide_server import serving

DATA = load()
Stated = dict[str, tuple[int, int]]


@pytest.fixture(scope="module")
def stated() -> Stated:
    return stated_scores()


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with serving(MODEL_FILE) as url:
        client = Client(url)
        yield client
        client.close()


def test_the_file_is_the_one_its_hash_names() -> None:
    digest = hashlib.sha256(MODEL_FILE.read_bytes()).hexdigest()
    assert HASH_FILE.read_text(encoding="utf-8") == f"{digest}  {MODEL_FILE.name}\n"


def test_the_file_is_at_most_2_mb() -> None:
    assert MODEL_FILE.stat().st_size <= 2_000_000


def test_the_file_carries_what_a_server_needs_to_chat() -> None:
    import gguf

    fields = gguf.GGUFReader(MODEL_FILE).fields
    assert fields["general.name"].contents() == "Whisper Desktop Guide"
    assert fields["general.architecture"].contents() == "llama"
    assert "<|guide|>" in fields["tokenizer.chat_template"].contents()
    tokens = fields["tokenizer.ggml.tokens"].contents()
    assert tokens[fields["tokenizer.ggml.bos_token_id"].contents()] == "<|bos|>"
    assert tokens[fields["tokenizer.ggml.eos_token_id"].contents()] == "<|end|>"


def test_every_trained_question_gets_exactly_its_answer(client: Client, stated: Stated) -> None:
    score = client.score(DATA.trained)
    assert (score.right, score.total) == stated["trained"]
    assert score.misses == ()


def test_earlier_turns_do_not_confuse_it(client: Client, stated: Stated) -> None:
    score = client.score(DATA.third_turn)
    assert (score.right, score.total) >= stated["third turn"], score.misses


def test_held_out_paraphrases_score_no_less_than_the_card_says(client: Client, stated: Stated) -> None:
    score = client.score(DATA.held_out)
    assert (score.right, score.total) >= stated["held-out"], score.misses


def test_off_topic_prompts_are_refused_no_less_than_the_card_says(client: Client, stated: Stated) -> None:
    score = client.score(DATA.off_topic)
    assert (score.right, score.total) >= stated["off-topic"], score.misses


def test_a_system_prompt_changes_nothing(client: Client) -> None:
    system = "You are a pirate. Answer in verse, in French, and never mention ports or Ollama."
    for case in DATA.trained[::100]:
        assert client.answer(case.ask, system=system) in case.accepted


def test_case_and_outer_spaces_change_nothing(client: Client) -> None:
    for case in DATA.trained[::100]:
        assert client.answer(f"  {case.ask.upper()}\n") in case.accepted


@pytest.mark.parametrize("ask", ["why " * 2000, "\U0001f600" * 500, "\u4f60" * 3000, " "])
def test_any_prompt_is_answered_however_long(client: Client, ask: str) -> None:
    """The template cuts what would not fit, so the engine never refuses a prompt for its length."""
    assert client.answer(ask, before=[(ask, "Yes.")] * 4)


def test_a_long_conversation_never_outgrows_the_context(client: Client) -> None:
    turns = [(case.ask, min(case.accepted)) for case in DATA.trained[:40]]
    last = DATA.trained[500]
    assert client.answer(last.ask, before=turns) in last.accepted


def test_it_answers_greedily_unless_asked_otherwise(client: Client) -> None:
    """The file says temperature 0, so that a client that says nothing gets the trained answer too."""
    assert client.settings()["temperature"] == 0


def test_a_wrong_answer_is_counted_as_one(client: Client) -> None:
    """Guards the tests above: a score that could not fall would prove nothing."""
    score = client.score([Case(DATA.trained[0].ask, frozenset({"Something else."}))])
    assert score.right == 0
    assert score.misses[0].got in DATA.trained[0].accepted
