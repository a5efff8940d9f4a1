"""Which control each declared setting takes, and where it stands. No window."""

import pytest

from whisper_desktop.settings import SETTINGS, SettingInfo
from whisper_desktop.settings.schema import checked
from whisper_desktop.ui.settings.sections import SECTIONS, contents, found, section_of
from whisper_desktop.ui.settings.shapes import Kind, choice_words, shape_of, word_for

BY_KEY = {info.key: info for info in SETTINGS.values()}


def info(key: str) -> SettingInfo:
    return BY_KEY[key]


@pytest.mark.parametrize(
    ("key", "kind"),
    [
        ("chat.keep", Kind.SWITCH),
        ("ui.theme", Kind.CHOICE),
        ("llm.reach", Kind.CHOICE),
        ("llm.on_interruption", Kind.CHOICE),
        ("llm.backend", Kind.CHOICE),
        ("llm.lmstudio.port", Kind.WHOLE),
        ("llm.request_timeout", Kind.AMOUNT),
        ("llm.model_name", Kind.TEXT),
        ("llm.llamacpp.extra_args", Kind.OPTIONS),
        ("llm.gguf_model_path", Kind.FILE),
        ("llm.model_cache_dir", Kind.FOLDER),
        ("llm.model_folders", Kind.FOLDERS),
        ("llm.fallback_chain", Kind.LIST),
        ("llm.addresses", Kind.LIST),
        ("ui.quick_ask_shortcut", Kind.KEYS),
        ("privacy.server_reach", Kind.CONSENTS),
        ("ui.geometry", Kind.KEPT),
    ],
)
def test_the_control_follows_from_the_declared_type(key: str, kind: Kind) -> None:
    assert shape_of(info(key)).kind is kind


def test_numbers_have_the_declared_bounds_and_their_word() -> None:
    port = shape_of(info("llm.lmstudio.port"))
    assert (port.least, port.most, port.has_word) == (1, 65535, False)
    context = shape_of(info("llm.llamacpp.n_ctx"))
    assert (context.least, context.has_word, context.word) == (1, True, "auto")
    daily = shape_of(info("llm.spending.daily"))
    assert (daily.has_word, daily.word, word_for(info("llm.spending.daily"), daily)) == (
        True,
        None,
        "No limit",
    )
    quorum = shape_of(info("llm.pool.quorum"))
    assert (quorum.word, word_for(info("llm.pool.quorum"), quorum)) == ("all", "All")


@pytest.mark.parametrize("key", BY_KEY)
def test_what_can_be_chosen_is_what_the_setting_takes(key: str) -> None:
    shape = shape_of(info(key))
    values = [] if shape.kind is Kind.LIST else list(shape.choices)
    if shape.has_word:
        values.append(shape.word)
    for value in values:
        assert checked(info(key), value) == value
        assert choice_words(value)
    if shape.kind is Kind.CHOICE:
        assert info(key).default in shape.choices


def test_every_setting_stands_in_one_section() -> None:
    shown = [
        each.key
        for section in SECTIONS
        for part in (contents(section),)
        for each in (*part.first, *part.more)
    ]
    assert sorted(shown) == sorted(BY_KEY)


def test_a_setting_that_nobody_has_placed_is_behind_more_of_the_nearest_section() -> None:
    assert section_of("llm.llamacpp.new_option").id == "engine"
    assert section_of("something.new").id == "advanced"


def test_a_search_looks_at_names_sentences_keys_and_variables() -> None:
    def keys(text: str) -> list[str]:
        return [each.key for _, infos in found(text) for each in infos]

    assert keys("fallback chain") == ["llm.fallback_chain"]
    assert keys("WHISPER_LLM_STUB") == ["llm.stub"]
    assert "llm.llamacpp.idle_minutes" in keys("gives memory back minutes")
    assert keys("no such words anywhere") == []
