"""`models.naming`: what a person reads for a model that our engine runs."""

from pathlib import Path

from tests.engines.tiny_model import write_tiny_model
from whisper_desktop.models.naming import name_of

_DIGEST = "0123456789abcdef" * 4


def test_a_model_is_called_as_its_file_is(tmp_path: Path) -> None:
    write_tiny_model(tmp_path / "Mine-1.5B-Q4_K_M.gguf", name="Another title")
    assert name_of(tmp_path / "Mine-1.5B-Q4_K_M.gguf") == "Mine-1.5B-Q4_K_M"


def test_a_file_named_by_its_content_is_called_by_its_title(tmp_path: Path) -> None:
    for name in (f"sha256-{_DIGEST}", _DIGEST, f"{_DIGEST}.gguf"):
        write_tiny_model(tmp_path / name, name="Tiny 1B")
        assert name_of(tmp_path / name) == "Tiny 1B"


def test_without_a_title_the_file_s_name_is_all_there_is_until_it_can_be_read(tmp_path: Path) -> None:
    blob = tmp_path / f"sha256-{_DIGEST}"
    assert name_of(blob) == blob.name
    blob.write_bytes(b"no model")
    assert name_of(blob) == blob.name
    blob.unlink()
    write_tiny_model(blob, name="Tiny 1B")
    assert name_of(blob) == "Tiny 1B"
    blob.unlink()
    assert name_of(blob) == "Tiny 1B"
