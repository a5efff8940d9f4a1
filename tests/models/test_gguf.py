"""Reading a model's header: right on real files, and calm on hostile ones."""

import os
import struct
import time
import tracemalloc
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.models.sparse_gguf import SMALL, tensors, write_sparse
from whisper_desktop.errors import ModelFileError
from whisper_desktop.models.gguf import GgufHeader, Tensor, parts_missing, read_beginning, read_header
from whisper_desktop.models.gguf_parser import Broken, Work, parse_beginning
from whisper_desktop.models.gguf_types import TYPES


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
    assert header.file_bytes == model.stat().st_size


def test_the_guide_is_read() -> None:
    from whisper_desktop.settings.paths import resource

    header = read_header(resource("guide", "guide.gguf"))
    assert header.architecture == "llama"
    assert header.train_ctx


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"hello world", "does not begin"),
        (b"", "empty"),
        (b"GGU", "does not begin"),
        (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS"),
        (b"<!DOCTYPE html>", "web page"),
        (b"tjgg" + bytes(40), "before GGUF"),
        (b"GGUF" + struct.pack("<I", 1), "version 1"),
        (b"GGUF" + struct.pack("<I", 4), "version 4"),
        (b"GGUF" + struct.pack(">IQQ", 3, 1, 1), "big-endian"),
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
        (b"GGUF" + struct.pack("<IQQQ1sIQIQ", 3, 1, 0, 1, b"t", 1, 0, 0, 0), "is empty"),
        (b"GGUF" + struct.pack("<IQQQ1sIQIQ", 3, 1, 0, 1, b"t", 1, 32, 31, 0), "given up"),
        (
            b"GGUF" + struct.pack("<IQQ", 3, 2, 0) + 2 * struct.pack("<Q1sIQIQ", 1, b"t", 1, 8, 0, 0),
            "one name",
        ),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 2) + 2 * struct.pack("<Q1sIB", 1, b"k", 0, 0), "twice"),
        (b"GGUF" + struct.pack("<IQQQIB", 3, 0, 1, 0, 0, 0), "without a name"),
        (b"GGUF" + struct.pack("<IQQQ17sII", 3, 0, 1, 17, b"general.alignment", 4, 48), "aligned"),
        (b"GGUF" + struct.pack("<IQQQ17sIQ", 3, 0, 1, 17, b"general.alignment", 10, 32), "aligned"),
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
    for kind, (block, size) in gguf.GGML_QUANT_SIZES.items():
        assert TYPES[kind] == (kind.name, block, size)


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


@pytest.mark.parametrize("offset", [0, 255])
def test_tensors_that_lie_in_the_same_place_are_refused(tmp_path: Path, offset: int) -> None:
    path = tmp_path / "overlapping.gguf"
    path.write_bytes(b"GGUF" + struct.pack("<IQQ", 3, 2, 0) + _entries(2, step=offset) + bytes(1000))
    with pytest.raises(ModelFileError, match="same place"):
        read_header(path)


def test_weights_that_a_file_announces_and_does_not_have_are_counted(model: Path) -> None:
    assert read_header(model).missing_bytes == 0
    with model.open("rb+") as file:
        file.truncate(model.stat().st_size - 100)
    assert read_header(model).missing_bytes == 100


def _entries(count: int, *, step: int) -> bytes:
    """So many tensors of 64 numbers, each `step` bytes after the one before it."""
    names = (f"blk.{number}.ffn_up.weight".encode() for number in range(count))
    return b"".join(
        struct.pack(f"<Q{len(name)}sIQQIQ", len(name), name, 2, 32, 2, 0, place * step)
        for place, name in enumerate(names)
    )


def test_a_thousand_tensors_take_less_than_20_ms(tmp_path: Path) -> None:
    path = tmp_path / "many.gguf"
    path.write_bytes(b"GGUF" + struct.pack("<IQQ", 3, 1000, 0) + _entries(1000, step=256))
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
    with pytest.raises(ModelFileError, match="not complete. Missing: big-00002-of-00003.gguf. ") as caught:
        read_header(first)
    assert "again" in caught.value.next_step
    assert read_header(first, tensors=False).file_bytes == first.stat().st_size


def test_of_many_parts_that_are_missing_the_first_are_named() -> None:
    error = parts_missing("big.gguf", [f"{number}.gguf" for number in range(1, 7)], "")
    assert error.detail == "Missing: 1.gguf, 2.gguf, 3.gguf and 3 more."


@pytest.mark.parametrize("name", ["big.gguf", "big-00002-of-00003.gguf", "big-00001-of-00004.gguf"])
def test_a_first_part_under_another_name_is_refused(tmp_path: Path, name: str) -> None:
    renamed = _parts(tmp_path).rename(tmp_path / name)
    with pytest.raises(ModelFileError, match="ends with -00001-of-00003.gguf"):
        read_header(renamed)


def test_a_part_that_is_another_one_is_named(tmp_path: Path) -> None:
    first = _parts(tmp_path)
    (tmp_path / "big-00002-of-00003.gguf").write_bytes(first.read_bytes())
    with pytest.raises(ModelFileError, match="part 2 of 3 is another file"):
        read_header(first)


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
    entries = _entries(12_000, step=256)
    for number in range(1, 4):
        pair = struct.pack("<Q", 11) + b"split.count" + struct.pack("<IH", _U16, 3)
        pair += struct.pack("<Q", 8) + b"split.no" + struct.pack("<IH", _U16, number - 1)
        content = b"GGUF" + struct.pack("<IQQ", 3, 12_000, 2) + pair + entries
        (tmp_path / f"big-{number:05}-of-00003.gguf").write_bytes(content)
    assert len(read_header(tmp_path / "big-00002-of-00003.gguf").tensors) == 12_000
    with pytest.raises(ModelFileError, match="more entries than any model has"):
        read_header(tmp_path / "big-00001-of-00003.gguf")


def _vocabulary(path: Path, merges: int) -> Path:
    """262,144 tokens with scores and types, and 700 tensors: Gemma 3, or with its 514,906 merges Gemma 4."""
    value = {
        "tokens": _array(_TEXTS, 262_144, _short(6) * 262_144),
        "scores": _array(6, 262_144, bytes(4 * 262_144)),
        "token_type": _array(5, 262_144, bytes(4 * 262_144)),
        "merges": _array(_TEXTS, merges, _short(8) * merges),
    }
    pairs = b"".join(struct.pack("<Q", len(key)) + key.encode() + data for key, data in value.items())
    path.write_bytes(b"GGUF" + struct.pack("<IQQ", 3, 700, 4) + pairs + _entries(700, step=256))
    return path


def test_the_largest_vocabulary_is_passed_over_with_little_memory(tmp_path: Path) -> None:
    path = _vocabulary(tmp_path / "gemma.gguf", 514_906)
    tracemalloc.start()
    try:
        header = read_header(path)
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert header.metadata == {}
    assert len(header.tensors) == 700
    assert most < 2_000_000


def test_a_vocabulary_of_262144_tokens_takes_less_than_60_ms(tmp_path: Path) -> None:
    path = _vocabulary(tmp_path / "gemma.gguf", 0)
    took = []
    for _ in range(5):
        before = time.perf_counter()
        read_header(path)
        took.append(time.perf_counter() - before)
    assert min(took) < 0.060


def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.gguf"
    os.mkfifo(pipe)
    with pytest.raises(ModelFileError, match="not a file"):
        read_header(pipe)


@pytest.mark.parametrize(
    ("count", "layers"), [(0, None), (1, 1), (512, 512), (513, None), (-1, None), ("8", None)]
)
def test_no_more_layers_are_believed_than_llama_cpp_takes(count: Any, layers: int | None) -> None:
    assert GgufHeader({"general.architecture": "llama", "llama.block_count": count}, 1).layers == layers


# --- the beginning, for lists of models -------------------------------------------------------------------

_TEXT, _U32, _U64 = 8, 4, 10
CHUNK = 1 << 18


def _pair(key: bytes, kind: int, content: bytes) -> bytes:
    return struct.pack(f"<Q{len(key)}sI", len(key), key, kind) + content


def _text(key: bytes, text: bytes) -> bytes:
    return _pair(key, _TEXT, struct.pack("<Q", len(text)) + text)


def _tokens(count: int) -> bytes:
    return _pair(b"tokenizer.ggml.tokens", 9, struct.pack("<IQ", _TEXTS, count) + _short(6) * count)


ABOUT = (
    _text(b"general.architecture", b"llama"),
    _pair(b"llama.context_length", _U32, struct.pack("<I", 8192)),
)
TEMPLATE = _text(b"tokenizer.chat_template", b"{{ messages }}")
FILE_TYPE = _pair(b"general.file_type", _U32, struct.pack("<I", 15))
FIRST_TENSOR = struct.pack("<Q17sIQQIQ", 17, b"token_embd.weight", 2, 32, 2, 0, 0)


def _header(*pairs: bytes, behind: bytes = FIRST_TENSOR) -> bytes:
    return b"GGUF" + struct.pack("<IQQ", 3, 1, len(pairs)) + b"".join(pairs) + behind + bytes(300)


def _beginning(folder: Path, *pairs: bytes, behind: bytes = FIRST_TENSOR) -> dict[str, Any]:
    path = folder / "model.gguf"
    path.write_bytes(_header(*pairs, behind=behind))
    return dict(read_beginning(path).metadata)


KNOWN = {"general.architecture": "llama", "llama.context_length": 8192}


def test_the_beginning_tells_what_a_list_needs_of_both_sides_of_the_vocabulary(tmp_path: Path) -> None:
    found = _beginning(tmp_path, *ABOUT, _tokens(9000), TEMPLATE, FILE_TYPE)
    assert found == KNOWN | {"tokenizer.chat_template": True, "general.file_type": 15}
    assert _beginning(tmp_path, *ABOUT, _tokens(9000)) == KNOWN
    empty = _text(b"tokenizer.chat_template", b"")
    assert _beginning(tmp_path, *ABOUT, _tokens(9000), empty) == KNOWN | {"tokenizer.chat_template": False}


def test_what_stands_before_the_vocabulary_is_as_in_the_whole_header(tmp_path: Path) -> None:
    found = _beginning(tmp_path, FILE_TYPE, TEMPLATE, *ABOUT, _tokens(9000))
    assert found == KNOWN | {"tokenizer.chat_template": "{{ messages }}", "general.file_type": 15}
    second = _pair(b"general.file_type", _U32, struct.pack("<I", 7))
    assert _beginning(tmp_path, FILE_TYPE, *ABOUT, _tokens(9000), second)["general.file_type"] == 15


def test_without_a_vocabulary_the_beginning_is_all_of_the_metadata(tmp_path: Path) -> None:
    found = _beginning(tmp_path, *ABOUT, TEMPLATE, FILE_TYPE)
    assert found == read_header(tmp_path / "model.gguf").metadata
    assert found["tokenizer.chat_template"] == "{{ messages }}"


@pytest.mark.parametrize("behind", [0, 1])
def test_what_a_model_is_may_stand_behind_its_vocabulary(tmp_path: Path, behind: int) -> None:
    """As in files whose entries are in the order of the alphabet."""
    found = _beginning(tmp_path, *ABOUT[:behind], _tokens(9000), TEMPLATE, *ABOUT[behind:])
    assert found == KNOWN | {"tokenizer.chat_template": "{{ messages }}"}


def test_an_entry_that_lies_across_two_pieces_of_the_file_is_found() -> None:
    """Wherever the cut is: the vocabulary is made longer byte by byte."""
    before = len(_header(*ABOUT, _tokens(9000), TEMPLATE, FILE_TYPE)) - len(FIRST_TENSOR) - 300
    room = 2 * CHUNK - before
    for more in range(room - 10, room + len(TEMPLATE) + len(FILE_TYPE) + 10):
        filler = _pair(b"filler", 9, struct.pack("<IQ", 0, max(0, more)) + bytes(max(0, more)))
        data = _header(*ABOUT, _tokens(9000), filler, TEMPLATE, FILE_TYPE)
        found = parse_beginning(BytesIO(data), len(data), Work())
        assert found == KNOWN | {"tokenizer.chat_template": True, "general.file_type": 15}, more


@pytest.mark.parametrize(
    "pair",
    [
        _text(b"note", b"tokenizer.chat_template" + struct.pack("<I", _TEXT)),
        _text(b"my.tokenizer.chat_template", b"{{ messages }}"),
        _text(b"tokenizer.chat_template.tool_use", b"{{ messages }}"),
        _pair(b"tokenizer.chat_template", _U64, bytes(8)),
        _pair(b"my.general.file_type", _U32, struct.pack("<I", 7)),
        _pair(b"general.file_type", _U64, struct.pack("<Q", 7)),
    ],
)
def test_what_only_looks_like_an_entry_behind_the_vocabulary_is_none(tmp_path: Path, pair: bytes) -> None:
    assert _beginning(tmp_path, *ABOUT, _tokens(9000), pair) == KNOWN


def test_nothing_is_looked_for_among_the_weights(tmp_path: Path) -> None:
    weights = FIRST_TENSOR + bytes(2 * CHUNK) + TEMPLATE + FILE_TYPE
    assert _beginning(tmp_path, *ABOUT, _tokens(9000), behind=weights) == KNOWN
    far = bytes(33_000_000) + TEMPLATE  # of a model whose first tensor has another name
    assert _beginning(tmp_path, *ABOUT, _tokens(9000), behind=far) == KNOWN


@pytest.mark.parametrize("number", [0, 2**31, 2**32 - 1])
def test_any_number_may_stand_for_the_type_of_a_file(tmp_path: Path, number: int) -> None:
    found = _beginning(
        tmp_path, *ABOUT, _tokens(9000), _pair(b"general.file_type", _U32, struct.pack("<I", number))
    )
    assert found["general.file_type"] == number


def test_a_beginning_that_ends_anywhere_is_told_or_refused() -> None:
    whole = _header(*ABOUT, _tokens(50), TEMPLATE, FILE_TYPE)
    for length in range(len(whole)):
        with suppress(Broken):
            found = parse_beginning(BytesIO(whole[:length]), length, Work())
            assert found.items() >= KNOWN.items()


def test_the_beginning_takes_little_memory_whatever_follows(tmp_path: Path) -> None:
    path = tmp_path / "large.gguf"
    path.write_bytes(_header(*ABOUT, _tokens(800_000), TEMPLATE))
    tracemalloc.start()
    try:
        assert read_beginning(path).metadata["tokenizer.chat_template"] is True
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert most < 2_000_000
