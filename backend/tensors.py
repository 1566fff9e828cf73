"""Named arrays <-> bytes, in the safetensors layout; one codec for messages and checkpoints.

    8 bytes   length of the header, little endian
    header    JSON: {"name": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}, "__metadata__": {...}}
    data      the arrays' bytes, back to back, little endian, rows last

Files made here open with the `safetensors` package and the reverse. What arrives isn't trusted: every length and offset
is checked before use, and nothing is ever executed. Arrays that are read are read-only views of the bytes they came in.
"""

import json
import math
import os
import struct
from pathlib import Path

import numpy as np

DTYPES = {
    "BOOL": "|b1",
    "U8": "|u1",
    "I8": "|i1",
    "U16": "<u2",
    "I16": "<i2",
    "F16": "<f2",
    "U32": "<u4",
    "I32": "<i4",
    "F32": "<f4",
    "U64": "<u8",
    "I64": "<i8",
    "F64": "<f8",
}
DTYPE_NAMES = {np.dtype(code): name for name, code in DTYPES.items()}
LENGTH = struct.Struct("<Q")
ALIGNMENT = 8  # the header is padded to this, so that views of the data are aligned
MAX_HEADER_BYTES = 16 * 2**20  # a header describes about 100 bytes an array; more than this is a broken length
MAX_DIMENSIONS = 32  # numpy's own limit before 2.0
METADATA = "__metadata__"


class TensorError(ValueError):
    """Bytes that are not named arrays in the safetensors layout; the text says where they go wrong."""


def tensors_size(arrays) -> int:
    """The number of data bytes that `arrays` take, without copying any."""
    return sum(np.asarray(array).nbytes for array in arrays.values())


def tensors_to_buffers(arrays, metadata: dict[str, str] | None = None) -> list:
    """The layout as a list of buffers (header, then one an array), without copying contiguous arrays.

    Raises:
        TypeError: an array's type has no name in the layout, or metadata isn't text.
    """
    header = {}
    if metadata:
        if not all(isinstance(key, str) and isinstance(value, str) for key, value in metadata.items()):
            raise TypeError("Metadata of named arrays must be text for every key.")
        header[METADATA] = dict(metadata)
    buffers, offset = [], 0
    contiguous = {name: _little_endian(name, array) for name, array in arrays.items()}
    # Wide types first, as the safetensors package writes them: every array then starts at a multiple of its item size.
    for name in sorted(contiguous, key=lambda name: (-contiguous[name].itemsize, name)):
        array = contiguous[name]
        end = offset + array.nbytes
        header[name] = {"dtype": DTYPE_NAMES[array.dtype], "shape": list(array.shape), "data_offsets": [offset, end]}
        if array.nbytes:
            buffers.append(array.reshape(-1).view(np.uint8).data)
        offset = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % ALIGNMENT)
    return [LENGTH.pack(len(text)) + text, *buffers]


def tensors_to_bytes(arrays, metadata: dict[str, str] | None = None) -> bytes:
    """The layout as one piece."""
    return b"".join(tensors_to_buffers(arrays, metadata))


def bytes_to_tensors(data) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Arrays and metadata from any bytes-like object, as read-only views of it.

    Raises:
        TensorError: the bytes are cut short, foreign, or contradict themselves.
    """
    view = memoryview(data)
    header, start = _read_header(view)
    metadata = header.pop(METADATA, {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise TensorError(f"The {METADATA} of the named arrays must be an object of texts.")
    available = len(view) - start
    entries = {name: _check_entry(name, entry) for name, entry in header.items()}
    _check_offsets(entries, available)
    arrays = {}
    for name, (dtype, shape, begin, end) in entries.items():
        flat = np.frombuffer(view[start + begin : start + end], dtype=dtype) if end > begin else np.empty(0, dtype)
        array = flat.reshape(shape)
        array.flags.writeable = False
        arrays[name] = array
    return arrays, metadata


def save_tensors(path, arrays, metadata: dict[str, str] | None = None) -> None:
    """Write a file; it appears whole or not at all."""
    path = Path(path)
    partial = path.with_name(f"{path.name}.part{os.getpid()}")
    try:
        with open(partial, "wb") as file:
            for buffer in tensors_to_buffers(arrays, metadata):
                file.write(buffer)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def load_tensors(path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Arrays and metadata of a file.

    Raises:
        TensorError: see `bytes_to_tensors`. OSError: the file can't be read.
    """
    return bytes_to_tensors(Path(path).read_bytes())


def _little_endian(name, array) -> np.ndarray:
    """`array` contiguous and in little-endian order, copied only where it must be."""
    array = np.asarray(array)
    dtype = array.dtype.newbyteorder("<") if array.dtype.kind in "iuf" else array.dtype
    if dtype not in DTYPE_NAMES:
        raise TypeError(f"Array '{name}' has type {array.dtype}; expected one of {', '.join(DTYPES)}.")
    return np.asarray(array, dtype=dtype, order="C")


def _read_header(view) -> tuple[dict, int]:
    """The JSON header and the position at which the data starts."""
    if len(view) < LENGTH.size:
        raise TensorError(f"Named arrays start with {LENGTH.size} bytes of length; found {len(view)} in all.")
    (length,) = LENGTH.unpack(view[: LENGTH.size])
    if length > MAX_HEADER_BYTES:
        raise TensorError(
            f"Not named arrays in the safetensors layout: the header claims {length} bytes, "
            f"the limit is {MAX_HEADER_BYTES}."
        )
    start = LENGTH.size + length
    if len(view) < start:
        raise TensorError(f"Cut short: the header claims {length} bytes, {len(view) - LENGTH.size} are there.")
    try:
        header = json.loads(bytes(view[LENGTH.size : start]), object_pairs_hook=_unique_keys)
    except TensorError:
        raise
    except (ValueError, RecursionError) as error:
        raise TensorError(f"Not named arrays in the safetensors layout: the header isn't JSON ({error}).") from None
    if not isinstance(header, dict):
        raise TensorError(f"The header of named arrays must be a JSON object, found {type(header).__name__}.")
    return header, start


def _unique_keys(pairs) -> dict:
    """An object of a JSON text, in which no key stands twice."""
    result = dict(pairs)
    if len(result) < len(pairs):
        raise TensorError("A name stands twice in the header of the named arrays.")
    return result


def _check_entry(name, entry) -> tuple[np.dtype, tuple, int, int]:
    """Type, shape, begin and end of one array, each checked by itself."""
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise TensorError(f"Array '{name}' must have dtype, shape and data_offsets, and nothing else.")
    if not isinstance(entry["dtype"], str) or entry["dtype"] not in DTYPES:
        raise TensorError(f"Array '{name}' has type {entry['dtype']!r}; expected one of {', '.join(DTYPES)}.")
    dtype, shape, offsets = np.dtype(DTYPES[entry["dtype"]]), entry["shape"], entry["data_offsets"]
    if not _are_sizes(shape) or len(shape) > MAX_DIMENSIONS:
        raise TensorError(f"Array '{name}' has shape {shape!r}; expected up to {MAX_DIMENSIONS} whole numbers.")
    if not _are_sizes(offsets) or len(offsets) != 2:
        raise TensorError(f"Array '{name}' has data_offsets {offsets!r}; expected two whole numbers.")
    begin, end = offsets
    needed = math.prod(shape) * dtype.itemsize
    if end - begin != needed:
        what = f"Array '{name}' of shape {shape} and type {entry['dtype']}"
        raise TensorError(f"{what} takes {needed} bytes; its offsets span {end - begin}.")
    return dtype, tuple(shape), begin, end


def _are_sizes(values) -> bool:
    """A list of whole numbers from 0 on (JSON's true is none, though Python's is)."""
    return isinstance(values, list) and all(type(value) is int and value >= 0 for value in values)


def _check_offsets(entries, available) -> None:
    """Arrays lie back to back from 0 to the end: no overlap, no hole, nothing missing, nothing left."""
    position = 0
    for name, (_, _, begin, end) in sorted(entries.items(), key=lambda item: item[1][2:]):
        if begin != position:
            problem = "overlaps the one before it" if begin < position else "leaves a hole before it"
            raise TensorError(f"Array '{name}' {problem}: it starts at {begin}, expected {position}.")
        position = end
    if position > available:
        raise TensorError(f"Cut short: the arrays take {position} bytes, {available} are there.")
    if position < available:
        raise TensorError(f"{available - position} bytes follow the last array; expected none.")
