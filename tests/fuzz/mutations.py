"""What is done to a GGUF file to harm whoever reads it. Each kind makes one model from a source of chance."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from random import Random

from tests.fuzz.headers import (
    ARRAY,
    NUMBERS,
    TEXT,
    U32,
    U64,
    Field,
    Model,
    Value,
    Written,
    draw,
    number,
    placed,
    texts,
    write,
)

Files = Mapping[str, bytes]
"""The files of one model by name; the first is the one to open."""

_EXTREMES = (
    0, 1, 2, 255, 4096, 4097, 65_535, 65_536, 10**6, 10**6 + 1, 2**24, 2**31 - 1, 2**31, 2**32 - 1, 2**32,
    2**48, 2**50, 2**63 - 1, 2**63, 2**64 - 8, 2**64 - 1,
)  # fmt: skip


def valid(random: Random) -> Files:
    """Nothing is wrong with it."""
    return _one(_whole(write(draw(random))))


def bit_flips(random: Random) -> Files:
    """A few bits are others."""
    data = bytearray(write(draw(random)).data)
    for _ in range(random.choice((1, 1, 2, 8))):
        data[random.randrange(len(data))] ^= 1 << random.randrange(8)
    return _one(bytes(data))


def other_bytes(random: Random) -> Files:
    """A stretch of it is something else."""
    data = bytearray(write(draw(random)).data)
    at, length = random.randrange(len(data)), random.choice((1, 4, 8, 40, 400))
    data[at : at + length] = random.choice((random.randbytes(length), b"\xff" * length, bytes(length)))
    return _one(bytes(data))


def cut(random: Random) -> Files:
    """It ends too early."""
    data = write(draw(random)).data
    return _one(data[: random.randrange(len(data) + 1)])


def extreme_lengths(random: Random) -> Files:
    """Its texts, lists and dimensions claim to be longer or shorter than they are."""
    return _with_fields(random, ("length", "count"))


def extreme_dimensions(random: Random) -> Files:
    """Its tensors claim sizes that no tensor has, 0 among them."""
    return _with_fields(random, ("dimension",))


def other_kinds(random: Random) -> Files:
    """Its values and tensors claim to be of other kinds, arrays inside arrays among them."""
    return _with_fields(random, ("kind",), (*range(14), 31, 39, 43, 255, 2**31, 2**32 - 1))


def other_offsets(random: Random) -> Files:
    """Its tensors lie in the same place, over each other, backwards, or behind the end."""
    model = draw(random)
    if len(model.tensors) < 2:
        model.tensors = placed([(b"a", (32,), 0), (b"b", (32,), 0), (b"c", (64,), 1)])
    offsets = [each.offset for each in model.tensors]
    match random.randrange(4):
        case 0:
            offsets = [random.choice(offsets)] * len(offsets)
        case 1:
            offsets = [offset // 2 for offset in offsets]
        case 2:
            offsets.reverse()
        case _:
            offsets[random.randrange(len(offsets))] = random.choice(_EXTREMES)
    model.tensors = [each._replace(offset=at) for each, at in zip(model.tensors, offsets, strict=True)]
    return _one(write(model).data)


def nested_arrays(random: Random) -> Files:
    """Lists of lists of lists."""
    depth = random.choice((1, 2, 50, 20_000))
    head = ARRAY.to_bytes(4, "little") + (1).to_bytes(8, "little")
    inner = TEXT.to_bytes(4, "little") + bytes(8)
    data = bytearray(write(Model([(b"deep", Value(ARRAY, [], U32))])).data)
    at = data.index(b"deep") + 8
    return _one(bytes(data[:at] + head * depth + inner))


def not_utf8(random: Random) -> Files:
    """Names, keys and values that are no text."""
    model = draw(random)
    model.pairs += [(random.randbytes(20), Value(TEXT, random.randbytes(400))) for _ in range(5)]
    model.pairs.append((b"\xff\xfe\0", Value(ARRAY, [b"\xc3", b"\xed\xa0\x80", b"\0"], TEXT)))
    model.tensors += [each._replace(name=random.randbytes(30)) for each in model.tensors[:3]]
    return _one(write(model).data)


def twice(random: Random) -> Files:
    """Keys and tensors that are there twice."""
    model = draw(random)
    model.pairs += random.choices(model.pairs, k=random.randrange(3))
    if model.tensors:
        model.tensors += random.choices(model.tensors, k=random.randrange(3))
    return _one(write(model).data)


def absurd_numbers(random: Random) -> Files:
    """Well formed, with numbers that no model has."""
    architecture = random.choice(("llama", "gemma3", "deepseek2", "qwen35", "rwkv7", "lfm2", "gpt-oss"))
    pairs = [(b"general.architecture", Value(TEXT, architecture.encode()))]
    pairs.append(number(f"{architecture}.block_count", random.choice((1, 40, 511, 512, 513, 2**40))))
    for key in random.sample(NUMBERS[1:], random.randrange(len(NUMBERS) - 1)):
        name = f"{architecture}.{key}".encode()
        match random.randrange(4):
            case 0:
                value = Value(ARRAY, [random.choice(_EXTREMES)] * random.choice((0, 1, 40, 4096)), U64)
            case 1:
                value = Value(11, -random.choice(_EXTREMES[:-4]))
            case 2:
                value = Value(12, random.choice((0.5, -1.0, float("inf"), float("nan"), 1e300)))
            case _:
                value = Value(U64, random.choice(_EXTREMES))
        pairs.append((name, value))
    random.shuffle(pairs)
    names = ("token_embd.weight", "output.weight", "blk.0.attn_q.weight", "blk.9999.ffn_up_exps.weight",
             "blk.99999.x", "blk.00000.y", "blk.-1.z", "blk.0.")  # fmt: skip
    dims = random.choice(((2**49,), (2**25, 2**24), (1, 1, 1, 2**40), (8, 8)))
    return _one(write(Model(pairs, placed([(name.encode(), dims, 0) for name in names]))).data)


def costly(random: Random) -> Files:
    """As long as it may be, or a little longer: many entries, texts, tensors, files."""
    match random.randrange(6):
        case 0:
            count = random.choice((9_990, 10_001))
            return _one(write(Model([(b"k%d" % place, Value(U32, 1)) for place in range(count)])).data)
        case 1:
            count = random.choice((29_000, 30_001))
            return _one(write(Model([], placed([(b"t%d" % n, (32,), 0) for n in range(count)]))).data)
        case 2:
            lists = [(b"k%d" % place, texts(4096, 2)) for place in range(random.choice((40, 60)))]
            return _one(write(Model(lists)).data)
        case 3:
            long = Value(TEXT, random.choice(("\U0001f600" * 240_000, "\xff" * 490_000)).encode())
            pairs = [(b"k%d" % place, long) for place in range(random.choice((9, 12)))]
            return _one(write(Model(pairs)).data)
        case 4:
            return _one(write(Model([(b"k", texts(random.choice((300_000, 4_097)), 4))])).data)
        case _:
            data = write(Model([(b"k", Value(ARRAY, [0] * 5000, 0))])).data
            return _one(data.replace((5000).to_bytes(8, "little"), (2**40).to_bytes(8, "little"), 1))


def divided(random: Random) -> Files:
    """A model in several files that do not belong together: circles, gaps, lies about how many there are."""
    count = random.choice((2, 3, 5))
    model = draw(random)
    files = {}
    for place in range(count):
        said = place if random.random() < 0.7 else random.choice((0, 1, count, 2**32 - 1))
        total = count if random.random() < 0.8 else random.choice((0, 1, 7, 999, 1001, 2**32 - 1))
        pairs = [number("split.no", said), number("split.count", total)]
        if not place:
            pairs += model.pairs
        part = write(replace(model, pairs=pairs, tensors=model.tensors if place == 1 else []))
        data = part.data if random.random() < 0.8 else part.data[: random.randrange(len(part.data))]
        if not place or random.random() < 0.9:
            files[f"model-{place + 1:05}-of-{count:05}.gguf"] = data
    return files


def spliced(random: Random) -> Files:
    """The beginning of one file and the end of another."""
    one, other = write(draw(random)).data, write(draw(random)).data
    return _one(one[: random.randrange(len(one))] + other[random.randrange(len(other)) :])


def noise(random: Random) -> Files:
    """A beginning that is right, and nothing after it."""
    start = random.choice((b"", b"GGUF", b"GGUF\x03\0\0\0", b"GGUF\0\0\0\x03", b"GGUF\x02\0\0\0" + bytes(8)))
    return _one(start + random.randbytes(random.choice((0, 1, 16, 300, 3000))))


KINDS: Mapping[str, Callable[[Random], Files]] = {
    made.__name__.replace("_", " "): made
    for made in (
        valid,
        bit_flips,
        other_bytes,
        cut,
        extreme_lengths,
        extreme_dimensions,
        other_kinds,
        other_offsets,
        nested_arrays,
        not_utf8,
        twice,
        absurd_numbers,
        divided,
        spliced,
        noise,
        costly,
    )  # fmt: skip
}
"""By name; `costly` is the last and takes by far the longest."""


def _with_fields(random: Random, roles: tuple[str, ...], values: tuple[int, ...] = _EXTREMES) -> Files:
    model = draw(random)
    if not model.tensors:
        model.tensors = placed([(b"blk.0.a", (32, 2), 0)])
    written = write(model)
    data = bytearray(written.data)
    fields = [each for each in written.fields if each.role in roles]
    for each in random.sample(fields, min(len(fields), random.choice((1, 1, 1, 3)))):
        value = random.choice((*values, len(data), len(data) - each.at, _value(data, each) + 1))
        data[each.at : each.at + each.size] = (value % 2 ** (8 * each.size)).to_bytes(each.size, "little")
    return _one(bytes(data))


def _value(data: bytes | bytearray, place: Field) -> int:
    return int.from_bytes(data[place.at : place.at + place.size], "little")


def _whole(written: Written) -> bytes:
    return written.data.ljust(written.file_bytes, b"\0")


def _one(data: bytes) -> Files:
    return {"model.gguf": data}
