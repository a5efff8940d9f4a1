"""What people write for a model, and which files are meant by it."""

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whisper_desktop.errors import TransferError
from whisper_desktop.models.hub_answers import HubFile
from whisper_desktop.models.sources import MOST_FILES, Source, choose, parse_source

REPO = "Qwen/Qwen3-4B-GGUF"
FILE = "Qwen3-4B-Q4_K_M.gguf"


@dataclass
class Entry:
    """What a catalogue would give."""

    repo: str = REPO
    file: str = FILE


def in_catalogue(name: str) -> Entry | None:
    return Entry() if name in ("qwen3-4b", "Qwen3 4B") else None


# --- what was named ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("qwen3-4b", Source("hub", REPO, FILE)),
        ("  'Qwen3 4B' ", Source("hub", REPO, FILE)),
        (REPO, Source("hub", REPO)),
        (f"{REPO}:Q8_0", Source("hub", REPO, quant="Q8_0")),
        (f"{REPO}/{FILE}", Source("hub", REPO, FILE)),
        (f"{REPO}/Q8/{FILE}", Source("hub", REPO, f"Q8/{FILE}")),
        (f"{REPO}:{FILE}", Source("hub", REPO, FILE)),
        (f"hf.co/{REPO}", Source("hub", REPO)),
        (f"hf.co/{REPO}:IQ4_XS", Source("hub", REPO, quant="IQ4_XS")),
        (f"HuggingFace.co/{REPO}/{FILE}", Source("hub", REPO, FILE)),
        (f"https://huggingface.co/{REPO}", Source("hub", REPO)),
        (f"https://huggingface.co/{REPO}/", Source("hub", REPO)),
        (f"https://huggingface.co/{REPO}/tree/main", Source("hub", REPO)),
        (f"https://huggingface.co/{REPO}/tree/v2/Q8", Source("hub", REPO, revision="v2")),
        (f"https://huggingface.co/{REPO}/blob/main/{FILE}", Source("hub", REPO, FILE)),
        (f"https://huggingface.co/{REPO}/resolve/v2/a%20b/{FILE}?download=true",
         Source("hub", REPO, f"a b/{FILE}", revision="v2")),
        (f"https://mirror.example/{REPO}/blob/main/{FILE}", Source("hub", REPO, FILE)),
        (f"mirror.example/{REPO}", Source("hub", REPO)),
        ("https://example.org/m/model.gguf?sig=x", Source("url", "https://example.org/m/model.gguf?sig=x")),
        ("http://192.168.1.5/model.gguf", Source("url", "http://192.168.1.5/model.gguf")),
        ("ollama:qwen3:4b", Source("ollama", "qwen3:4b")),
        (f"Ollama:hf.co/{REPO}:Q4_K_M", Source("ollama", f"hf.co/{REPO}:Q4_K_M")),
        ("lmstudio:qwen/qwen3-4b", Source("lm_studio", "qwen/qwen3-4b")),
        ("lm_studio: qwen/qwen3-4b@q8_0", Source("lm_studio", "qwen/qwen3-4b", quant="q8_0")),
    ],
)  # fmt: skip
def test_every_way_to_name_a_model_is_understood(text: str, source: Source) -> None:
    assert parse_source(text, find=in_catalogue, endpoint="https://mirror.example") == source


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "Nothing was named."),
        ("qwen99", "catalogue has no model"),
        (FILE, "the repository it lies in is missing"),
        ("/home/me/model.gguf", "place on this computer"),
        ("C:\\models\\a.gguf", "place on this computer"),
        ("./a/b.gguf", "place on this computer"),
        (f"{REPO}/model.safetensors", "not GGUF"),
        (f"{REPO}/../../x.gguf", "not GGUF"),
        (f"{REPO}:not a quant", "not a quantization"),
        (f"{REPO}/{FILE}:Q4_K_M", "not a quantization"),
        ("a b/c", "does not name a repository"),
        ("https://huggingface.co/datasets/a/b", "not one of a model"),
        ("https://huggingface.co/Qwen", "does not name a repository"),
        (f"https://huggingface.co/{REPO}/blob/main/..%2f..%2fx.gguf", "not GGUF"),
        ("https://example.org/", "the name of a GGUF file"),
        ("https://example.org/model.safetensors", "the name of a GGUF file"),
        ("http://example.org/model.gguf", "Without encryption"),
        ("ftp://example.org/model.gguf", "http"),
        ("ollama:", "not a name in Ollama's library"),
        ("ollama:../x", "not a name in Ollama's library"),
        ("lmstudio:a b", "not a model's key"),
        ("x" * 5000, "too long"),
        ("a\nb/c", "characters in it"),
    ],
)
def test_what_names_none_gets_one_sentence_and_an_example(text: str, why: str) -> None:
    with pytest.raises(TransferError) as caught:
        parse_source(text, find=in_catalogue)
    assert "names no model that can be downloaded." in caught.value.title
    assert why in caught.value.detail
    assert caught.value.next_step.startswith("Write, for example: ")
    assert len(str(caught.value)) < 500


def test_a_pasted_key_is_not_repeated() -> None:
    with pytest.raises(TransferError) as caught:
        parse_source("hf_AbCdEfGhIjKlMnOp1234567890")
    assert "hf_" not in str(caught.value)


def test_what_may_be_secret_in_an_address_is_not_shown() -> None:
    source = parse_source("https://example.org/model.gguf?sig=secret")
    assert str(source) == "https://example.org/model.gguf"
    assert "secret" not in repr(source)
    with pytest.raises(TransferError) as caught:
        parse_source("https://example.org/model.bin?sig=secret")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        REPO,
        f"{REPO}/{FILE}",
        f"{REPO}:Q8_0",
        f"hf.co/{REPO}/tree/v2",
        f"hf.co/{REPO}/blob/v2/{FILE}",
        "ollama:qwen3:4b",
        "lmstudio:qwen/qwen3-4b@q8_0",
    ],
)
def test_a_source_is_written_as_it_is_read(text: str) -> None:
    assert str(parse_source(text)) == text
    assert parse_source(str(parse_source(text))) == parse_source(text)


@given(st.text() | st.from_regex(r"(https?://|hf\.co/|ollama:)?[\w./:@?%-]{0,60}", fullmatch=True))
def test_any_text_is_a_source_or_a_sentence(text: str) -> None:
    try:
        source = parse_source(text, find=in_catalogue)
    except TransferError as error:
        assert error.detail  # noqa: PT017
        return
    assert ".." not in source.file.split("/")
    assert source.name


# --- what is meant by it ----------------------------------------------------------------------------------


def listed(*paths: str) -> tuple[HubFile, ...]:
    return tuple(HubFile(path, 100) for path in paths)


def refused(files: tuple[HubFile, ...], source: Source) -> TransferError:
    with pytest.raises(TransferError) as caught:
        choose(files, source)
    assert caught.value.next_step
    return caught.value


@pytest.mark.parametrize(
    ("names", "chosen"),
    [
        (["m-Q8_0", "m-Q4_K_M", "m-Q4_0", "m-Q2_K"], "Q4_K_M"),
        (["m-Q8_0", "m-Q4_K_S", "m-IQ4_XS"], "Q4_K_S"),
        (["m-Q8_0", "m-UD-Q4_K_XL", "m-Q4_0"], "UD-Q4_K_XL"),
        (["m-BF16", "m-Q8_0", "m-Q2_K"], "Q8_0"),
        (["m-F16", "m-Q5_K_M", "m-Q6_K", "m-Q3_K_M"], "Q5_K_M"),
        (["m-F16", "gpt-oss-20b-mxfp4"], "MXFP4"),
        (["m-BF16", "m-F32"], "BF16"),
    ],
)
def test_where_only_a_repository_is_named_four_bits_come_first(names: list[str], chosen: str) -> None:
    found = choose(listed("README.md", *(f"{name}.gguf" for name in names)), Source("hub", REPO))
    assert found.quant == chosen
    assert len(found.files) == 1
    assert chosen in found.note
    assert len(found.others) == len(names) - 1


def test_a_named_quantization_is_taken_in_any_spelling() -> None:
    files = listed("m-Q4_K_M.gguf", "m-Q8_0.gguf", "m-UD-Q2_K_XL.gguf")
    assert choose(files, Source("hub", REPO, quant="q8_0")).files[0].path == "m-Q8_0.gguf"
    assert choose(files, Source("hub", REPO, quant="Q2_K_XL")).files[0].path == "m-UD-Q2_K_XL.gguf"
    assert choose(files, Source("hub", REPO, quant="q8_0")).note == ""
    error = refused(files, Source("hub", REPO, quant="Q6_K"))
    assert "Q4_K_M, Q8_0, UD-Q2_K_XL" in error.detail


def test_parts_come_together_and_in_their_order() -> None:
    parts = [f"Q4_K_M/m-{number:05}-of-00003.gguf" for number in (3, 1, 2)]
    files = listed(*parts, "Q8_0/m-00001-of-00001.gguf")
    found = choose(files, Source("hub", REPO))
    assert [file.path for file in found.files] == sorted(parts)
    assert found.quant == "Q4_K_M"
    assert choose(files, Source("hub", REPO, "Q4_K_M/m-00002-of-00003.gguf")).files == found.files
    assert "not whole" in refused(listed(*parts[:2]), Source("hub", REPO)).title


def test_what_only_belongs_to_a_model_is_not_chosen_but_named() -> None:
    files = listed("mmproj-F32.gguf", "mmproj-F16.gguf", "m-Q4_K_M.gguf", "m.imatrix.gguf")
    found = choose(files, Source("hub", REPO))
    assert [file.path for file in found.files] == ["m-Q4_K_M.gguf"]
    assert [file.path for file in found.projectors] == ["mmproj-F16.gguf", "mmproj-F32.gguf"]
    assert "mmproj-F16.gguf" in found.note
    alone = choose(files, Source("hub", REPO, "mmproj-F16.gguf"))
    assert [file.path for file in alone.files] == ["mmproj-F16.gguf"]
    assert alone.note == ""


def test_a_file_is_found_by_its_name_alone_and_the_nearest_are_suggested() -> None:
    files = listed("gguf/Qwen3-4B-Q4_K_M.gguf", "gguf/Qwen3-4B-Q8_0.gguf", "README.md")
    assert choose(files, Source("hub", REPO, FILE)).files[0].path == f"gguf/{FILE}"
    error = refused(files, Source("hub", REPO, "gguf/Qwen3-4B-Q4_K_N.gguf"))
    assert error.next_step == f"Name one of them: {REPO}/gguf/{FILE}."


def test_several_models_in_one_repository_are_not_guessed() -> None:
    error = refused(listed("a-Q4_K_M.gguf", "b-Q4_K_M.gguf"), Source("hub", REPO))
    assert "a-Q4_K_M.gguf, b-Q4_K_M.gguf" in error.detail


def test_a_repository_for_other_programs_is_told() -> None:
    assert "has no GGUF file" in refused(listed("model.safetensors"), Source("hub", REPO)).title


def test_a_file_and_a_division_of_it_are_two_models_and_a_file_listed_twice_is_one() -> None:
    files = listed("m-Q8_0.gguf", "m-Q8_0-00001-of-00001.gguf", "m-Q4_K_M.gguf", "m-Q4_K_M.gguf")
    assert len(choose(files, Source("hub", REPO)).files) == 1
    for name in ("m-Q8_0.gguf", "m-Q8_0-00001-of-00001.gguf"):
        assert [file.path for file in choose(files, Source("hub", REPO, name)).files] == [name]


def test_a_model_in_more_files_than_any_has_is_refused() -> None:
    count = MOST_FILES + 1
    error = refused(
        listed(*(f"m-Q8_0-{n:05}-of-{count:05}.gguf" for n in range(1, count + 1))), Source("hub", REPO)
    )
    assert error.detail == f"It is divided into {count} files, and no model has more than {MOST_FILES}."
