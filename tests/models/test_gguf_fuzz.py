"""Hostile and odd headers: what is well formed is read as by the reference library, all else is refused.

`dev.py fuzz` does the same for as long as one likes.
"""

import math
import subprocess
import sys
import tempfile
from io import BytesIO
from pathlib import Path
from random import Random
from typing import Any

import gguf
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz.headers import ARRAY, TEXT, TYPES, Model, TensorInfo, Value, placed, write
from tests.fuzz.judge import judge
from tests.fuzz.mutations import KINDS
from whisper_desktop.models.gguf import GgufHeader, read_header
from whisper_desktop.models.gguf_parser import Broken, NeedMore, Work, parse

ROOT = Path(__file__).resolve().parents[2]
LONGEST_KEPT = 4096

# --- what is well formed ----------------------------------------------------------------------------------

_singles: dict[int, st.SearchStrategy[Any]] = {
    0: st.integers(0, 2**8 - 1),
    1: st.integers(-(2**7), 2**7 - 1),
    2: st.integers(0, 2**16 - 1),
    3: st.integers(-(2**15), 2**15 - 1),
    4: st.integers(0, 2**32 - 1),
    5: st.integers(-(2**31), 2**31 - 1),
    6: st.floats(width=32),
    7: st.booleans(),
    8: st.text().map(str.encode),
    10: st.integers(0, 2**64 - 1),
    11: st.integers(-(2**63), 2**63 - 1),
    12: st.floats(),
}


@st.composite
def values(draw: st.DrawFn) -> Value:
    kind = draw(st.sampled_from(sorted(_singles)))
    if draw(st.booleans()):
        return Value(kind, draw(_singles[kind]))
    if draw(st.integers(0, 9)) == 0:  # too long to be kept
        count = draw(st.integers(LONGEST_KEPT - 1, LONGEST_KEPT + 2))
        return Value(ARRAY, [draw(_singles[kind])] * count, kind)
    return Value(ARRAY, draw(st.lists(_singles[kind], max_size=5)), kind)


@st.composite
def models(draw: st.DrawFn) -> Model:
    keys = st.text(min_size=1, max_size=30).filter(lambda key: not key.startswith(("GGUF.", "split.")))
    pairs = draw(st.dictionaries(keys.map(str.encode), values(), max_size=6))
    alignment = 2 ** draw(st.integers(0, 12))
    pairs[b"general.alignment"] = Value(4, alignment)
    names = draw(st.lists(st.text(max_size=15).map(str.encode), max_size=6, unique=True))
    shapes = []
    for name in names:
        kind = draw(st.sampled_from(sorted(TYPES)))
        dims = draw(st.lists(st.integers(1, 5), min_size=1, max_size=4))
        shapes.append((name, (TYPES[kind][0] * dims[0], *dims[1:]), kind))
    order = draw(st.permutations(list(pairs.items())))
    return Model(list(order), placed(shapes, alignment), draw(st.sampled_from((2, 3))), alignment)


def read(data: bytes, size: int) -> tuple[GgufHeader, Any]:
    """The header of a file with these first bytes, as it is read here and by the reference library."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.gguf")
        path.write_bytes(data.ljust(size, b"\0"))
        return read_header(path), gguf.GGUFReader(path)


@settings(max_examples=100)
@given(models())
def test_every_field_and_every_tensor_is_read_as_the_reference_library_does(model: Model) -> None:
    written = write(model)
    header, reference = read(written.data, written.file_bytes)
    fields = {key: each for key, each in reference.fields.items() if not key.startswith("GGUF.")}
    kept = {key for key, each in fields.items() if len(each.data) <= LONGEST_KEPT}
    assert set(header.metadata) == kept
    for key in kept:
        assert same(header.metadata[key], fields[key].contents()), key
    told = [(each.name, each.type, list(each.shape), each.size_bytes) for each in header.tensors]
    assert told == [
        (each.name, each.tensor_type.name, each.shape.tolist(), each.n_bytes) for each in reference.tensors
    ]
    assert header.file_bytes == written.file_bytes
    assert header.missing_bytes == 0


def same(one: object, other: object) -> bool:
    """Equal; not a number is equal to itself here."""
    if isinstance(one, tuple) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, float) and isinstance(other, float) and math.isnan(one):
        return math.isnan(other)
    return one == other and isinstance(one, bool) == isinstance(other, bool)


@settings(max_examples=60)
@given(
    st.lists(
        st.tuples(st.sampled_from(sorted(TYPES)), st.lists(st.integers(0, 2**12), min_size=1, max_size=4))
    )
)
def test_the_size_of_a_large_tensor_is_what_the_reference_library_says(
    shapes: list[tuple[int, list[int]]],
) -> None:
    """Alone in its file each time: the weights are not written."""
    for kind, dims in shapes:
        sizes = (TYPES[kind][0] * dims[0], *dims[1:])
        written = write(Model([], [TensorInfo(b"t", sizes, kind, 0)]))
        elements = math.prod(sizes)
        try:
            (tensor,) = parse(BytesIO(written.data), len(written.data), Work()).tensors
        except Broken:
            assert not elements or elements > 2**50
            continue
        block, size = gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType(kind)]
        assert tensor.size_bytes == elements // block * size


# --- the beginning of a file ------------------------------------------------------------------------------


def verdict(data: bytes, size: int) -> object:
    """What is said of a file of which this much is there: more is needed, it is broken, or what it holds."""
    try:
        return parse(BytesIO(data), size, Work())
    except NeedMore as more:
        return NeedMore if len(data) < more.offset <= min(size, more.likely) else "a need that is none"
    except Broken as broken:
        return str(broken)


@settings(max_examples=150)
@given(st.sampled_from(sorted(set(KINDS) - {"costly", "divided"})), st.integers(0, 2**32), st.floats(0, 1))
def test_a_beginning_that_is_long_enough_says_what_the_whole_file_says(
    kind: str, seed: int, share: float
) -> None:
    (whole,) = KINDS[kind](Random(seed)).values()
    in_part = verdict(whole[: int(share * len(whole))], len(whole))
    # `repr`, because what is not a number is not equal to itself
    assert in_part is NeedMore or repr(in_part) == repr(verdict(whole, len(whole)))
    assert verdict(whole, len(whole)) is not NeedMore


# --- what is made to harm ---------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", sorted(set(KINDS) - {"costly"}))
@settings(max_examples=20)
@given(seed=st.integers(0, 2**32))
def test_nothing_leads_to_anything_but_a_header_or_a_model_file_error(kind: str, seed: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        assert judge(Path(folder), KINDS[kind](Random(seed))).failure == ""


@settings(max_examples=100)
@given(st.binary(max_size=300), st.sampled_from([b"", b"GGUF\x03\0\0\0", b"GGUF\x02\0\0\0\1\0\0\0\0\0\0\0"]))
def test_no_bytes_at_all_lead_to_anything_else(data: bytes, start: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        assert judge(Path(folder), {"model.gguf": start + data}).failure == ""


@settings(max_examples=200)
@given(st.integers(0, 2**32), st.data())
def test_no_number_in_a_header_leads_to_anything_else(seed: int, data: st.DataObject) -> None:
    """Every length, count, kind, dimension and offset may be anything."""
    model = Model([(b"k", Value(ARRAY, [b"a", b"b"], TEXT)), (b"n", Value(ARRAY, [1, 2], 4))])
    model.tensors = placed([(b"blk.0.a", (256, 2), 12), (b"b", (32,), 0)])
    written = write(model)
    damaged = bytearray(written.data.ljust(written.file_bytes, b"\0"))
    field = data.draw(st.sampled_from(written.fields))
    value = data.draw(st.integers(0, 2 ** (8 * field.size) - 1) | st.sampled_from((0, 1, 8, len(damaged))))
    damaged[field.at : field.at + field.size] = value.to_bytes(field.size, "little")
    with tempfile.TemporaryDirectory() as folder:
        assert judge(Path(folder), {"model.gguf": bytes(damaged)}).failure == ""


@pytest.mark.parametrize("seed", range(4))
def test_what_is_as_long_as_it_may_be_takes_little_memory(tmp_path: Path, seed: int) -> None:
    assert judge(tmp_path, KINDS["costly"](Random(seed))).failure == ""


# --- the long run -----------------------------------------------------------------------------------------


def test_the_long_run_says_what_came_of_it_and_repeats_itself() -> None:
    command = [sys.executable, "-m", "tests.fuzz.run", "--seconds", "0.1", "--seed", "7", "--only", "17"]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    first, *lines = ran.stdout.splitlines()
    assert first == "seed 7"
    tried = {
        line[:20].strip(): int(line.split()[-6]) for line in lines if line.startswith(("all ", "bit flips "))
    }
    assert tried == {"bit flips": 1, "all": 1}
    assert lines[-1].endswith("inputs over a bound: 0.")
