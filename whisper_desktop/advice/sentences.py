"""Why a model is recommended, or is not, as sentences: what a newcomer needs first, the arithmetic below."""

from whisper_desktop.advice.purposes import Purpose, Wish
from whisper_desktop.advice.score import SLOWEST, Waiting
from whisper_desktop.language import gigabytes, mark, number, tr
from whisper_desktop.models.catalogue import CatalogueModel
from whisper_desktop.models.fit import Fit, Shortfall
from whisper_desktop.models.speed import Speed
from whisper_desktop.values import IDENTITIES

_PROGRAMS = {"builtin": mark("the app's own engine")}
BUILD = mark("a llama.cpp build for the graphics (`whisper-desktop engine builds install`)")
_SIZE_OF_Q6 = 6.56 / 4.87  # of the Q4_K_M file of the same model: bits a weight, medians of 50 models
_ROOM_LEFT = 0.9  # of the budget may be taken by what is only nicer to have
_FINER_FROM = 30.0  # tokens a second that a finer file should still reach


def program_name(backend: str) -> str:
    """How a sentence calls the program with this id."""
    return tr(_PROGRAMS.get(backend, IDENTITIES[backend].name))


def fit_sentence(model: CatalogueModel, fit: Fit, *, present: bool) -> str:
    """Where the model goes, what is left, how much it remembers, and what has to be fetched, if anything."""
    size = gigabytes(model.file_bytes)
    if model.file_bytes_source == "approximate":
        size = tr("about {size}", size=size)
    fetched = (
        ""
        if present
        else tr(
            ": {quant}, {size} to download",
            quant=model.quant,
            size=size,
        )
    )
    return tr(
        "{model_id} fits {where} with {gigabytes} to spare at {context:,} tokens of context{fetched}.",
        model_id=model.id,
        where=_where(fit),
        gigabytes=gigabytes(fit.spare_bytes),
        context=fit.context,
        fetched=fetched,
    )


def _where(fit: Fit) -> str:
    card = tr("the graphics cards") if len(fit.budget.gpus) > 1 else tr("the graphics card")
    if fit.budget.unified:
        card = tr("the graphics part")
    return {
        "gpu": tr("in the memory that the graphics part shares")
        if fit.budget.unified
        else tr("on {card}", card=card),
        "experts": tr("on {card} with some of its experts kept in memory,", card=card),
        "partial": tr("on {card} and the processor together", card=card),
        "cpu": tr("in memory"),
    }[fit.mode]


def speed_sentence(speed: Speed, waiting: Waiting) -> str:
    """Tokens a second with their range, and how long a usual answer takes."""
    answer = speed.answer or 0.0
    takes = tr("a usual answer takes {duration}", duration=duration(waiting.seconds))
    if speed.source == "measured":
        before = (
            tr(", {predicted:.0f} predicted", predicted=speed.predicted)
            if speed.predicted is not None
            else ""
        )
        return tr(
            "{tokens_figure} tokens/s, measured on this computer{before}: {takes}.",
            tokens_figure=tokens_figure(answer),
            before=before,
            takes=takes,
        )
    how = tr("predicted from what was measured here") if speed.source == "calibrated" else tr("predicted")
    if not speed.known:
        how = tr("a guess")
    return tr(
        "About {tokens_figure} tokens/s ({speed_range}), {how}: {takes}.",
        tokens_figure=tokens_figure(answer),
        speed_range=speed_range(speed),
        how=how,
        takes=takes,
    )


def tokens_figure(tokens: float) -> str:
    """A speed as people read it: "31", "8.6"."""
    return number(tokens, ".0f" if tokens >= 9.95 else ".1f")


def speed_range(speed: Speed) -> str:
    """The range of a speed, both ends alike: "8 to 14", "2.7 to 4.2"."""
    if speed.high >= 9.95:
        return tr("{low:.0f} to {high:.0f}", low=speed.low, high=speed.high)
    return tr("{low:.1f} to {high:.1f}", low=speed.low, high=speed.high)


def duration(seconds: float) -> str:
    """A time as people say it: "4 s", "about 25 s", "about 2 minutes"."""
    if seconds < 9.5:
        return f"{max(1, round(seconds))} s"
    if seconds < 90:
        return tr("about {number} s", number=5 * round(seconds / 5))
    return tr("about {seconds} minutes", seconds=round(seconds / 60))


def quant_sentence(model: CatalogueModel, fit: Fit, speed: Speed) -> str:
    """Why the weights come in this form, and whether there would be room for a finer one."""
    quant = model.quant.upper()
    if quant.startswith("MXFP4"):
        return tr("{quant} because the model was trained in this form.", quant=model.quant)
    if "qat" in model.file.lower():
        return tr("{quant} because the model was trained to lose nothing in this form.", quant=model.quant)
    if "Q4" not in quant:
        return tr("{quant} because that is the file we know of this model.", quant=model.quant)
    why = tr(
        "{quant} because a larger model at four bits answers better than a smaller one at eight",
        quant=model.quant,
    )
    finer = fit.need_bytes + model.file_bytes * (_SIZE_OF_Q6 - 1)
    room = fit.mode == "gpu" and finer <= _ROOM_LEFT * fit.budget_bytes
    if room and (speed.answer or 0.0) / _SIZE_OF_Q6 >= _FINER_FROM:
        return tr("{why}; a Q6_K file would fit too, and is not in our list.", why=why)
    return f"{why}."


def thinking_sentence(model: CatalogueModel, waiting: Waiting, speed: Speed) -> str | None:
    """Whether it thinks before it answers; None for a model that never does."""
    if not (model.reasoning and model.think_tokens):
        return None
    if waiting.thinking:
        return tr("It thinks before it answers, which is quick enough here.")
    thought = waiting.seconds + model.think_tokens / (speed.answer or 1.0)
    return tr("Its thinking stays off: with it an answer would take {duration}.", duration=duration(thought))


def program_sentence(backend: str, base: str, fit: Fit, *, with_build: bool) -> str | None:
    """Why another program than the default one runs it; None where the default one does."""
    if backend == base:
        return None
    build = tr(", which takes {build}", build=tr(BUILD)) if with_build else ""
    if fit.mode == "experts" and base == "lm_studio":
        return tr(
            "LM Studio cannot be told to keep a model's experts in memory, so {program_name} runs it{build}.",
            program_name=program_name(backend),
            build=build,
        )
    return tr("It would run in {program_name}{build}.", program_name=program_name(backend), build=build)


def beside_sentence(wish: Wish) -> str | None:
    """What is loaded beside the model, if anything is."""
    if not wish.beside_bytes:
        return None
    kept = gigabytes(wish.beside_bytes)
    return tr(
        "{kept} is kept free for the part that sees, a second file that comes with the model.", kept=kept
    )


def certainty_sentence(speed: Speed) -> str:
    """How much of this is known."""
    if speed.source == "measured":
        return tr("Memory by llama.cpp's formulas, speed as measured here.")
    if not speed.known:
        return tr(
            "Memory by llama.cpp's formulas; the speed is a guess, because a part of this "
            "computer is in no table: `whisper-desktop bench machine` measures it."
        )
    return tr("Memory by llama.cpp's formulas, speed by the tables for this computer's parts.")


def quality_sentence(model: CatalogueModel) -> str | None:
    """How good it is, who says so, and when."""
    quality = model.quality
    if quality is None:
        return None
    return tr(
        "Quality {score:g} ± {plus_minus:g}, by {source} ({date}).",
        score=quality.score,
        plus_minus=quality.plus_minus,
        source=quality.source,
        date=quality.date,
    )


def licence_sentence(model: CatalogueModel) -> str:
    """Its licence, and what that does not allow."""
    return tr(
        "Licence: {licence}. {licence_limits}", licence=model.licence, licence_limits=model.licence_limits
    ).rstrip()


def too_large(shortfall: Shortfall | None, least_context: int) -> str:
    """Why a model that does not fit is not offered."""
    if shortfall is None:
        return tr(
            "Too large: too little would stay free at {least_context:,} tokens of context.",
            least_context=least_context,
        )
    missing = gigabytes(max(shortfall.missing_bytes, 50_000_000))
    return tr(
        "Too large: {missing} more than a model may take here, at {least_context:,} tokens of context.",
        missing=missing,
        least_context=least_context,
    )


def too_slow(speed: Speed, waiting: Waiting) -> str:
    """Why a model that fits is not offered."""
    answer = speed.answer or 0.0
    how = "" if speed.known else tr(" (a guess)")
    if answer < SLOWEST:
        return tr(
            "Fits, but would write only about {tokens_figure} tokens/s{how}.",
            tokens_figure=tokens_figure(answer),
            how=how,
        )
    return tr(
        "Fits, but a usual answer would take {duration}{how}.", duration=duration(waiting.seconds), how=how
    )


def unsuited(model: CatalogueModel, purpose: Purpose, wish: Wish) -> str | None:
    """Why a model does not suit the purpose, whatever the computer; None when it does."""
    if purpose is Purpose.VISION and not model.vision:
        return tr("It cannot see pictures.")
    if purpose is Purpose.CODE and "code" not in model.purposes:
        return tr("It is not one of those that write programs well.")
    if model.train_ctx < wish.contexts[-1] and purpose in (Purpose.CODE, Purpose.LONG):
        return tr(
            "It remembers at most {train_ctx:,} tokens; this takes {contexts:,}.",
            train_ctx=model.train_ctx,
            contexts=wish.contexts[-1],
        )
    return None


NO_PROGRAM = mark("Fits, but no program that runs here can place it so.")
UNRATED = mark("No independent rating of it is known, so it is only offered by name.")
