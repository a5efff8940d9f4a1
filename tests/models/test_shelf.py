"""One list of the models on a computer, from real folders as other programs make them."""

import json
import os
import shutil
from pathlib import Path

import pytest

from tests.models.gguf_files import write_gguf
from whisper_desktop.models.places import Place, places
from whisper_desktop.models.shelf import Shelf, scan
from whisper_desktop.models.shelf_cache import ShelfCache
from whisper_desktop.values import ModelType


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


def test_an_adapter_is_no_model(tmp_path: Path) -> None:
    write_gguf(tmp_path / "lora.gguf", kind="adapter")
    assert shelf_of(tmp_path).models == ()


def test_several_files_are_one_model_and_a_missing_one_is_named(tmp_path: Path) -> None:
    parts = [write_gguf(tmp_path / "whole" / f"big-0000{number}-of-00003.gguf") for number in (1, 2, 3)]
    write_gguf(tmp_path / "half" / "cut-00001-of-00003.gguf")
    shelf = shelf_of(tmp_path)
    assert [(model.name, model.files) for model in shelf.models] == [("big", tuple(parts))]
    assert shelf.models[0].size_bytes == sum(part.stat().st_size for part in parts)
    assert shelf.problems == (f"cut is not whole: part 2 and part 3 are not in {tmp_path / 'half'}.",)


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
    assert shelf.problems == (
        f"{tmp_path / 'usb'} cannot be read. The system says: No such file or directory.",
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
