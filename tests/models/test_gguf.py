"""Reading a model's header: right on real files, and calm on hostile ones."""

import os
import struct
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.models.sparse_gguf import SMALL, tensors, write_sparse
from whisper_desktop.errors import ModelFileError
from whisper_desktop.models.shape import KvGroup, shape_of
from whisper_desktop.models.gguf import _TYPES, GgufHeader, Tensor, read_header


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
    writer.add_tensor("output.weight", np.zeros((4, 8), np.float32))
    writer.add_tensor("blk.3.ffn_up.weight", np.zeros((2, 32), np.float16))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def test_a_header_written_by_the_reference_library_is_read(model: Path) -> None:
    header = read_header(model)
    assert header.architecture == "llama"
    assert header.metadata["general.name"] == "Tiny"
    assert header.train_ctx == 4096
    assert shape_of(header).kv_groups == (KvGroup(layers=1, kv_heads=2, k_dim=16, v_dim=16, window=None),) * 4
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
        (b"GGUF" + struct.pack("<IQQ", 3, 2**60, 0), "more entries"),
        (b"GGUF" + struct.pack("<IQQQ", 3, 1, 0, 100_000), "too long"),
        (b"GGUF" + struct.pack("<IQQQ1sI", 3, 1, 0, 1, b"t", 77) + b" " * 700, "77 dimensions"),
        (b"GGUF" + struct.pack("<IQQQ1sI", 3, 1, 0, 1, b"t", 0), "0 dimensions"),
        (b"GGUF" + struct.pack("<IQQQ1sIQQIQ", 3, 1, 0, 1, b"t", 2, 2**40, 2**40, 0, 0), "larger than"),
        (b"GGUF" + struct.pack("<IQQQ1sIQQIQ", 3, 1, 0, 1, b"t", 2, 2**63, 0, 0, 0), "larger than"),
        (b"GGUF" + struct.pack("<IQQQ1sIQIQ", 3, 1, 0, 1, b"t", 1, 32, 0, 2**63), "larger than"),
        (b"GGUF" + struct.pack("<IQQQ1sIQIQ", 3, 1, 0, 1, b"t", 1, 33, 12, 0), "cannot be of the type Q4_K"),
        (b"GGUF" + struct.pack("<IQQQ1sIQ", 3, 1, 0, 1, b"t", 1, 32), "cut short"),
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


# --- tensors ----------------------------------------------------------------------------------------------


def test_the_tensors_are_told_with_type_size_and_layer(model: Path) -> None:
    assert read_header(model).tensors == (
        Tensor("output.weight", "F32", (8, 4), 128),
        Tensor("blk.3.ffn_up.weight", "F16", (32, 2), 128),
    )
    output, up = read_header(model).tensors
    assert (output.layer, output.rows, up.layer, up.rows) == (None, 4, 3, 2)


def test_the_metadata_alone_can_be_read(model: Path) -> None:
    header = read_header(model, tensors=False)
    assert header.tensors == ()
    assert header.metadata == read_header(model).metadata


def test_the_sizes_of_types_are_those_of_the_reference_library() -> None:
    for number, (name, block, size) in _TYPES.items():
        kind = gguf.GGMLQuantizationType(number)
        assert (kind.name, gguf.GGML_QUANT_SIZES[kind]) == (name, (block, size))


def test_every_tensor_of_a_large_model_is_counted_as_llama_cpp_does(tmp_path: Path) -> None:
    header = read_header(write_sparse(tmp_path / "sparse.gguf", SMALL))
    assert [tensor.name for tensor in header.tensors] == [name for name, _, _ in tensors(SMALL)]
    # "CPU_Mapped model buffer size = 47.17 MiB", logged by llama-server for this file
    assert round(sum(tensor.size_bytes for tensor in header.tensors) / 2**20, 2) == 47.17


def test_the_size_of_an_unknown_type_follows_from_where_the_next_tensor_begins(tmp_path: Path) -> None:
    def entry(name: bytes, kind: int, offset: int) -> bytes:
        return struct.pack(f"<Q{len(name)}sIQIQ", len(name), name, 1, 64, kind, offset)

    entries = entry(b"a", 0, 0) + entry(b"new", 999, 256) + entry(b"b", 0, 1024) + entry(b"last", 999, 1280)
    data = b"GGUF" + struct.pack("<IQQ", 3, 4, 0) + entries
    start = -(-len(data) // 32) * 32
    path = tmp_path / "future.gguf"
    path.write_bytes(data.ljust(start, b"\0") + bytes(2000))
    sizes = {tensor.name: (tensor.type, tensor.size_bytes) for tensor in read_header(path).tensors}
    assert sizes["new"] == ("type 999", 1024 - 256)
    assert sizes["last"] == ("type 999", 2000 - 1280)


def test_a_thousand_tensors_take_less_than_20_ms(tmp_path: Path) -> None:
    entries = b"".join(
        struct.pack(f"<Q{len(name)}sIQQIQ", len(name), name, 2, 4096, 4096, 12, 0)
        for name in (f"blk.{number}.ffn_up.weight".encode() for number in range(1000))
    )
    path = tmp_path / "many.gguf"
    path.write_bytes(b"GGUF" + struct.pack("<IQQ", 3, 1000, 0) + entries)
    took = []
    for _ in range(5):
        before = time.perf_counter()
        header = read_header(path)
        took.append(time.perf_counter() - before)
    assert len(header.tensors) == 1000
    assert min(took) < 0.020


# --- models in several files ------------------------------------------------------------------------------


def _parts(folder: Path) -> Path:
    """Three files of one model, as llama-gguf-split makes them."""
    for number in range(3):
        path = folder / f"big-{number + 1:05}-of-00003.gguf"
        writer: Any = gguf.GGUFWriter(str(path), "llama")
        writer.add_uint16("split.no", number)
        writer.add_uint16("split.count", 3)
        writer.add_block_count(3)
        writer.add_tensor(f"blk.{number}.ffn_up.weight", np.zeros((2, 32), np.float16))
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
    return folder / "big-00001-of-00003.gguf"


def test_all_files_of_a_divided_model_are_counted(tmp_path: Path) -> None:
    header = read_header(_parts(tmp_path))
    assert [tensor.layer for tensor in header.tensors] == [0, 1, 2]
    assert header.file_bytes == sum(path.stat().st_size for path in tmp_path.glob("*.gguf"))


def test_a_part_that_is_missing_is_named(tmp_path: Path) -> None:
    first = _parts(tmp_path)
    (tmp_path / "big-00002-of-00003.gguf").unlink()
    with pytest.raises(ModelFileError, match="big-00002-of-00003"):
        read_header(first)


# --- the KV cache of each layer ---------------------------------------------------------------------------


def described(architecture: str, **keys: object) -> GgufHeader:
    """A header of 6 layers with 8 heads of 64."""
    metadata: dict[str, Any] = {
        "general.architecture": architecture,
        f"{architecture}.block_count": 6,
        f"{architecture}.embedding_length": 512,
        f"{architecture}.attention.head_count": 8,
        f"{architecture}.attention.head_count_kv": 2,
    }
    metadata |= {f"{architecture}.{key.replace('__', '.')}": value for key, value in keys.items()}
    return GgufHeader(metadata, 1)


FULL = KvGroup(1, 2, 64, 64, None)
NEAR = KvGroup(1, 2, 64, 64, 1024)


@pytest.mark.parametrize(
    ("header", "cache"),
    [
        (described("llama"), (FULL,) * 6),
        (described("gemma3", attention__sliding_window=1024), (NEAR,) * 5 + (FULL,)),
        (described("gpt-oss", attention__sliding_window=1024), (NEAR, FULL) * 3),
        (
            described(
                "gemma4",
                attention__sliding_window=1024,
                attention__sliding_window_pattern=(True, False) * 3,
                attention__key_length=128,
                attention__value_length=128,
                attention__key_length_swa=64,
                attention__value_length_swa=64,
                attention__shared_kv_layers=2,
            ),
            (NEAR, KvGroup(1, 2, 128, 128, None)) * 2 + (None, None),
        ),
        (described("qwen3next", full_attention_interval=3), (None, None, FULL) * 2),
        (described("lfm2", attention__head_count_kv=(0, 0, 2, 0, 0, 2)), (None, None, FULL) * 2),
        (
            described(
                "deepseek2",
                attention__key_length=576,
                attention__head_count_kv=1,
                attention__key_length_mla=192,
                attention__value_length_mla=128,
            ),
            (KvGroup(1, 1, 576, 0, None),) * 6,
        ),
        (described("unheard-of", attention__sliding_window=1024), (FULL,) * 6),
    ],
    ids=["dense", "gemma3", "gpt-oss", "gemma4", "qwen3next", "lfm2", "latent", "unknown windows"],
)
def test_the_cache_of_each_layer_follows_the_architecture(
    header: GgufHeader, cache: tuple[KvGroup | None, ...]
) -> None:
    assert tuple(layer.cache for layer in shape_of(header).layers) == cache
    assert shape_of(header).kv_groups == tuple(group for group in cache if group is not None)


@pytest.mark.parametrize(
    ("header", "state"),
    [
        (described("llama"), 0),
        # Qwen3.5-9B: of 32 layers, 24 are recurrent; the total is what llama.cpp told
        (
            described(
                "qwen35",
                ssm__inner_size=4096,
                ssm__state_size=128,
                ssm__conv_kernel=4,
                ssm__group_count=16,
            ),
            52_690_944 // 24,
        ),
        (described("lfm2", shortconv__l_cache=3), 4 * 512 * 2),
        (described("rwkv7", wkv__head_size=64, token_shift_count=2), 4 * 512 * (2 + 64)),
    ],
    ids=["none", "gated delta", "short convolution", "rwkv"],
)
def test_recurrent_layers_keep_a_state_of_a_fixed_size(header: GgufHeader, state: int) -> None:
    assert max(layer.state_bytes for layer in shape_of(header).layers) == state


# --- headers that are made to cost --------------------------------------------------------------------------

_U16, _TEXTS = 2, 8


def _array(kind: int, count: int, content: bytes) -> bytes:
    return struct.pack("<IIQ", 9, kind, count) + content


def _short(length: int) -> bytes:
    return struct.pack("<Q", length) + b"x" * length


@pytest.mark.parametrize(
    ("value", "count"),
    [
        (_array(_U16, 4096, bytes(2 * 4096)), 60),
        (_array(_TEXTS, 4096, _short(3) * 4096), 60),
        (_array(_TEXTS, 100, _short(10_000) * 100), 12),
        (struct.pack("<I", _TEXTS) + _short(900_000), 12),
        (_array(_TEXTS, 500_000, bytes(8 * 500_000)), 5),
    ],
    ids=["many numbers", "many texts", "long lists of long texts", "long texts", "many vocabularies"],
)
def test_a_header_that_costs_more_than_any_model_s_is_refused(
    tmp_path: Path, value: bytes, count: int
) -> None:
    def write(pairs: int) -> Path:
        path = tmp_path / f"{pairs}.gguf"
        entries = b"".join(_short(1 + number) + value for number in range(pairs))
        path.write_bytes(b"GGUF" + struct.pack("<IQQ", 3, 0, pairs) + entries)
        return path

    assert read_header(write(1)).file_bytes
    with pytest.raises(ModelFileError, match="more entries than any model has"):
        read_header(write(count))


def test_what_is_refused_counts_for_all_files_of_a_model_together(tmp_path: Path) -> None:
    entry = struct.pack("<Q1sI4QIQ", 1, b"a", 4, 1, 1, 1, 1, 0, 0)
    for number in range(1, 4):
        pair = struct.pack("<Q", 11) + b"split.count" + struct.pack("<IH", _U16, 3)
        content = b"GGUF" + struct.pack("<IQQ", 3, 40_000, 1) + pair + entry * 40_000
        (tmp_path / f"big-{number:05}-of-00003.gguf").write_bytes(content)
    assert len(read_header(tmp_path / "big-00002-of-00003.gguf").tensors) == 40_000
    with pytest.raises(ModelFileError, match="more entries than any model has"):
        read_header(tmp_path / "big-00001-of-00003.gguf")


def test_the_largest_vocabulary_is_passed_over(tmp_path: Path) -> None:
    """262,144 tokens with scores and types, and 514,906 merges: Gemma 3."""
    value = {
        "tokens": _array(_TEXTS, 262_144, _short(6) * 262_144),
        "scores": _array(6, 262_144, bytes(4 * 262_144)),
        "token_type": _array(5, 262_144, bytes(4 * 262_144)),
        "merges": _array(_TEXTS, 514_906, _short(8) * 514_906),
    }
    entries = b"".join(struct.pack("<Q", len(key)) + key.encode() + data for key, data in value.items())
    path = tmp_path / "gemma.gguf"
    path.write_bytes(b"GGUF" + struct.pack("<IQQ", 3, 0, 4) + entries)
    assert read_header(path).metadata == {}


def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.gguf"
    os.mkfifo(pipe)
    with pytest.raises(ModelFileError, match="not a file"):
        read_header(pipe)
