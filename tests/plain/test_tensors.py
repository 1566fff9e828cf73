"""Named arrays and their bytes: round trips, the safetensors package as the judge, and everything that can be broken.

python -m pytest tests/plain/test_tensors.py
"""

import json
import random
import struct

import numpy as np
import pytest
import safetensors.numpy

from backend.tensors import (
    DTYPES,
    MAX_HEADER_BYTES,
    TensorError,
    bytes_to_tensors,
    load_tensors,
    save_tensors,
    tensors_size,
    tensors_to_bytes,
)

METADATA = {"name": "kangaroo 🦘", "config": '{"width": 8}'}


def example() -> dict:
    """Arrays of every type, and every awkward shape and order."""
    generator = np.random.default_rng(1)
    arrays = {code: (generator.random((3, 5)) * 100).astype(dtype) for code, dtype in DTYPES.items()}
    arrays["scalar"] = np.array(7.5)
    arrays["empty"] = np.zeros((0, 4), np.float32)
    arrays["strided"] = generator.random((6, 8)).astype(np.float32)[::2, ::-1]
    arrays["columns first"] = np.asfortranarray(generator.random((4, 3)))
    arrays["non-ASCII 骨"] = np.arange(3, dtype=np.int8)  # an odd size, before nothing or something
    return arrays


def layout(header, data: bytes = b"") -> bytes:
    """Bytes with any header, right or wrong."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def entry(begin=0, end=4, dtype="F32", shape=(1,), **more) -> dict:
    """The header's entry of one array."""
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [begin, end], **more}


def assert_same(found, expected):
    """Names, types, shapes and values are the same."""
    assert set(found) == set(expected)
    for name, array in expected.items():
        assert found[name].dtype == array.dtype and found[name].shape == array.shape, name
        np.testing.assert_array_equal(found[name], array)


def test_arrays_and_metadata_come_back():
    """Every type, shape and order, and text."""
    arrays, metadata = bytes_to_tensors(tensors_to_bytes(example(), METADATA))
    assert_same(arrays, example())
    assert metadata == METADATA


def test_big_endian_arrays_are_written_little_endian():
    """The values count, not the machine that made them."""
    arrays, _ = bytes_to_tensors(tensors_to_bytes({"a": np.arange(4, dtype=">f8")}))
    assert arrays["a"].dtype == np.dtype("<f8")
    np.testing.assert_array_equal(arrays["a"], np.arange(4))


def test_the_safetensors_package_reads_what_we_write():
    """Another implementation judges our writer."""
    arrays = {name: np.ascontiguousarray(array) for name, array in example().items()}
    assert_same(safetensors.numpy.load(tensors_to_bytes(example(), METADATA)), {**arrays, "scalar": np.array(7.5)})


def test_we_read_what_the_safetensors_package_writes(tmp_path):
    """And our reader, with metadata, from a file."""
    arrays = {name: np.ascontiguousarray(array).reshape(array.shape) for name, array in example().items()}
    safetensors.numpy.save_file(arrays, tmp_path / "file.safetensors", METADATA)
    found, metadata = load_tensors(tmp_path / "file.safetensors")
    assert_same(found, arrays)
    assert metadata == METADATA


def test_reading_copies_nothing_and_writes_nothing():
    """Arrays are aligned, read-only views of the bytes that came in."""
    data = bytearray(tensors_to_bytes(example()))
    arrays, _ = bytes_to_tensors(data)
    for name, array in arrays.items():
        assert not array.flags.writeable and array.flags.aligned, name
        assert array.size == 0 or np.shares_memory(array, np.frombuffer(data, np.uint8)), name


def test_the_size_is_known_without_copying():
    """A broadcast array far beyond the memory is measured, not made."""
    assert tensors_size({"huge": np.broadcast_to(np.float64(0), (10**6, 10**6))}) == 8 * 10**12


def test_files_appear_whole_or_not_at_all(tmp_path):
    """A write that fails leaves the file that was there, and no other."""
    path = tmp_path / "weights.safetensors"
    save_tensors(path, {"a": np.ones(3)})
    with pytest.raises(TypeError, match="complex128"):
        save_tensors(path, {"a": np.ones(3, complex)})
    assert_same(load_tensors(path)[0], {"a": np.ones(3)})
    assert [file.name for file in tmp_path.iterdir()] == ["weights.safetensors"]


def test_every_truncation_is_noticed():
    """No prefix of the bytes passes for the whole."""
    data = tensors_to_bytes({"a": np.arange(6, dtype=np.float32), "b": np.arange(2, dtype=np.int64)})
    for length in range(len(data)):
        with pytest.raises(TensorError):
            bytes_to_tensors(data[:length])


def test_damaged_bytes_never_raise_anything_else():
    """Whatever single byte is changed: either arrays, or a TensorError."""
    data = tensors_to_bytes(example(), METADATA)
    chance = random.Random(3)
    refused = 0
    for _ in range(3000):
        damaged = bytearray(data)
        damaged[chance.randrange(2000)] = chance.randrange(256)
        try:
            bytes_to_tensors(damaged)
        except TensorError:
            refused += 1
    assert refused > 1000


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", "8 bytes of length; found 0"),
        (b"PK\x03\x04 a zip file, for example", "Not named arrays"),
        (struct.pack("<Q", MAX_HEADER_BYTES + 1) + b"{}", "the limit is"),
        (layout(b"{'a': 1}"), "isn't JSON"),
        (layout(b"\xff\xfe"), "isn't JSON"),
        (layout(b"[" * 100_000), "isn't JSON"),
        (layout(b'{"a": ' + b"9" * 5000 + b"}"), "isn't JSON"),
        (layout([1, 2]), "must be a JSON object, found list"),
        (layout(b'{"a": 1, "a": 2}'), "stands twice"),
        (layout({"__metadata__": {"epoch": 3}}), "object of texts"),
        (layout({"a": 3}), "must have dtype, shape and data_offsets"),
        (layout({"a": entry(pickle="no")}, b"1234"), "nothing else"),
        (layout({"a": entry(dtype="BF16", end=2)}, b"12"), "BF16"),
        (layout({"a": entry(dtype=["F32"])}, b"1234"), "expected one of"),
        (layout({"a": entry(shape=(-1,))}, b"1234"), "whole numbers"),
        (layout({"a": entry(shape=(True,))}, b"1234"), "whole numbers"),
        (layout({"a": entry(shape=(1.0,))}, b"1234"), "whole numbers"),
        (layout({"a": entry(shape=(1,) * 40)}, b"1234"), "up to 32"),
        (layout({"a": entry(shape=(2**62, 2**62))}, b"1234"), "takes"),
        (layout({"a": entry(begin=-4, end=0)}, b"1234"), "two whole numbers"),
        (layout({"a": entry(end=8)}, b"12345678"), "takes 4 bytes; its offsets span 8"),
        (layout({"a": entry(begin=4, end=8)}, b"12345678"), "leaves a hole"),
        (layout({"a": entry(), "b": entry(begin=2, end=6)}, b"123456"), "'b' overlaps"),
        (layout({"a": entry(), "b": entry()}, b"1234"), "overlaps"),
        (layout({"a": entry()}, b"123"), "Cut short"),
        (layout({"a": entry()}, b"12345"), "1 bytes follow the last array"),
    ],
)
def test_broken_bytes_are_explained(data, sentence):
    """Each check says what is wrong."""
    with pytest.raises(TensorError, match=sentence):
        bytes_to_tensors(data)


@pytest.mark.parametrize("array", [np.array(["text"]), np.array([object()]), np.ones(2, complex), np.ones(2, "M8[s]")])
def test_types_without_a_name_in_the_layout_are_refused(array):
    """Nothing is ever pickled."""
    with pytest.raises(TypeError, match="expected one of"):
        tensors_to_bytes({"a": array})
