"""Reading a model's header: right on real files, and calm on hostile ones."""

import struct
from contextlib import suppress
from pathlib import Path

import gguf
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from whisper_desktop.errors import ModelFileError
from whisper_desktop.models import KvGroup
from whisper_desktop.models.gguf import read_header


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A header as the format's own library writes it, with a long vocabulary in the middle."""
    path = tmp_path / "model.gguf"
    writer = gguf.GGUFWriter(str(path), "llama")
    writer.add_name("Tiny")
    writer.add_context_length(4096)
    writer.add_token_list([f"token{number}" for number in range(6000)])
    writer.add_token_scores([0.5] * 6000)
    writer.add_block_count(4)
    writer.add_embedding_length(128)
    writer.add_head_count(8)
    writer.add_head_count_kv(2)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    return path


def test_a_header_written_by_the_reference_library_is_read(model: Path) -> None:
    header = read_header(model)
    assert header.architecture == "llama"
    assert header.metadata["general.name"] == "Tiny"
    assert header.train_ctx == 4096
    assert header.kv_groups == (KvGroup(layers=1, kv_heads=2, k_dim=16, v_dim=16, window=None),) * 4
    assert header.file_bytes == model.stat().st_size


def test_the_guide_is_read() -> None:
    from whisper_desktop.settings.paths import resource

    header = read_header(resource("guide", "guide.gguf"))
    assert header.architecture == "llama"
    assert header.train_ctx


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "cut short"),
        (b"hello world", "does not begin"),
        (b"GGUF" + struct.pack("<I", 1), "version 1"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 2**60), "more entries"),
        (b"GGUF" + struct.pack("<IQQQ", 3, 0, 1, 2**50), "too long"),
        (b"GGUF" + struct.pack("<IQQQ1sI", 3, 0, 1, 1, b"k", 99), "unknown kind"),
        (b"GGUF" + struct.pack("<IQQQ1sIIQ", 3, 0, 1, 1, b"k", 9, 4, 2**55), "larger than"),
        (b"GGUF" + struct.pack("<IQQQ1sIIQ", 3, 0, 1, 1, b"k", 9, 9, 1), "arrays inside"),
    ],
)
def test_a_broken_file_is_named_with_what_is_wrong(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "broken.gguf"
    path.write_bytes(content)
    with pytest.raises(ModelFileError) as caught:
        read_header(path)
    assert words in caught.value.detail
    assert "broken.gguf" in caught.value.title


def test_a_missing_file_and_a_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="not there"):
        read_header(tmp_path / "none.gguf")
    with pytest.raises(ModelFileError, match="cannot be read"):
        read_header(tmp_path)


def test_a_header_cut_anywhere_is_a_model_file_error(model: Path, tmp_path: Path) -> None:
    whole = model.read_bytes()
    cut = tmp_path / "cut.gguf"
    for length in range(0, 400, 7):
        cut.write_bytes(whole[:length])
        with pytest.raises(ModelFileError):
            read_header(cut)


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(position=st.integers(0, 3000), byte=st.integers(0, 255), tail=st.binary(max_size=40))
def test_no_damage_leads_to_anything_but_a_header_or_a_model_file_error(
    model: Path, tmp_path: Path, position: int, byte: int, tail: bytes
) -> None:
    damaged = bytearray(model.read_bytes())
    damaged[position] = byte
    damaged[position + 1 : position + 1 + len(tail)] = tail
    path = tmp_path / "damaged.gguf"
    path.write_bytes(damaged)
    with suppress(ModelFileError):
        assert read_header(path).file_bytes == len(damaged)
