"""What an estimate says to a person: whether it fits, with how much to spare, and what would change that."""

from whisper_desktop.app.engine_words import in_gigabytes
from whisper_desktop.app.model_fit import Estimate
from whisper_desktop.language import mark, number, tr
from whisper_desktop.models.fit import Shortfall
from whisper_desktop.models.speed import Speed

_KNOWN = {
    "file": mark("from the header of the file on this computer"),
    "header": mark("from the header of the file, of which only the beginning was fetched"),
    "catalogue": mark("from the catalogue; REPO/FILE reads the header of the file itself"),
}
_WORTH_IT = 1.25  # times the context that a packed cache should allow before it is mentioned
_SHORTEST = 512  # tokens: with less nobody can talk to a model


def headline(told: Estimate) -> str:
    """Whether it fits, how, and what is left, in one sentence."""
    name, tokens = told.subject.name, tr("{context:,} tokens of context", context=told.context)
    if told.fit is None:
        return tr(
            "{name} does not fit on this computer with {tokens}: {missing}.",
            name=name,
            tokens=tokens,
            missing=_missing(told),
        )
    spare = in_gigabytes(max(0, told.fit.spare_bytes))
    return tr(
        "{name} fits {where} with {spare} to spare at {tokens}.",
        name=name,
        where=_where(told),
        spare=spare,
        tokens=tokens,
    )


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
    said = tr("The figures are {known}.", known=tr(_KNOWN[told.subject.known_from]))
    if told.asked:
        said += tr(
            " The memory was checked with {part}, which loaded nothing.",
            part=tr(_ENGINES.get(told.asked, told.asked)),
        )
    if not shape.knows_cache:
        said += tr(" What a longer conversation takes is not told there.")
    elif not shape.exact and told.subject.known_from != "catalogue":
        said += tr(" It does not list the weights, so that they are spread evenly.")
    return said


_ENGINES = {"llama-fit-params": mark("llama-server's own planner"), "builtin": mark("the built-in engine")}


def _where(told: Estimate) -> str:
    if told.mode == "gpu":
        return (
            tr("in the memory that the graphics part shares")
            if told.budget.unified
            else tr("on the graphics card")
        )
    if told.mode == "experts":
        return tr("on the graphics card, most of its experts beside it in memory,")
    return tr("on graphics card and processor together") if told.mode == "partial" else tr("in memory")


def _missing(told: Estimate) -> str:
    short = told.shortfall
    if short is None:
        return tr("not enough would be left for the system")
    size = in_gigabytes(short.missing_bytes)
    if short.where == "gpu":
        return tr("{size} more on the graphics card would be needed", size=size)
    return tr("{size} more memory would be needed", size=size)


def _speed_sentence(speed: Speed | None) -> str:
    if speed is None or speed.answer is None:
        return ""
    if speed.source == "measured":
        return tr("It writes {words}.", words=speed.words)
    low, high = (number(each, ".0f" if each >= 9.95 else ".1f") for each in (speed.low, speed.high))
    how = {"calibrated": tr("by what was measured of this computer"), "predicted": tr("by tables")}[
        speed.source
    ]
    if not speed.known:
        return tr(
            "It writes {words}: part of this computer is in no table, and `whisper-desktop bench machine` "
            "measures it.",
            words=speed.words,
        )
    return tr("It writes {words} ({low} to {high}, {how}).", words=speed.words, low=low, high=high, how=how)


def _trained(told: Estimate) -> str:
    trained = told.subject.shape.train_ctx
    if told.wanted is None or trained is None or told.wanted <= trained:
        return ""
    return tr(
        "It was trained with {trained:,} tokens, so that {wanted:,} would be of no use.",
        trained=trained,
        wanted=told.wanted,
    )


def _longest(told: Estimate) -> str:
    if told.largest is None or told.fit is None:
        return ""
    trained = told.subject.shape.train_ctx
    if trained is not None and told.largest >= trained:
        return tr("Its whole context of {trained:,} tokens fits.", trained=trained)
    return tr("The longest context that fits like this is {largest:,} tokens.", largest=told.largest)


def _free_now(told: Estimate) -> str:
    takes = told.budget.taken_of_host(told.need)
    if told.fit is None or takes <= told.free_now:
        return ""
    return tr(
        "Only {free_now} of memory are free at the moment, and it takes {takes} of it: close "
        "other programs before you start it.",
        free_now=in_gigabytes(told.free_now),
        takes=in_gigabytes(takes),
    )


def _changes(told: Estimate) -> list[str]:
    said = []
    if told.fit is None:
        if told.largest is not None and _SHORTEST <= told.largest < told.context:
            said.append(tr("With {largest:,} tokens of context or less it would fit.", largest=told.largest))
        elif told.largest_packed and told.largest_packed >= told.context:
            said.append(tr("With a KV cache in q8_0 (llm.llamacpp.cache_type) it would fit."))
        else:
            said.append(tr("A smaller model, or one with fewer bits for each weight, would fit."))
        return said
    if told.to_gpu is not None:
        said.append(_all_on_gpu(told, told.to_gpu))
    if told.largest and told.largest_packed and told.largest_packed >= _WORTH_IT * told.largest:
        said.append(
            tr(
                "With a KV cache in q8_0 (llm.llamacpp.cache_type), {largest_packed:,} tokens would fit.",
                largest_packed=told.largest_packed,
            )
        )
    return said


def _all_on_gpu(told: Estimate, short: Shortfall) -> str:
    size = in_gigabytes(short.missing_bytes)
    if short.where == "host":
        return tr(
            "With {size} more memory, all of it could lie on the graphics processor, which is faster.",
            size=size,
        )
    if not told.budget.gpus:
        return tr("A graphics card with {size} to use would hold all of it, which is much faster.", size=size)
    return tr("With {size} more on the graphics card, all of it would lie there, which is faster.", size=size)
