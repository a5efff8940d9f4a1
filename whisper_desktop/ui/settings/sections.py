"""How the settings are arranged for a person: sections, what comes first, what is folded away. No Qt."""

from collections.abc import Sequence
from dataclasses import dataclass

from whisper_desktop.language import mark, tr
from whisper_desktop.settings import SETTINGS, SettingInfo

KEYS = "keys"


@dataclass(frozen=True, slots=True)
class Section:
    """One entry of the list at the left.

    `first` are the settings that are open to see, in this order; what else begins with one of `prefixes` is
    behind "More". `open`: nothing is folded away.
    """

    id: str
    title: str
    about: str
    first: tuple[str, ...] = ()
    prefixes: tuple[str, ...] = ()
    open: bool = False


SECTIONS = (
    Section("chat", mark("Chat"), mark("Conversations on this computer."), (), ("chat.",), open=True),
    Section(
        "answers",
        mark("Answers and servers"),
        mark("Who answers, and in which order they are asked."),
        (
            "llm.backend",
            "llm.model_name",
            "llm.fallback_chain",
            "llm.auto_detect",
            "llm.base_url",
            "llm.addresses",
            "llm.on_interruption",
            "llm.ollama.model",
            "llm.openrouter.model",
        ),
        (
            "llm.mode",
            "llm.context_window",
            "llm.hedge",
            "llm.request_timeout",
            "llm.wait_for_loading",
            "llm.max_concurrent",
            "llm.lmstudio.",
            "llm.llamacpp.port",
            "llm.ollama.",
            "llm.openrouter.",
            "llm.openai.",
            "llm.anthropic.",
            "llm.gemini.",
        ),
    ),
    Section(
        "engine",
        mark("Own engine"),
        mark("The engine inside this app, which runs a model without another program."),
        (
            "llm.enable_direct",
            "llm.gguf_model_path",
            "llm.llamacpp.n_ctx",
            "llm.llamacpp.idle_minutes",
            "llm.llamacpp.sleep_under_pressure",
            "llm.llamacpp.sleep_on_battery",
        ),
        ("llm.llamacpp.",),
    ),
    Section(
        "downloads",
        mark("Downloads"),
        mark("How models are fetched, and where they are kept."),
        ("llm.model_cache_dir", "llm.model_folders", "downloads.most_mb_per_second", "downloads.at_once"),
        ("downloads.",),
    ),
    Section(
        "privacy",
        mark("Privacy and costs"),
        mark("How far what you write may travel, and what answers may cost."),
        ("llm.reach", "llm.allow_network"),
        ("privacy.", "llm.spending."),
        open=True,
    ),
    Section(
        "desktop",
        mark("Desktop"),
        mark("How the app looks, and where it shows itself."),
        ("ui.language", "ui.theme", "ui.tray_icon", "ui.notifications", "ui.quick_ask_shortcut"),
        ("ui.",),
    ),
    Section(KEYS, mark("Keys"), mark("Keys of services, kept in this computer's keyring.")),
    Section(
        "advanced",
        mark("Advanced"),
        mark("For those who know what they are looking for."),
        ("llm.show_setup_guidance",),
        ("",),
    ),
)


@dataclass(frozen=True, slots=True)
class Contents:
    """The settings of a section: those to see, and those behind "More"."""

    first: tuple[SettingInfo, ...]
    more: tuple[SettingInfo, ...]


def section_of(key: str) -> Section:
    """The section that a setting stands in."""
    for section in SECTIONS:
        if key in section.first:
            return section
    fitting = [
        (len(prefix), section)
        for section in SECTIONS
        for prefix in section.prefixes
        if key.startswith(prefix)
    ]
    return max(fitting, key=lambda pair: pair[0])[1]


def contents(section: Section) -> Contents:
    """What a section shows."""
    by_key = {info.key: info for info in SETTINGS.values()}
    first = [by_key[key] for key in section.first]
    rest = [
        info
        for info in SETTINGS.values()
        if info.key not in section.first and section_of(info.key) is section
    ]
    return Contents((*first, *rest), ()) if section.open else Contents(tuple(first), tuple(rest))


def found(text: str) -> tuple[tuple[Section, tuple[SettingInfo, ...]], ...]:
    """The settings that have every word of a text in their names or sentences, by section."""
    words = text.casefold().split()
    groups = []
    for section in SECTIONS:
        shown = contents(section)
        fitting = tuple(
            info
            for info in (*shown.first, *shown.more)
            if _has(words, (_everything(info), tr(section.title)))
        )
        if fitting:
            groups.append((section, fitting))
    return tuple(groups)


def is_found(text: str, *texts: str) -> bool:
    """Whether every word of a search stands in one of the texts."""
    return _has(text.casefold().split(), texts)


def _has(words: Sequence[str], texts: Sequence[str]) -> bool:
    everything = " ".join(texts).casefold()
    return all(word in everything for word in words)


def _everything(info: SettingInfo) -> str:
    return f"{tr(info.title)} {tr(info.description)} {info.key} {info.variable}"
