"""What an estimate says to a person: whether it fits, with how much to spare, and what would change that."""

from whisper_desktop.app.engine_words import in_gigabytes
from whisper_desktop.app.model_fit import Estimate
from whisper_desktop.models.fit import Shortfall
from whisper_desktop.models.speed import Speed

_KNOWN = {
    "file": "from the header of the file on this computer",
    "header": "from the header of the file, of which only the beginning was fetched",
    "catalogue": "from the catalogue; REPO/FILE reads the header of the file itself",
}
_WORTH_IT = 1.25  # times the context that a packed cache should allow before it is mentioned
_SHORTEST = 512  # tokens: with less nobody can talk to a model


def headline(told: Estimate) -> str:
    """Whether it fits, how, and what is left, in one sentence."""
    name, tokens = told.subject.name, f"{told.context:,} tokens of context"
    if told.fit is None:
        return f"{name} does not fit on this computer with {tokens}: {_missing(told)}."
    spare = in_gigabytes(max(0, told.fit.spare_bytes))
    return f"{name} fits {_where(told)} with {spare} to spare at {tokens}."


def sentences(told: Estimate) -> tuple[str, ...]:
    """Everything else that a person should know, what matters most first."""
    said = [
        told.subject.note,
        _speed_sentence(told.speed),
        _trained(told),
        _longest(told),
        _free_now(told),
        *_changes(told),
        certainty(told),
    ]
    return tuple(sentence for sentence in said if sentence)


def certainty(told: Estimate) -> str:
    """Where the figures come from, and how much of them is known."""
    shape = told.subject.shape
    said = f"The figures are {_KNOWN[told.subject.known_from]}."
    if told.asked:
        said += f" The memory was checked with {_ENGINES.get(told.asked, told.asked)}, which loaded nothing."
    if not shape.knows_cache:
        said += " What a longer conversation takes is not told there."
    elif not shape.exact and told.subject.known_from != "catalogue":
        said += " It does not list the weights, so that they are spread evenly."
    return said


_ENGINES = {"llama-fit-params": "llama-server's own planner", "builtin": "the built-in engine"}


def _where(told: Estimate) -> str:
    if told.mode == "gpu":
        return (
            "in the memory that the graphics part shares" if told.budget.unified else "on the graphics card"
        )
    if told.mode == "experts":
        return "on the graphics card, most of its experts beside it in memory,"
    return "on graphics card and processor together" if told.mode == "partial" else "in memory"


def _missing(told: Estimate) -> str:
    short = told.shortfall
    if short is None:
        return "not enough would be left for the system"
    where = "on the graphics card" if short.where == "gpu" else "memory"
    return f"{in_gigabytes(short.missing_bytes)} more {where} would be needed"


def _speed_sentence(speed: Speed | None) -> str:
    if speed is None or speed.answer is None:
        return ""
    if speed.source == "measured":
        return f"It writes {speed.words}."
    low, high = (f"{each:.0f}" if each >= 9.95 else f"{each:.1f}" for each in (speed.low, speed.high))
    how = {"calibrated": "by what was measured of this computer", "predicted": "by tables"}[speed.source]
    if not speed.known:
        measures = "`whisper-desktop bench machine` measures it"
        return f"It writes {speed.words}: part of this computer is in no table, and {measures}."
    return f"It writes {speed.words} ({low} to {high}, {how})."


def _trained(told: Estimate) -> str:
    trained = told.subject.shape.train_ctx
    if told.wanted is None or trained is None or told.wanted <= trained:
        return ""
    return f"It was trained with {trained:,} tokens, so that {told.wanted:,} would be of no use."


def _longest(told: Estimate) -> str:
    if told.largest is None or told.fit is None:
        return ""
    trained = told.subject.shape.train_ctx
    if trained is not None and told.largest >= trained:
        return f"Its whole context of {trained:,} tokens fits."
    return f"The longest context that fits like this is {told.largest:,} tokens."


def _free_now(told: Estimate) -> str:
    takes = told.budget.taken_of_host(told.need)
    if told.fit is None or takes <= told.free_now:
        return ""
    return (
        f"Only {in_gigabytes(told.free_now)} of memory are free at the moment, and it takes "
        f"{in_gigabytes(takes)} of it: close other programs before you start it."
    )


def _changes(told: Estimate) -> list[str]:
    said = []
    if told.fit is None:
        if told.largest is not None and _SHORTEST <= told.largest < told.context:
            said.append(f"With {told.largest:,} tokens of context or less it would fit.")
        elif told.largest_packed and told.largest_packed >= told.context:
            said.append("With a KV cache in q8_0 (llm.llamacpp.cache_type) it would fit.")
        else:
            said.append("A smaller model, or one with fewer bits for each weight, would fit.")
        return said
    if told.to_gpu is not None:
        said.append(_all_on_gpu(told, told.to_gpu))
    if told.largest and told.largest_packed and told.largest_packed >= _WORTH_IT * told.largest:
        said.append(
            f"With a KV cache in q8_0 (llm.llamacpp.cache_type), {told.largest_packed:,} tokens would fit."
        )
    return said


def _all_on_gpu(told: Estimate, short: Shortfall) -> str:
    size = in_gigabytes(short.missing_bytes)
    if short.where == "host":
        return f"With {size} more memory, all of it could lie on the graphics processor, which is faster."
    if not told.budget.gpus:
        return f"A graphics card with {size} to use would hold all of it, which is much faster."
    return f"With {size} more on the graphics card, all of it would lie there, which is faster."
