"""The list of models: every entry sound, its arithmetic llama.cpp's, a person's own list never harmful."""

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from whisper_desktop.models.catalogue import Catalogue, CatalogueModel, load
from whisper_desktop.models.catalogue_search import NOT_CHECKED, candidates, entry
from whisper_desktop.models.hub_answers import HubModel, read_files, read_models
from whisper_desktop.models.memory import ModelMemory, Placement, kv_cache_bytes
from whisper_desktop.models.shape import Weights
from whisper_desktop.settings.paths import resource
from whisper_desktop.values import GIB, ResourceInfo

OURS = load()
BY_ID = {model.id: model for model in OURS}

# Computed by llama.cpp itself (no-allocation loading) for each model and context, f16, one sequence.
GOLDEN = json.loads((Path(__file__).parent / "golden_kv_bytes.json").read_text())

OLDER = ("Mistral-7B", "CodeLlama-7B", "Phi-3-mini", "gemma-2b", "TinyLlama", "Llama-3.1", "Llama-3.2")

# Bits per weight of whole files, least and most, as quantizers made them of 50 models.
BITS = {
    "Q4_0": (4.5, 6.0),
    "Q4_K": (4.7, 6.4),
    "Q4_K_M": (4.7, 6.4),
    "UD-Q4_K_M": (4.7, 6.4),
    "MXFP4": (4.3, 4.7),
}

# Weights, cache and compute buffer at 8,192 tokens on one graphics card, in GiB: llama.cpp's own accounts
# (release b11434). Not of gemma-4 12B, 26B and 31B, whose account left out the table that is the output too,
# nor of gemma-4-E2B, which was another file.
ON_A_CARD = {
    "Qwen3-0.6B": 1.27,
    "Qwen3-1.7B": 1.96,
    "LFM2.5-350M": 0.35,
    "LFM2.5-1.2B-Instruct": 0.84,
    "LFM2.5-2.6B": 1.76,
    "LFM2.5-8B-A1B": 4.96,
    "MiniCPM5-1B": 0.76,
    "Qwen3.5-0.8B": 0.64,
    "Qwen3.5-2B": 1.35,
    "Qwen3.5-4B": 2.92,
    "Qwen3.5-9B": 5.15,
    "Qwen3.8-27B": 16.03,
    "Qwen3.6-35B-A3B": 20.62,
    "Qwen3.5-122B-A10B": 71.32,
    "Qwen3-Coder-Next": 45.34,
    "Qwen3-Coder-30B-A3B-Instruct": 17.95,
    "Qwen3-4B-Instruct-2507": 3.53,
    "Qwen3-8B": 5.59,
    "Qwen3-14B": 9.37,
    "gemma-4-E4B-it": 3.08,
    "gpt-oss-20b": 10.99,
    "gpt-oss-120b": 58.85,
    "granite-4.2-3b": 2.65,
    "granite-4.2-8b": 6.12,
    "granite-4.2-30b": 18.51,
    "Ministral-3-3B-Instruct-2512": 2.89,
    "Ministral-3-8B-Instruct-2512": 5.74,
    "Ministral-3-14B-Instruct-2512": 8.70,
    "Devstral-Small-2-24B-Instruct-2512": 14.47,
    "GLM-4.7-Flash": 17.31,
    "Nemotron-3-Nano-30B-A3B": 22.78,
    "GLM-4.5-Air": 66.88,
    "Llama-3.2-1B-Instruct": 1.07,
    "Llama-3.2-3B-Instruct": 2.83,
    "Llama-3.1-8B-Instruct": 5.42,
    "Llama-3.3-70B-Instruct": 41.78,
    "Phi-4-mini-instruct": 3.39,
    "gemma-3-1b-it": 0.77,
    "gemma-3-4b-it": 2.75,
    "gemma-3-12b-it": 7.72,
    "gemma-3-27b-it": 16.21,
    "SmolLM3-3B": 2.43,
}


def machine() -> ResourceInfo:
    return ResourceInfo("Linux", "", "x86_64", "cpu", 8, 16, 256 * GIB, 256 * GIB, has_display=True)


# --- Ours -------------------------------------------------------------------------------------------------


def test_our_list_has_no_wrong_entry_and_enough_current_models_of_every_size() -> None:
    assert OURS.problems == ()
    current = [model for model in OURS if not model.older]
    assert len(current) >= 30
    sizes = sorted(model.billions for model in current)
    assert sizes[0] < 0.4
    assert sizes[-1] > 115
    assert all(bigger < 3 * smaller for smaller, bigger in zip(sizes, sizes[1:], strict=False))
    for name in OLDER:
        assert any(model.id.startswith(name) and model.older for model in OURS), name


def test_names_belong_to_one_model_each() -> None:
    for names in (
        [model.id.casefold() for model in OURS],
        [f"{model.repo}/{model.file}" for model in OURS],
        [model.lm_studio for model in OURS if model.lm_studio],
        [model.ollama for model in OURS if model.ollama],
        [model.openrouter for model in OURS if model.openrouter],
        [model.sha256 for model in OURS if model.sha256],
    ):
        assert len(set(names)) == len(names)


@pytest.mark.parametrize("model", OURS, ids=lambda model: model.id)
def test_an_entry_is_plausible(model: CatalogueModel) -> None:
    least, most = BITS[model.quant]
    assert least <= 8 * model.file_bytes / model.params <= most
    assert model.train_ctx >= 2048
    assert model.purposes
    assert ("vision" in model.purposes) == model.vision
    assert model.think_tokens == 0 or model.reasoning
    terms = {licence.id: licence for licence in OURS.licences}[model.licence]
    assert model.licence_limits == terms.limits
    assert terms.url.startswith("https://")
    if model.quality is not None:
        assert 20 < model.quality.score < 90
        assert 0 < model.quality.plus_minus < 5
        assert model.quality.sources > 0
        assert model.quality.source
        assert model.quality.date
    if model.file_bytes_source == "computed":
        assert model.sha256 is None


@pytest.mark.parametrize("model", OURS, ids=lambda model: model.id)
def test_a_shape_accounts_for_the_file(model: CatalogueModel) -> None:
    shape = model.shape
    head = shape.file_bytes - shape.weights.size_bytes
    assert shape.file_bytes == model.file_bytes
    assert 0 < head < 40_000_000
    assert shape.knows_cache
    assert not shape.exact
    assert all(sum(size for _, size in part.matrices) <= part.size_bytes for part in parts_of(model))
    assert shape.feed_forward or shape.expert_feed_forward
    assert shape.train_ctx == model.train_ctx


def parts_of(model: CatalogueModel) -> list[Weights]:
    layers = model.shape.layers
    return [
        model.shape.embedding,
        model.shape.output,
        *(part for layer in layers for part in (layer.weights, layer.experts)),
    ]


@pytest.mark.parametrize("name", sorted(GOLDEN))
def test_the_kv_cache_agrees_with_llama_cpp_to_the_byte(name: str) -> None:
    model = BY_ID[name]
    ours = {
        context: kv_cache_bytes(model.kv, int(context), state_bytes=model.state_bytes)
        for context in GOLDEN[name]
    }
    assert ours == GOLDEN[name]


@pytest.mark.parametrize("name", sorted(ON_A_CARD))
def test_what_a_card_needs_agrees_with_llama_cpp_within_two_percent(name: str) -> None:
    need = ModelMemory(BY_ID[name].shape, machine()).need(Placement(8192, (999,)))
    assert need.gpu_bytes == pytest.approx(ON_A_CARD[name] * GIB, rel=0.02, abs=0.005 * GIB)


@pytest.mark.parametrize("name", ["gemma-4-12B-it", "gemma-4-26B-A4B-it", "gemma-4-31B-it"])
def test_a_table_that_is_the_output_too_is_on_the_card_and_beside_it(name: str) -> None:
    model = BY_ID[name]
    need = ModelMemory(model.shape, machine()).need(Placement(8192, (999,)))
    assert need.gpus[0].weights == pytest.approx(model.file_bytes - 15_800_000)
    assert need.host.weights == model.shape.embedding.size_bytes


@pytest.mark.parametrize(("name", "beside"), [("gemma-4-E2B-it", 1.5e9), ("gemma-4-E4B-it", 2.3e9)])
def test_a_table_for_each_layer_stays_beside_the_processor(name: str, beside: float) -> None:
    model = BY_ID[name]
    need = ModelMemory(model.shape, machine()).need(Placement(8192, (999,)))
    assert need.gpus[0].weights < model.file_bytes - beside
    assert need.host.weights > beside


def test_layers_are_in_their_order_where_it_is_known() -> None:
    windows = [layer.cache and layer.cache.window for layer in BY_ID["gemma-3-4b-it"].shape.layers]
    assert [place for place, window in enumerate(windows) if window is None] == [5, 11, 17, 23, 29]
    hybrid = BY_ID["Qwen3.5-4B"].shape.layers
    assert [place for place, layer in enumerate(hybrid) if layer.cache] == list(range(3, 32, 4))
    assert all(bool(layer.state_bytes) != bool(layer.cache) for layer in hybrid)
    shared = [layer.cache is not None for layer in BY_ID["gemma-4-E4B-it"].shape.layers]
    assert shared == [True] * 24 + [False] * 18


def test_recurrent_layers_without_a_known_order_are_spread_evenly() -> None:
    layers = BY_ID["Nemotron-3-Nano-30B-A3B"].shape.layers
    cached = [place for place, layer in enumerate(layers) if layer.cache]
    assert len(cached) == 6
    gaps = [later - earlier for earlier, later in zip(cached, cached[1:], strict=False)]
    assert set(gaps) <= {8, 9}
    assert sum(layer.state_bytes > 0 for layer in layers) == 23


def test_a_mixture_has_its_experts_in_the_layers_that_have_some() -> None:
    shape = BY_ID["GLM-4.7-Flash"].shape
    assert shape.layers[0].experts.size_bytes == 0
    assert sum(layer.experts.size_bytes for layer in shape.layers) == 16_873_926_661
    assert (shape.experts, shape.experts_used, shape.is_mixture) == (64, 4, True)
    assert not BY_ID["Qwen3-8B"].mixture


def test_the_types_of_weights_follow_from_their_size() -> None:
    dense = dict(BY_ID["Llama-3.1-8B-Instruct"].shape.layers[0].weights.matrices)
    assert 0.6 < dense["Q4_K"] / sum(dense.values()) < 0.85  # the recipe keeps a quarter in six bits
    layer = BY_ID["gpt-oss-20b"].shape.layers[0]
    assert dict(layer.experts.matrices).keys() == {"MXFP4"}
    assert dict(layer.weights.matrices).keys() == {"Q8_0"}
    tables = BY_ID["Qwen3-8B"].shape
    assert (tables.embedding.matrices[0][0], tables.output.matrices[0][0]) == ("Q4_K", "Q6_K")


def test_a_model_is_found_by_all_its_names() -> None:
    model = BY_ID["gpt-oss-20b"]
    for name in (
        "GPT-OSS-20B",
        "gpt-oss:20b",
        "openai/gpt-oss-20b",
        model.file,
        f"{model.repo}/{model.file}",
    ):
        assert OURS.find(name) is model
    air = BY_ID["GLM-4.5-Air"]
    assert OURS.find(air.file.rpartition("/")[2]) is air
    assert OURS.find(air.ollama_name) is air
    assert OURS.find("nothing like it") is None


def test_a_model_in_several_files_names_them_all() -> None:
    model = BY_ID["gpt-oss-120b"]
    parts = (f"gpt-oss-120b-mxfp4-0000{part}-of-00003.gguf" for part in (1, 2, 3))
    assert model.files == tuple(parts)
    assert BY_ID["Qwen3-8B"].files == ("Qwen3-8B-Q4_K_M.gguf",)


def test_ollama_is_given_a_repository_where_it_has_no_name_of_its_own_for_one_file_only() -> None:
    named, one, several = BY_ID["Qwen3-8B"], BY_ID["gemma-4-E4B-it"], BY_ID["GLM-4.5-Air"]
    assert (named.ollama_name, named.pulls_with_ollama) == ("qwen3:8b", True)
    assert (one.ollama_name, one.pulls_with_ollama) == ("hf.co/ggml-org/gemma-4-E4B-it-GGUF:Q4_K_M", True)
    assert not several.pulls_with_ollama
    assert BY_ID["gpt-oss-120b"].pulls_with_ollama


def test_lm_studio_is_given_the_address_of_the_repository_where_it_has_no_name_of_its_own() -> None:
    assert BY_ID["gpt-oss-20b"].lm_studio_name == "openai/gpt-oss-20b"
    assert BY_ID["Qwen3-14B"].lm_studio_name == "https://huggingface.co/Qwen/Qwen3-14B-GGUF"


def test_a_list_that_is_getting_old_says_so() -> None:
    assert OURS.age_days(OURS.date + timedelta(days=7)) == 7
    assert OURS.age_days(OURS.date - timedelta(days=7)) == 0
    assert OURS.age_sentence(OURS.date + timedelta(days=120)) == ""
    assert "121 days old" in OURS.age_sentence(OURS.date + timedelta(days=121))


# --- The person's own list --------------------------------------------------------------------------------

SMALLEST = {"repo": "me/Mine-GGUF", "file": "Mine-7B-Q5_K_M.gguf", "size": 5_000_000_000}


@pytest.fixture
def own(tmp_path: Path) -> Callable[[object], Catalogue]:
    """Our list with one of the person's own, given as text or as the value in it."""

    def read(value: object) -> Catalogue:
        path = tmp_path / "models.yaml"
        path.write_text(value if isinstance(value, str) else yaml.safe_dump(value), "utf-8")
        return load(path)

    return read


def test_without_an_own_list_there_are_ours(tmp_path: Path) -> None:
    assert load(tmp_path / "models.yaml") is OURS


def test_repository_file_and_size_are_enough(own: Callable[[object], Catalogue]) -> None:
    catalogue = own([SMALLEST])
    assert catalogue.problems == ()
    assert catalogue.models[:-1] == OURS.models
    model = catalogue[-1]
    assert (model.id, model.quant, model.own) == ("Mine-7B-Q5_K_M", "Q5_K_M", True)
    assert (model.file_bytes, model.file_bytes_source) == (5_000_000_000, "published")
    assert not model.shape.knows_cache
    assert model.shape.weights.size_bytes == model.file_bytes
    known = model.with_shape(BY_ID["Qwen3-8B"].shape)
    assert known.shape.knows_cache
    assert known.train_ctx == 40960


def test_the_same_id_replaces_ours_in_its_place(own: Callable[[object], Catalogue]) -> None:
    text = resource("catalog.yaml").read_text("utf-8")
    (theirs,) = [entry for entry in yaml.safe_load(text)["models"] if entry["id"] == "Qwen3-8B"]
    catalogue = own({"models": [theirs | {"id": "qwen3-8b", "context": 8192}]})
    assert catalogue.problems == ()
    assert len(catalogue) == len(OURS)
    place = OURS.models.index(BY_ID["Qwen3-8B"])
    assert (catalogue[place].id, catalogue[place].train_ctx, catalogue[place].own) == ("qwen3-8b", 8192, True)
    assert catalogue[place].shape.kv_groups == BY_ID["Qwen3-8B"].shape.kv_groups


def test_a_file_of_ones_own_is_read(own: Callable[[object], Catalogue]) -> None:
    guide = resource("guide", "guide.gguf")
    catalogue = own([{"id": "My guide", "path": str(guide), "abilities": ["tools"]}])
    assert catalogue.problems == ()
    model = catalogue[-1]
    assert (model.id, model.path, model.tools) == ("My guide", guide, True)
    assert model.file_bytes == guide.stat().st_size
    assert model.shape.exact
    assert model.shape.knows_cache
    assert catalogue.find(str(guide)) is model


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"size": None}, "size"),
        ({"size": 0}, "size"),
        ({"size": True}, "size"),
        ({"size": {"bytes": 10**15}}, "size.bytes"),
        ({"size": {"bytes": 5, "known": "guessed"}}, "size.known"),
        ({"repo": "https://evil.example/x"}, "repo"),
        ({"repo": "../x"}, "repo"),
        ({"repo": "a/b..c"}, "repo"),
        ({"context": True}, "context"),
        ({"repo": ["a/b"]}, "repo"),
        ({"file": "../../etc/passwd.gguf"}, "file"),
        ({"file": "/abs.gguf"}, "file"),
        ({"file": "weights.bin"}, "file"),
        ({"sha256": "abc"}, "sha256"),
        ({"contxt": 4096}, "contxt"),
        ({"context": "4k"}, "context"),
        ({"abilities": ["tools", "flying"]}, "abilities"),
        ({"purposes": "chat"}, "purposes"),
        ({"older": "yes please"}, "older"),
        ({"licence": "x" * 301}, "licence"),
        ({"quality": {"score": 101, "plus_minus": 1}}, "quality.score"),
        ({"quality": {"score": float("nan"), "plus_minus": 1}}, "quality.score"),
        ({"ids": {"ollama": "two words"}}, "ids.ollama"),
        ({"ids": {"grok": "x"}}, "ids.grok"),
        ({"shape": {"architecture": "llama", "dims": {"layers": 10**9}, "weights": {}}}, "shape.weights"),
        ({"path": "/nowhere/model.gguf"}, "path"),
        ({"path": "relative.gguf"}, "path"),
    ],
)
def test_a_wrong_entry_is_named_with_its_key_and_left_out_alone(
    own: Callable[[object], Catalogue], change: dict[str, object], key: str
) -> None:
    catalogue = own([SMALLEST | {"id": "Wrong one"} | change, SMALLEST])
    (problem,) = catalogue.problems
    assert problem.startswith('models.yaml: the model "Wrong one" is left out, because its ')
    assert f'"{key}"' in problem
    assert problem.endswith(".")
    assert catalogue.models[:-1] == OURS.models
    assert catalogue[-1].id == "Mine-7B-Q5_K_M"


def test_a_sentence_repeats_nothing_that_a_terminal_would_obey(own: Callable[[object], Catalogue]) -> None:
    catalogue = own([{"id": "\x1b[31mred", "file": "a.gguf"}, SMALLEST | {"\x1b]0;": 1}])
    assert len(catalogue.problems) == 2
    assert all(problem.isprintable() for problem in catalogue.problems)


def test_more_layers_with_a_cache_than_layers_are_refused(own: Callable[[object], Catalogue]) -> None:
    text = resource("catalog.yaml").read_text("utf-8")
    (theirs,) = [entry for entry in yaml.safe_load(text)["models"] if entry["id"] == "Qwen3-8B"]
    theirs["shape"]["cache"][0]["layers"] = 37
    (problem,) = own([theirs]).problems
    assert '"shape.cache" has more layers than the model' in problem


def test_a_second_entry_of_the_same_id_is_left_out(own: Callable[[object], Catalogue]) -> None:
    catalogue = own([SMALLEST, SMALLEST | {"size": 7}])
    assert catalogue[-1].file_bytes == 5_000_000_000
    assert '"id" is that of an entry before it' in catalogue.problems[0]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("- a: [1,\n  b: }", "is not valid YAML"),
        ("- !!python/object/apply:os.system ['true']", "is not valid YAML"),
        ("a: &a [1]\nb: [*a, *a]", "stands for another one"),
        ("[" * 5000, "nested too deeply"),
        ("# " + "x" * 1_000_000, "larger than 1 MB"),
        ("just words", "not a list of models"),
        ("- 2026-99-99", "is not valid YAML"),
        ("- \x00", "is not valid YAML"),
        ("", "not a list of models"),
    ],
)
def test_a_list_that_cannot_be_read_leaves_ours_and_says_why(
    own: Callable[[object], Catalogue], text: str, why: str
) -> None:
    catalogue = own(text)
    assert catalogue.models == OURS.models
    (problem,) = catalogue.problems
    assert problem.startswith("models.yaml is not used")
    assert why in problem


def test_a_folder_in_place_of_the_list_and_text_in_another_coding_are_said(tmp_path: Path) -> None:
    (tmp_path / "models.yaml").write_bytes(b"- \xff\xfe")
    assert "cannot be read" in load(tmp_path / "models.yaml").problems[0]
    assert "cannot be read" in load(tmp_path).problems[0]


def test_only_so_many_models_are_read(own: Callable[[object], Catalogue]) -> None:
    catalogue = own("\n".join(f"- {{id: m{n}, repo: a/b, file: m{n}.gguf, size: 1}}" for n in range(1100)))
    assert len(catalogue) == len(OURS) + 1000
    assert catalogue.problems == ("models.yaml: only the first 1000 models are used.",)


KEYS = [
    "id",
    "repo",
    "file",
    "size",
    "path",
    "shape",
    "quality",
    "ids",
    "dims",
    "weights",
    "cache",
    "layers",
    "state",
]
PLAIN = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.dates()
ANYTHING = st.recursive(
    PLAIN,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(KEYS) | PLAIN, inner, max_size=6)
    ),
)


@given(st.lists(ANYTHING, max_size=4))
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_list_whatever_does_harm(own: Callable[[object], Catalogue], entries: list[object]) -> None:
    catalogue = own(entries)
    assert catalogue.models[: len(OURS)] == OURS.models or len(catalogue) == len(OURS)
    for problem in catalogue.problems:
        assert problem.isprintable()
        assert len(problem) < 500


# --- Found on a hub ---------------------------------------------------------------------------------------

FOUND = [
    {
        "id": "Qwen/Qwen3-8B-GGUF",
        "author": "Qwen",
        "downloads": 184301,
        "likes": 112,
        "gated": False,
        "tags": ["gguf", "license:apache-2.0"],
        "lastModified": "2025-05-09T09:39:08.000Z",
        "gguf": {"total": 8190735360, "architecture": "qwen3", "context_length": 40960},
    },
    {"id": "someone/Nothing-Told-13B-GGUF", "gated": "auto"},
]


def file(path: str, size: int, sha256: str | None = None) -> dict[str, object]:
    lfs = {"oid": sha256 or "0" * 64, "size": size, "pointerSize": 135}
    return {"type": "file", "oid": "9655", "size": 135, "path": path, "lfs": lfs, "xetHash": "1"}


TREE = [
    {"type": "directory", "oid": "1", "size": 0, "path": "Q8_0"},
    {"type": "file", "oid": "2", "size": 1519, "path": "README.md"},
    file("Qwen3-8B-Q8_0.gguf", 8709518624),
    file("Qwen3-8B-Q4_K_M.gguf", 5027783488, "d9" * 32),
    file("UD/Qwen3-8B-UD-Q4_K_M.gguf", 5100000000),
    file("Q8_0/Big-00002-of-00002.gguf", 4_000_000_000),
    file("Q8_0/Big-00001-of-00002.gguf", 5_000_000_000),
    file("F16/Torn-00001-of-00003.gguf", 5_000_000_000),
    file("mmproj-F16.gguf", 700_000_000),
    file("imatrix_unsloth.gguf", 4_000_000),
    file("mtp-Qwen3-8B-Q4_0.gguf", 900_000_000),
]


def test_a_search_gives_candidates_that_are_not_checked_with_the_usual_form_first() -> None:
    qwen, other = read_models(FOUND)
    found = candidates(qwen, read_files(TREE), OURS)
    assert [one.file for one in found] == [
        "UD/Qwen3-8B-UD-Q4_K_M.gguf",
        "Qwen3-8B-Q4_K_M.gguf",
        "Q8_0/Big-00001-of-00002.gguf",
        "Qwen3-8B-Q8_0.gguf",
    ]
    ours = found[1]
    assert (ours.quant, ours.file_bytes, ours.sha256) == ("Q4_K_M", 5027783488, "d9" * 32)
    assert (ours.params, ours.train_ctx, ours.downloads, ours.updated) == (
        8190735360,
        40960,
        184301,
        "2025-05-09",
    )
    assert (ours.known, ours.note) == ("Qwen3-8B", "")
    assert [one.note for one in found if one is not ours] == [NOT_CHECKED] * 3
    assert (
        candidates(other, read_files([file("x.Q4_K_M.gguf", 7_900_000_000)]), OURS)[0].params
        == 13_000_000_000
    )


def test_a_model_in_several_files_is_one_candidate_and_none_where_a_part_is_missing() -> None:
    found = candidates(HubModel("a/b"), read_files(TREE), OURS)
    (big,) = [one for one in found if len(one.files) > 1]
    assert big.files == ("Q8_0/Big-00001-of-00002.gguf", "Q8_0/Big-00002-of-00002.gguf")
    assert (big.file_bytes, big.sha256) == (9_000_000_000, None)
    assert not [one for one in found if "Torn" in one.file]


def test_without_a_number_in_the_name_parameters_are_guessed_from_the_size() -> None:
    (one,) = candidates(
        HubModel("a/Model-GGUF"), read_files([file("model-Q4_K_M.gguf", 4_920_739_232)]), OURS
    )
    assert one.params == pytest.approx(8.03e9, rel=0.02)
    (none,) = candidates(HubModel("a/Model-GGUF"), read_files([file("model.gguf", 4_920_739_232)]), OURS)
    assert none.params is None


def test_a_candidate_whose_header_was_read_becomes_an_entry_without_a_score() -> None:
    qwen = read_models(FOUND)[0]
    one = candidates(qwen, read_files(TREE), OURS)[0]
    model = entry(one, BY_ID["Qwen3-8B"].shape)
    assert (model.id, model.repo, model.file) == ("Qwen3-8B-UD-Q4_K_M", "Qwen/Qwen3-8B-GGUF", one.file)
    assert model.shape is BY_ID["Qwen3-8B"].shape
    assert (model.quality, model.purposes, model.own) == (None, (), False)
    assert model.ollama_name == "hf.co/Qwen/Qwen3-8B-GGUF:UD-Q4_K_M"
