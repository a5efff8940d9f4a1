"""One list of the models on a computer, from real folders as other programs make them."""

import json
import os
import shutil
from pathlib import Path

import pytest

from tests.models.gguf_files import write_gguf
from whisper_desktop.models.places import Place, Source, places
from whisper_desktop.models.shelf import Shelf, scan
from whisper_desktop.models.shelf_cache import ShelfCache
from whisper_desktop.values import ModelType

SOURCES: tuple[tuple[str, Source], ...] = (("own", "own"), ("studio", "lm_studio"), ("o", "ollama"))


def shelf_of(folder: Path, source: str = "own", cache: ShelfCache | None = None) -> Shelf:
    return scan([Place(folder, source)], cache or ShelfCache(None))  # type: ignore[arg-type]  # one of the ids


def ollama_keeps(root: Path, name: str, blob: Path, digest: str) -> None:
    """What `ollama pull` leaves behind."""
    manifest = root / "manifests" / name
    manifest.parent.mkdir(parents=True, exist_ok=True)
    layers = [
        {"mediaType": "application/vnd.ollama.image.license", "digest": f"sha256:{'1' * 64}", "size": 1},
        {"mediaType": "application/vnd.ollama.image.model", "digest": f"sha256:{digest}", "size": 2},
    ]
    manifest.write_text(json.dumps({"schemaVersion": 2, "layers": layers}))
    kept = root / "blobs" / f"sha256-{digest}"
    kept.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(blob, kept)


def test_the_folders_of_known_programs_are_found_each_once(tmp_path: Path) -> None:
    home, own = tmp_path / "home", tmp_path / "own"
    (home / "elsewhere" / "models").mkdir(parents=True)
    (home / ".lmstudio-home-pointer").write_text(f"{home / 'elsewhere'}\n")
    for folder in (own, home / ".ollama/models", home / "hub", home / "more"):
        folder.mkdir(parents=True)
    env = {"HF_HUB_CACHE": str(home / "hub"), "OLLAMA_MODELS": str(home / ".ollama/models")}
    found = places(own, [home / "more", own, home / "gone"], env=env, home=home)
    assert [(place.path, place.source) for place in found] == [
        (own, "own"),
        (home / "elsewhere/models", "lm_studio"),
        (home / ".ollama/models", "ollama"),
        (home / "hub", "hugging_face"),
        (home / "more", "folder"),
    ]


@pytest.mark.parametrize("pointer", [b"", b"relative", b"\xff\xfe", b"/gone\n", b"/" + b"x" * 9000])
def test_a_broken_pointer_of_lm_studio_does_no_harm(tmp_path: Path, pointer: bytes) -> None:
    (tmp_path / ".lmstudio-home-pointer").write_bytes(pointer)
    assert places(tmp_path / "own", env={}, home=tmp_path) == ()


@pytest.mark.parametrize("path", ["~nobody-of-this-name/models", "with\0zero", "x" * 5000])
def test_a_folder_that_cannot_be_one_costs_no_other(tmp_path: Path, path: str) -> None:
    (tmp_path / "more").mkdir()
    found = places(tmp_path / "own", [Path(path), tmp_path / "more"], env={"HF_HOME": path}, home=tmp_path)
    assert [place.path for place in found] == [tmp_path / "more"]


def test_a_model_says_what_it_is(tmp_path: Path) -> None:
    write_gguf(tmp_path / "a/Tiny-3B-Instruct-Q4_K_M.gguf", context=8192)
    write_gguf(tmp_path / "b/base.gguf", chat=False, file_type=7)
    write_gguf(tmp_path / "c/embed.gguf", architecture="bert")
    write_gguf(tmp_path / "d/qwen-embed.gguf", architecture="qwen3", more={"qwen3.pooling_type": 3})
    write_gguf(tmp_path / "e/Qwen3-Coder-7B-IQ4_XS.gguf", file_type=None)
    write_gguf(tmp_path / "f/seeing.gguf", more={"llama.vision.block_count": 3})
    told = {model.name: (model.type, model.quant, model.train_ctx) for model in shelf_of(tmp_path).models}
    assert told == {
        "Tiny-3B-Instruct-Q4_K_M": (ModelType.CHAT, "Q4_K_M", 8192),
        "base": (ModelType.COMPLETION, "Q8_0", 4096),
        "embed": (ModelType.EMBEDDING, "Q4_K_M", 4096),
        "qwen-embed": (ModelType.EMBEDDING, "Q4_K_M", 4096),
        "Qwen3-Coder-7B-IQ4_XS": (ModelType.CODE, "IQ4_XS", 4096),
        "seeing": (ModelType.VISION, "Q4_K_M", 4096),
    }


def test_a_projector_belongs_to_the_model_beside_it(tmp_path: Path) -> None:
    write_gguf(tmp_path / "gemma/gemma-4.gguf")
    projector = write_gguf(tmp_path / "gemma/mmproj-F16.gguf", architecture="clip", kind="mmproj")
    write_gguf(tmp_path / "other/llama.gguf")
    gemma, llama = shelf_of(tmp_path).models
    assert (gemma.projector, gemma.type) == (projector, ModelType.VISION)
    assert (llama.projector, llama.type) == (None, ModelType.CHAT)


def test_of_several_models_in_a_folder_a_projector_serves_those_it_is_named_for(tmp_path: Path) -> None:
    for name in ("gemma-3-4b-it-Q4_K_M", "llava-1.5-7b.Q8_0", "Qwen3-8B-Q4_K_M"):
        write_gguf(tmp_path / f"{name}.gguf")
    for name in ("mmproj-gemma-3-4b-it-f16", "llava-1.5-7b-mmproj-model-f16"):
        write_gguf(tmp_path / f"{name}.gguf", architecture="clip")
    told = {model.name: model.projector and model.projector.stem for model in shelf_of(tmp_path).models}
    assert told == {
        "gemma-3-4b-it-Q4_K_M": "mmproj-gemma-3-4b-it-f16",
        "llava-1.5-7b.Q8_0": "llava-1.5-7b-mmproj-model-f16",
        "Qwen3-8B-Q4_K_M": None,
    }


def test_an_adapter_is_no_model(tmp_path: Path) -> None:
    write_gguf(tmp_path / "lora.gguf", kind="adapter")
    assert shelf_of(tmp_path).models == ()


def test_several_files_are_one_model_and_a_missing_one_is_named(tmp_path: Path) -> None:
    parts = [write_gguf(tmp_path / "whole" / f"big-0000{number}-of-00003.gguf") for number in (1, 2, 3)]
    write_gguf(tmp_path / "half" / "cut-00001-of-00003.gguf")
    shelf = shelf_of(tmp_path)
    assert [(model.name, model.files) for model in shelf.models] == [("big", tuple(parts))]
    assert shelf.models[0].size_bytes == sum(part.stat().st_size for part in parts)
    (problem,) = shelf.problems
    assert problem.startswith(f"cut is not whole: part 2 and part 3 are not in {tmp_path / 'half'}.")


def test_parts_of_two_divisions_and_a_file_of_the_same_name_are_three_models(tmp_path: Path) -> None:
    for name in ("big", *(f"big-{n:05}-of-{of:05}" for of in (2, 3) for n in range(1, of + 1))):
        write_gguf(tmp_path / f"{name}.gguf")
    models = shelf_of(tmp_path).models
    assert sorted(len(model.files) for model in models) == [1, 2, 3]


def test_a_name_that_a_terminal_would_act_on_is_shown_without_that(tmp_path: Path) -> None:
    for name in (b"red\x1b[31m-Q8_0.gguf", b"not-utf8-\xff.gguf"):
        write_gguf(tmp_path / "model.gguf").rename(tmp_path / os.fsdecode(name))
    (tmp_path / "bad\x1b[0m.gguf").write_text("no model")
    shelf = shelf_of(tmp_path)
    assert [model.name for model in shelf.models] == ["not-utf8-\ufffd", "red\ufffd[31m-Q8_0"]
    assert all(model.path.is_file() for model in shelf.models)
    assert all(text.isprintable() for text in shelf.problems)


def test_what_a_header_says_is_shown_without_what_a_terminal_would_act_on(tmp_path: Path) -> None:
    write_gguf(tmp_path / "model.gguf", architecture="a\x1b[31m")
    assert shelf_of(tmp_path).models[0].architecture == "a\ufffd[31m"


def test_a_place_inside_another_one_keeps_its_models(tmp_path: Path) -> None:
    write_gguf(tmp_path / "own/mine.gguf")
    write_gguf(tmp_path / "own/studio/models/theirs.gguf")
    inside = [Place(tmp_path / "own", "own"), Place(tmp_path / "own/studio/models", "lm_studio")]
    for places_there in (inside, inside[::-1]):
        models = scan(places_there, ShelfCache(None)).models
        assert {(model.name, model.source) for model in models} == {("mine", "own"), ("theirs", "lm_studio")}


def test_a_link_into_another_place_leaves_the_model_where_it_is(tmp_path: Path) -> None:
    theirs = write_gguf(tmp_path / "studio/theirs.gguf")
    ollama_keeps(tmp_path / "o", "registry.ollama.ai/library/tiny/1b", theirs, "a" * 64)
    (tmp_path / "own").mkdir()
    (tmp_path / "own/a.gguf").symlink_to(theirs)
    (tmp_path / "own/b.gguf").symlink_to(tmp_path / "o/blobs" / f"sha256-{'a' * 64}")
    home = [Place(tmp_path / name, source) for name, source in SOURCES]
    models = scan(home, ShelfCache(None)).models
    assert [(model.name, model.source) for model in models] == [
        ("theirs", "lm_studio"),
        ("tiny:1b", "ollama"),
    ]


def test_a_link_out_of_all_places_is_the_models_file(tmp_path: Path) -> None:
    far = write_gguf(tmp_path / "far/model.gguf")
    (tmp_path / "own").mkdir()
    for name in ("a", "b"):
        (tmp_path / f"own/{name}.gguf").symlink_to(far)
    (model,) = shelf_of(tmp_path / "own").models
    assert (model.name, model.path, model.size_bytes) == (
        "a",
        tmp_path / "own/a.gguf",
        far.stat().st_size,
    )


def test_what_is_not_whole_or_no_model_is_not_listed(tmp_path: Path) -> None:
    write_gguf(tmp_path / "good.gguf")
    shutil.copy(tmp_path / "good.gguf", tmp_path / "coming.gguf.part")
    (tmp_path / "text.gguf").write_text("This is no model.")
    (tmp_path / "folder.gguf").mkdir()
    os.mkfifo(tmp_path / "pipe.gguf")
    (tmp_path / "dangling.gguf").symlink_to(tmp_path / "gone")
    (tmp_path / "loop.gguf").symlink_to(tmp_path / "loop.gguf")
    shelf = shelf_of(tmp_path)
    assert [model.name for model in shelf.models] == ["good"]
    assert len(shelf.problems) == 1
    assert shelf.problems[0].startswith("The file text.gguf is not a model that can be used.")


def test_a_loop_of_folders_and_a_link_out_of_the_place_end(tmp_path: Path) -> None:
    place = tmp_path / "place"
    write_gguf(place / "deep/model.gguf")
    (place / "deep/again").symlink_to(place)
    (place / "root").symlink_to("/")
    assert [model.name for model in shelf_of(place).models] == ["model"]


def test_ollamas_models_have_its_names_and_lie_where_they_are(tmp_path: Path) -> None:
    blob = write_gguf(tmp_path / "x.gguf")
    digest, root = "a" * 64, tmp_path / "ollama"
    for name in (
        "registry.ollama.ai/library/llama3.2/3b",
        "registry.ollama.ai/someone/thing/latest",
        "hf.co/bartowski/Tiny-GGUF/Q4_K_M",
    ):
        ollama_keeps(root, name, blob, digest)
    shelf = shelf_of(root, "ollama")
    assert sorted(model.name for model in shelf.models) == [
        "hf.co/bartowski/Tiny-GGUF:Q4_K_M",
        "llama3.2:3b",
        "someone/thing:latest",
    ]
    assert {model.path for model in shelf.models} == {root / "blobs" / f"sha256-{digest}"}
    assert {model.sha256 for model in shelf.models} == {digest}
    one = shelf.models[0]
    assert shelf.disk_bytes == one.on_disk_bytes, "the blob that three tags share counts once"


@pytest.mark.parametrize(
    "manifest",
    [
        "",
        "[]",
        "{}",
        '{"layers": 1}',
        '{"layers": [1, null, "x"]}',
        '{"layers": [{"mediaType": "application/vnd.ollama.image.model", "digest": "sha256:../../etc"}]}',
        '{"layers": [{"mediaType": "application/vnd.ollama.image.model", "digest": 7}]}',
        "[" * 100_000,
    ],
)
def test_a_manifest_that_is_none_does_no_harm(tmp_path: Path, manifest: str) -> None:
    path = tmp_path / "manifests/registry.ollama.ai/library/x/latest"
    path.parent.mkdir(parents=True)
    path.write_text(manifest)
    assert shelf_of(tmp_path, "ollama") == Shelf(())


def test_a_model_of_ollamas_cloud_has_no_weights_and_is_not_listed(tmp_path: Path) -> None:
    manifest = tmp_path / "manifests/registry.ollama.ai/library/big/cloud"
    manifest.parent.mkdir(parents=True)
    manifest.write_text(json.dumps({"layers": []}))
    assert shelf_of(tmp_path, "ollama").models == ()


def test_hugging_faces_cache_is_read_through_its_links(tmp_path: Path) -> None:
    repo = tmp_path / "models--unsloth--Tiny-GGUF"
    blob = repo / "blobs" / ("b" * 64)
    write_gguf(blob)
    for snapshot in ("one", "two"):
        link = repo / "snapshots" / snapshot / "Tiny-Q4_K_M.gguf"
        link.parent.mkdir(parents=True)
        link.symlink_to(Path("../..") / "blobs" / blob.name)
    shelf = shelf_of(tmp_path, "hugging_face")
    assert [(model.name, model.path, model.quant) for model in shelf.models] == [
        ("unsloth/Tiny-GGUF/Tiny-Q4_K_M", blob, "Q4_K_M")
    ]


def test_a_link_and_the_file_it_leads_to_are_one_model(tmp_path: Path) -> None:
    write_gguf(tmp_path / "z/real.gguf")
    (tmp_path / "a").mkdir()
    (tmp_path / "a/link.gguf").symlink_to(tmp_path / "z/real.gguf")
    assert len(shelf_of(tmp_path).models) == 1


def test_a_place_that_cannot_be_read_is_told_and_what_was_known_of_it_is_kept(tmp_path: Path) -> None:
    write_gguf(tmp_path / "usb/model.gguf")
    own = [Place(tmp_path / "usb", "folder")]
    scan(own, ShelfCache(tmp_path / "shelf.json"))
    (tmp_path / "usb").rename(tmp_path / "unplugged")
    shelf = scan(own, ShelfCache(tmp_path / "shelf.json"))
    (problem,) = shelf.problems
    assert problem.startswith(
        f"{tmp_path / 'usb'} cannot be read. The system says: No such file or directory. See whether its"
    )
    assert json.loads((tmp_path / "shelf.json").read_text())["files"]


def test_what_was_read_is_kept_until_the_file_changes(tmp_path: Path) -> None:
    model, kept = write_gguf(tmp_path / "models/model.gguf", context=1024), tmp_path / "cache/shelf.json"
    assert shelf_of(tmp_path / "models", cache=ShelfCache(kept)).models[0].train_ctx == 1024
    # The cache is what is read now: a change of it shows, and a change of the file shows more.
    kept.write_text(kept.read_text().replace("1024", "2048"))
    assert shelf_of(tmp_path / "models", cache=ShelfCache(kept)).models[0].train_ctx == 2048
    write_gguf(model, context=512)
    assert shelf_of(tmp_path / "models", cache=ShelfCache(kept)).models[0].train_ctx == 512


def test_a_change_shows_however_the_time_of_the_file_is_set_back(tmp_path: Path) -> None:
    model, kept = write_gguf(tmp_path / "models/model.gguf", context=1024), tmp_path / "shelf.json"
    ahead = model.stat().st_mtime_ns + 10**15  # copied from a computer whose clock is fast
    os.utime(model, ns=(ahead, ahead))
    assert shelf_of(tmp_path / "models", cache=ShelfCache(kept)).models[0].train_ctx == 1024
    size, inode = model.stat().st_size, model.stat().st_ino
    write_gguf(model, context=2048)
    os.utime(model, ns=(ahead, ahead))
    assert (model.stat().st_size, model.stat().st_ino) == (size, inode)
    assert shelf_of(tmp_path / "models", cache=ShelfCache(kept)).models[0].train_ctx == 2048


@pytest.mark.parametrize(
    ("name", "value"), [("train_ctx", "many"), ("quant", 7), ("type", "speech"), ("new", 1)]
)
def test_a_damaged_entry_of_the_cache_is_read_anew(tmp_path: Path, name: str, value: object) -> None:
    write_gguf(tmp_path / "models/model.gguf")
    kept = tmp_path / "shelf.json"
    expected = shelf_of(tmp_path / "models", cache=ShelfCache(kept))
    told = json.loads(kept.read_text())
    (entry,) = told["files"].values()
    entry["facts"][name] = value
    kept.write_text(json.dumps(told))
    assert shelf_of(tmp_path / "models", cache=ShelfCache(kept)) == expected


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"version": 1}', '{"version": 1, "files": {"x": 1}}'])
def test_a_damaged_cache_is_begun_anew(tmp_path: Path, damage: str) -> None:
    write_gguf(tmp_path / "models/model.gguf")
    kept = tmp_path / "shelf.json"
    kept.write_text(damage)
    assert len(shelf_of(tmp_path / "models", cache=ShelfCache(kept)).models) == 1
    assert json.loads(kept.read_text())["files"]


def test_a_deleted_file_is_forgotten(tmp_path: Path) -> None:
    model, kept = write_gguf(tmp_path / "models/model.gguf"), tmp_path / "shelf.json"
    shelf_of(tmp_path / "models", cache=ShelfCache(kept))
    model.unlink()
    assert shelf_of(tmp_path / "models", cache=ShelfCache(kept)).models == ()
    assert json.loads(kept.read_text())["files"] == {}


def test_a_model_is_found_by_name_file_and_path(tmp_path: Path) -> None:
    model = write_gguf(tmp_path / "Tiny-Q8_0.gguf")
    shelf = shelf_of(tmp_path)
    for name in ("tiny-q8_0", "TINY-Q8_0.GGUF", str(model)):
        assert shelf.find(name) == shelf.models[0]
    assert shelf.find("other") is None
