"""Answers that break off after their first words: cases C22 to C24, for every setting of `on_interruption`.

The servers all give the same answer, so that a lost, doubled or joined character shows.
"""

from collections.abc import Sequence

import pytest

from tests.llm.conftest import KEY, QUICK, MakeStep
from tests.llm.promises import Asking, Outcome, hits
from tests.servers.fixtures import ServerFactory
from tests.servers.launch import RunningServer
from whisper_desktop.backends import Backend
from whisper_desktop.errors import Interrupted
from whisper_desktop.values import (
    AnswerContinued,
    AnswerRestarted,
    AnswerStarted,
    AttemptFailed,
    ErrorKind,
    Reach,
    StreamEvent,
    TextDelta,
    ToolCallDelta,
    ToolSpec,
)

CUT = ErrorKind.STREAM_CUT
WHOLE = " ".join(f"word{number}" for number in range(80))
SHOWN = " ".join(f"word{number}" for number in range(50))
TRICKY = "Grüße, 世界! 👩‍👩‍👧 e\u0301  zwei  Leerzeichen\n\n```\ncode\n``` und \u2028 Ende."
BREAKS = {
    "die_mid_stream": ErrorKind.STREAM_CUT,
    "cut_mid_stream": ErrorKind.STREAM_CUT,
    "eof_mid_stream": ErrorKind.TRUNCATED,
}
TOOLS = (ToolSpec("look_up"), ToolSpec("add_up"))
CALLS = ("--tool-call", 'look_up:{"word": "sky"}', "--tool-call", 'add_up:{"numbers": [1, 2, 3]}')


class Chain:
    """Servers that give the same 80 words, the first ones of which break off."""

    def __init__(self, servers: ServerFactory, step: MakeStep, asking: Asking) -> None:
        self.servers: list[RunningServer] = []
        self._start, self._step, self._asking = servers, step, asking
        self._steps: list[Backend] = []

    def add(self, name: str, *args: str, fault: str = "", answer: Sequence[str] = ("--tokens", "80")) -> None:
        """One more server at the end of the chain."""
        server = self._start(name, *answer, *args, *(("--fault", fault) if fault else ()))
        self.servers.append(server)
        self._steps.append(self._step(server))

    def add_far(self, name: str, *, fault: str = "", answer: Sequence[str] = ("--tokens", "80")) -> None:
        """One more, in the cloud."""
        faults = ("--fault", fault) if fault else ()
        server = self._start(name, *answer, "--auth", KEY, *faults, models=["m"])
        self.servers.append(server)
        self._steps.append(self._step(server, reach=Reach.CLOUD, key=KEY, model="m"))

    async def ask(self, on_interruption: str, **options: object) -> Outcome:
        """The outcome of a question with this setting."""
        client = self._asking.client(
            *self._steps, reach="cloud", on_interruption=on_interruption, deadlines=QUICK
        )
        return await self._asking.ask(client, **options)

    @property
    def hits(self) -> list[int]:
        """How often each server was asked."""
        return [hits(server) for server in self.servers]

    def messages(self, index: int) -> object:
        """What a server was sent."""
        return [each["body"]["messages"] for each in self.servers[index].requests() if each["body"]][-1]


@pytest.fixture
def chain(servers: ServerFactory, step: MakeStep, asking: Asking) -> Chain:
    """A chain without steps yet."""
    return Chain(servers, step, asking)


def shape(outcome: Outcome) -> list[type[StreamEvent]]:
    """The kinds of the events, texts that follow each other being one."""
    kinds = [type(event) for event in outcome.events]
    return [kind for at, kind in enumerate(kinds) if kind is not TextDelta or kinds[at - 1] is not TextDelta]


def interrupted(outcome: Outcome) -> Interrupted:
    """The error of an answer that broke off for good."""
    error = outcome.failed(Interrupted)
    assert isinstance(error, Interrupted)
    return error


# --- stop -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", list(BREAKS))
async def test_with_stop_the_text_so_far_is_kept_and_nobody_else_is_asked(chain: Chain, fault: str) -> None:
    """C22: the error has every word that was shown, what broke, and how to go on."""
    chain.add("llama_cpp", fault=f"{fault}:50")
    chain.add("llama_cpp")
    error = interrupted(await chain.ask("stop"))
    assert (error.kind, error.partial_text) == (BREAKS[fault], SHOWN)
    assert error.title == "The answer stopped after 50 words."
    assert error.detail.endswith("The text so far is kept.")
    assert error.next_step
    assert [attempt.kind for attempt in error.attempts] == [BREAKS[fault]]
    assert chain.hits == [1, 0]


# --- restart ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", list(BREAKS))
@pytest.mark.parametrize("second", ["llama_cpp", "ollama", "lm_studio"])
async def test_with_restart_the_next_one_begins_anew_and_says_so(
    chain: Chain, fault: str, second: str
) -> None:
    """C22: the complete answer once; the words of the first one are handed over apart from it."""
    chain.add("openai_compatible", fault=f"{fault}:50")
    chain.add(second)
    outcome = await chain.ask("restart")
    assert outcome.text == outcome.completion.text == WHOLE
    assert outcome.completion.seams == ()
    assert outcome.kinds == [BREAKS[fault], None]
    assert outcome.completion.provenance.backend == second
    restarted = [event for event in outcome.events if isinstance(event, AnswerRestarted)]
    assert [(event.partial_text, event.failed.kind) for event in restarted] == [(SHOWN, BREAKS[fault])]
    begins = [kind for kind in shape(outcome) if kind in (AttemptFailed, AnswerRestarted, AnswerStarted)]
    assert begins == [AnswerStarted, AttemptFailed, AnswerRestarted, AnswerStarted]
    assert chain.messages(1) == [{"role": "user", "content": "Hi"}], "the others' words are not handed over"
    assert chain.hits == [1, 1]


async def test_with_restart_whoever_fails_before_a_word_is_passed_over(chain: Chain) -> None:
    """C22: the words of the first one stay on the screen until somebody really begins."""
    chain.add("llama_cpp", fault="die_mid_stream:50")
    chain.add("openai_compatible", fault="busy_503")
    chain.add("openai_compatible", fault="die_mid_stream:0")
    chain.add("lm_studio")
    outcome = await chain.ask("restart")
    assert outcome.text == WHOLE
    assert outcome.kinds == [CUT, ErrorKind.OVERLOADED, CUT, None]
    restarted = [event for event in outcome.events if isinstance(event, AnswerRestarted)]
    assert [event.partial_text for event in restarted] == [SHOWN]


async def test_with_restart_a_second_break_begins_anew_once_more(chain: Chain) -> None:
    """C22: each beginning replaces the one before."""
    chain.add("llama_cpp", fault="die_mid_stream:50")
    chain.add("openai_compatible", fault="eof_mid_stream:3")
    chain.add("lm_studio")
    outcome = await chain.ask("restart")
    assert outcome.text == WHOLE
    assert outcome.kinds == [CUT, ErrorKind.TRUNCATED, None]
    restarted = [event for event in outcome.events if isinstance(event, AnswerRestarted)]
    assert [event.partial_text for event in restarted] == [SHOWN, "word0 word1 word2"]


@pytest.mark.parametrize("on_interruption", ["restart", "continue"])
async def test_where_nobody_else_begins_the_words_are_kept(chain: Chain, on_interruption: str) -> None:
    """C22: the error is about the answer that broke off, with all attempts."""
    chain.add("llama_cpp", fault="die_mid_stream:50")
    chain.add("openai_compatible", fault="unauthorized_401")
    chain.add("lm_studio", fault="die_mid_stream:0")
    error = interrupted(await chain.ask(on_interruption))
    assert (error.kind, error.partial_text) == (CUT, SHOWN)
    assert [attempt.kind for attempt in error.attempts] == [CUT, ErrorKind.AUTH, CUT]


@pytest.mark.parametrize("on_interruption", ["restart", "continue"])
async def test_the_last_one_is_not_asked_again(chain: Chain, on_interruption: str) -> None:
    """C22: with nobody left the words are kept, whatever was wished."""
    chain.add("llama_cpp", fault="die_mid_stream:50*1")
    error = interrupted(await chain.ask(on_interruption))
    assert error.partial_text == SHOWN
    assert chain.hits == [1]


# --- continue ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("echo", [True, False])
@pytest.mark.parametrize("tokens", [2, 7, 50, 79])
async def test_with_continue_the_next_one_goes_on_where_the_text_stopped(
    chain: Chain, tokens: int, echo: bool
) -> None:
    """C22: every character once, and the seam is marked; also with servers that repeat the beginning."""
    chain.add("openai_compatible", fault=f"die_mid_stream:{tokens}")
    chain.add("llama_cpp", *([] if echo else ["--no-echo"]))
    outcome = await chain.ask("continue")
    shown = " ".join(f"word{number}" for number in range(tokens))
    assert outcome.text == outcome.completion.text == WHOLE
    assert outcome.completion.seams == (len(shown),)
    assert AnswerRestarted not in shape(outcome)
    continued = next(event for event in outcome.events if isinstance(event, AnswerContinued))
    assert (continued.position, continued.failed.kind) == (len(shown), CUT)
    assert chain.messages(1) == [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": shown},
    ]
    assert outcome.completion.provenance.reason == (
        "OpenAI-compatible server broke off, so llama.cpp answered"
    )


@pytest.mark.parametrize("on_interruption", ["restart", "continue"])
@pytest.mark.parametrize("echo", [True, False])
async def test_no_character_is_lost_whatever_the_text_is_made_of(
    chain: Chain, on_interruption: str, echo: bool
) -> None:
    """C22: spaces, line breaks, other scripts, joined characters."""
    for tokens in (3, 5):
        chain.add("openai_compatible", fault=f"cut_mid_stream:{tokens}", answer=("--answer", TRICKY))
    chain.add("llama_cpp", *([] if echo else ["--no-echo"]), answer=("--answer", TRICKY))
    assert (await chain.ask(on_interruption)).text == TRICKY


async def test_with_continue_a_second_break_makes_a_second_seam(chain: Chain) -> None:
    """C22: three servers, one text."""
    chain.add("openai_compatible", fault="die_mid_stream:20")
    chain.add("llama_cpp", "--no-echo", fault="die_mid_stream:30")
    chain.add("llama_cpp", "--no-echo")
    outcome = await chain.ask("continue")
    ends = [len(" ".join(WHOLE.split()[:words])) for words in (20, 50)]
    assert (outcome.text, outcome.completion.seams) == (WHOLE, tuple(ends))
    assert outcome.kinds == [CUT, CUT, None]


async def test_with_continue_whoever_fails_before_a_word_is_passed_over(chain: Chain) -> None:
    """C22: the seam stays where the text stopped."""
    chain.add("openai_compatible", fault="die_mid_stream:50")
    chain.add("llama_cpp", fault="busy_503")
    chain.add("llama_cpp", "--no-echo")
    outcome = await chain.ask("continue")
    assert (outcome.text, outcome.completion.seams) == (WHOLE, (len(SHOWN),))


@pytest.mark.parametrize("second", ["gpt4all", "openai_compatible"])
async def test_who_cannot_go_on_with_a_text_begins_anew(chain: Chain, second: str) -> None:
    """C22: continuing is not for everyone; then it is a restart, and told as one."""
    chain.add("llama_cpp", fault="die_mid_stream:50")
    chain.add(second)
    outcome = await chain.ask("continue")
    assert (outcome.text, outcome.completion.seams) == (WHOLE, ())
    assert AnswerRestarted in shape(outcome)
    assert AnswerContinued not in shape(outcome)
    assert chain.messages(1) == [{"role": "user", "content": "Hi"}]


async def test_who_was_to_go_on_but_repeats_the_beginning_doubles_nothing(chain: Chain) -> None:
    """C22: it has begun anew, and is told as that."""
    says = "word0 word1 word2 word3 word4, and now something else"
    chain.add("openai_compatible", fault="die_mid_stream:50")
    chain.add("llama_cpp", answer=("--answer", says))
    outcome = await chain.ask("continue")
    assert (outcome.text, outcome.completion.seams) == (says, ())
    assert AnswerRestarted in shape(outcome)
    assert AnswerContinued not in shape(outcome)


async def test_a_continued_answer_that_has_to_begin_anew_leaves_no_seam(chain: Chain) -> None:
    """C22: all that was shown, by two servers, is handed over apart from the answer of the third."""
    chain.add("openai_compatible", fault="die_mid_stream:20")
    chain.add("llama_cpp", "--no-echo", fault="die_mid_stream:30")
    chain.add("openai_compatible")
    outcome = await chain.ask("continue")
    assert (outcome.text, outcome.completion.seams) == (WHOLE, ())
    restarted = next(event for event in outcome.events if isinstance(event, AnswerRestarted))
    assert restarted.partial_text == SHOWN


# --- thoughts and calls -----------------------------------------------------------------------------------


@pytest.mark.parametrize("tokens", [2, 6])
@pytest.mark.parametrize("on_interruption", ["restart", "continue"])
async def test_a_thinking_model_is_never_continued_and_its_thoughts_are_kept_apart(
    chain: Chain, on_interruption: str, tokens: int
) -> None:
    """C22: a shown thought counts as shown, and belongs to the answer that broke off."""
    for fault in (f"die_mid_stream:{tokens}", ""):
        chain.add("llama_cpp", "--reasoning", "let me think", fault=fault)
    outcome = await chain.ask(on_interruption)
    assert (outcome.text, outcome.completion.reasoning) == (WHOLE, "let me think")
    restarted = next(event for event in outcome.events if isinstance(event, AnswerRestarted))
    shown = ["let", "me", "think", *WHOLE.split()][:tokens]
    assert (restarted.partial_reasoning, restarted.partial_text) == (" ".join(shown[:3]), " ".join(shown[3:]))
    assert outcome.completion.seams == ()


async def test_with_stop_a_broken_off_thought_is_told(chain: Chain) -> None:
    """C22: no word was shown, and none is claimed."""
    for fault in ("die_mid_stream:2", ""):
        chain.add("llama_cpp", "--reasoning", "let me think", fault=fault)
    error = interrupted(await chain.ask("stop"))
    assert (error.partial_text, error.title) == ("", "The answer stopped before its first word.")
    assert chain.hits == [1, 0]


@pytest.mark.parametrize("on_interruption", ["restart", "continue", "stop"])
@pytest.mark.parametrize(("name", "tokens"), [("llama_cpp", 6), ("ollama", 1)])
async def test_after_a_call_was_handed_out_nothing_begins_anew(
    chain: Chain, on_interruption: str, name: str, tokens: int
) -> None:
    """C22: it may have been carried out already, so it is handed out once, whatever was wished."""
    for fault in (f"die_mid_stream:{tokens}", ""):
        chain.add(name, *CALLS, fault=fault)
    outcome = await chain.ask(on_interruption, tools=TOOLS)
    assert interrupted(outcome).kind is CUT
    calls = [event.call.name for event in outcome.events if isinstance(event, ToolCallDelta)]
    assert calls == ["look_up"]
    assert chain.hits == [1, 0]


@pytest.mark.parametrize("on_interruption", ["restart", "continue", "stop"])
async def test_half_a_call_is_never_handed_out_and_the_next_one_calls_unseen(
    chain: Chain, on_interruption: str
) -> None:
    """C22: nothing was shown yet, so the next one answers, and each call comes once."""
    for fault in ("die_mid_stream:2", ""):
        chain.add("llama_cpp", *CALLS, fault=fault)
    outcome = await chain.ask(on_interruption, tools=TOOLS)
    assert outcome.kinds == [CUT, None]
    assert [call.name for call in outcome.completion.tool_calls] == ["look_up", "add_up"]
    assert shape(outcome).count(ToolCallDelta) == 2
    assert AnswerRestarted not in shape(outcome)


async def test_words_before_half_a_call_are_replaced_with_it(chain: Chain) -> None:
    """C22: with continue too, since what follows is not plain text."""
    for fault in ("die_mid_stream:82", ""):
        chain.add("llama_cpp", *CALLS, "--tool-text", fault=fault)
    outcome = await chain.ask("continue", tools=TOOLS)
    assert outcome.text == WHOLE
    assert AnswerRestarted in shape(outcome)
    assert [call.name for call in outcome.completion.tool_calls] == ["look_up", "add_up"]


# --- what is complete, and what is not --------------------------------------------------------------------

DIALECTS = ["llama_cpp", "openai_compatible", "lm_studio", "ollama", "openrouter", "anthropic", "gemini"]
FAR = ("openrouter", "anthropic", "gemini")


@pytest.mark.parametrize("name", DIALECTS)
@pytest.mark.parametrize("tokens", [0, 3])
async def test_a_clean_end_without_a_finish_is_no_success(chain: Chain, name: str, tokens: int) -> None:
    """C23: in every dialect; before the first word the next one answers, after it the words are kept."""
    add = chain.add_far if name in FAR else chain.add
    add(name, fault=f"eof_mid_stream:{tokens}")
    chain.add("lm_studio")
    outcome = await chain.ask("stop")
    if tokens:
        error = interrupted(outcome)
        assert (error.kind, error.partial_text) == (ErrorKind.TRUNCATED, "word0 word1 word2")
    else:
        # In some dialects nothing comes before the first word.
        assert outcome.kinds in ([ErrorKind.TRUNCATED, None], [ErrorKind.EMPTY, None])
        assert outcome.text == WHOLE


@pytest.mark.parametrize("name", ["openai_compatible", "llama_cpp", "lm_studio"])
async def test_an_answer_that_ends_with_done_alone_is_complete(chain: Chain, name: str) -> None:
    """C24: `[DONE]` without a finish reason, as some servers send it, with all of the text."""
    chain.add(name, fault="no_finish")
    chain.add("ollama")
    outcome = await chain.ask("stop")
    assert (outcome.text, outcome.kinds) == (WHOLE, [None])
    assert outcome.completion.finish_reason
    assert chain.hits == [1, 0]
