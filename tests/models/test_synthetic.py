"""The synthetic model is a real GGUF file, by the format's own library and by ours."""

from pathlib import Path

import pytest

from whisper_desktop.models.gguf import read_header
from whisper_desktop.models.shape import shape_of
from whisper_desktop.models.synthetic import Synthetic, write_synthetic

MODEL = Synthetic(layers=2, width=512, kv_width=256, feed_forward=1024)


def test_both_readers_find_what_was_written(tmp_path: Path) -> None:
    import gguf

    path = tmp_path / "model.gguf"
    write_synthetic(path, MODEL)
    theirs = gguf.GGUFReader(path)
    wanted = dict(MODEL.tensors())
    assert {tensor.name: tuple(tensor.shape.tolist()) for tensor in theirs.tensors} == wanted
    assert sum(tensor.n_bytes for tensor in theirs.tensors) == MODEL.size_bytes
    end = max(tensor.data_offset + tensor.n_bytes for tensor in theirs.tensors)
    assert end == path.stat().st_size
    ours = shape_of(read_header(path))
    assert ours is not None
    assert (len(ours.layers), ours.width, ours.heads, ours.vocabulary) == (2, 512, 4, 1024)
    assert ours.weights.size_bytes == MODEL.size_bytes
    assert not ours.tied


def test_its_weights_are_no_zeros_and_its_norms_are_one(tmp_path: Path) -> None:
    import gguf

    path = tmp_path / "model.gguf"
    write_synthetic(path, MODEL)
    for tensor in gguf.GGUFReader(path).tensors:
        values = gguf.dequantize(tensor.data, tensor.tensor_type)
        if len(tensor.shape) == 1:
            assert (values == 1.0).all()
        else:
            assert 0.001 < values.std() < 0.1, tensor.name


def test_the_default_is_a_gigabyte_like_a_model_of_three_billions() -> None:
    assert 0.9e9 < Synthetic().size_bytes < 1e9
    assert Synthetic(layers=14).size_bytes == pytest.approx(Synthetic().size_bytes / 2, rel=0.01)


def test_writing_ends_when_it_is_given_up_and_never_replaces_a_file(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    write_synthetic(path, MODEL, lambda: True)
    assert path.stat().st_size < MODEL.size_bytes / 10
    with pytest.raises(FileExistsError):
        write_synthetic(path, MODEL)
