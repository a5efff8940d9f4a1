"""The words about an answer are the same in the windows and in the terminal."""

from dataclasses import replace

import pytest

from whisper_desktop.chat import GUIDE_LABEL, attempt_line, provenance_line, seconds, who_line, why_line
from whisper_desktop.values import Attempt, ErrorKind, Provenance, Reach, Usage

OLLAMA = Attempt("ollama", "Ollama", "http://127.0.0.1:11434", "llama3.2:3b", None, "", 0.61)
REFUSED = Attempt(
    "lm_studio",
    "LM Studio",
    "http://127.0.0.1:1234",
    None,
    ErrorKind.CONNECT_REFUSED,
    "Nothing listens there.",
    0.012,
)
WHO = Provenance(
    backend="ollama",
    server_name="Ollama",
    url="http://127.0.0.1:11434",
    model="llama3.2:3b",
    reach=Reach.THIS_MACHINE,
    as_given=False,
    reason="Ollama comes first",
    attempts=(OLLAMA,),
    ttft_seconds=0.61,
    total_seconds=1.2,
    tokens_per_second=31.2,
)


def test_one_line_says_who_where_and_how_fast() -> None:
    assert provenance_line(WHO) == "llama3.2:3b · Ollama · this computer · 0.6 s · 31 tok/s"


def test_a_slow_model_is_told_with_one_decimal_and_what_is_unknown_is_left_out() -> None:
    assert who_line(replace(WHO, tokens_per_second=3.14)).endswith("0.6 s · 3.1 tok/s")
    assert who_line(replace(WHO, ttft_seconds=None, tokens_per_second=None)).endswith("this computer")


def test_an_address_that_the_person_gave_is_marked() -> None:
    assert "this computer (as given)" in who_line(replace(WHO, as_given=True))


def test_after_a_failover_the_line_begins_with_why() -> None:
    failed_over = replace(WHO, reason="LM Studio did not answer, so Ollama did", attempts=(REFUSED, OLLAMA))
    assert why_line(failed_over) == "LM Studio did not answer, so Ollama did."
    assert provenance_line(failed_over) == f"LM Studio did not answer, so Ollama did. {who_line(WHO)}"


@pytest.mark.parametrize(
    ("dollars", "words"),
    [(0.00001, "under $0.0001"), (0.0021, "$0.0021"), (0.214, "$0.21"), (1234.5, "$1,234.50")],
)
def test_what_an_answer_cost_ends_the_line(dollars: float, words: str) -> None:
    assert who_line(replace(WHO, usage=Usage(cost_usd=dollars))).endswith(f"31 tok/s · {words}")


def test_the_guide_is_labelled_instead_of_named() -> None:
    guide = replace(WHO, backend="guide", server_name="Guide", model="guide-v3")
    assert who_line(guide) == f"{GUIDE_LABEL} · this computer · 0.6 s · 31 tok/s"


def test_each_attempt_says_how_it_went() -> None:
    assert attempt_line(OLLAMA) == "Ollama (llama3.2:3b): answered after 0.6 s"
    assert attempt_line(REFUSED) == "LM Studio: Nothing listens there (12 ms)"
    told = replace(REFUSED, detail="LM Studio is not running.")
    assert attempt_line(told) == "LM Studio is not running (12 ms)"
    told = replace(REFUSED, model="m", detail="What answers at 127.0.0.1:1 is not LM Studio. It sent a page.")
    assert attempt_line(told) == "What answers at 127.0.0.1:1 is not LM Studio. It sent a page (12 ms)"
    assert attempt_line(replace(REFUSED, detail="")) == "LM Studio: connect refused (12 ms)"
    left_out = replace(REFUSED, detail="It did not answer 3 s ago.", skipped=True)
    assert attempt_line(left_out) == "LM Studio: It did not answer 3 s ago"


@pytest.mark.parametrize(
    ("value", "words"),
    [(0.0, "under 1 ms"), (0.04, "40 ms"), (0.61, "0.6 s"), (12.3, "12 s"), (90.0, "1.5 min")],
)
def test_times_are_told_as_people_tell_them(value: float, words: str) -> None:
    assert seconds(value) == words
