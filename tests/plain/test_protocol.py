"""Messages on byte streams: both ends joined by bytes, in whole and in pieces, and what a broken stream says.

python -m pytest tests/plain/test_protocol.py
"""

import io
import json

import numpy as np
import pytest

from backend.protocol import (
    MAGIC,
    MAX_BODY_BYTES,
    MAX_HEAD_BYTES,
    PREFIX,
    MessageTooLarge,
    ProtocolError,
    encode_message,
    read_message,
    write_message,
)

MESSAGES = [
    ({"id": 1, "request": "status"}, {}),
    ({"id": 2, "event": "progress", "fraction": 0.25, "text": "Encoding «Läufe» 走る"}, {}),
    ({"id": 3, "event": "variation"}, {"root": np.ones((4, 3), np.float32), "slide_joints": np.zeros(0, np.int32)}),
    ({}, {"flags": np.array([True, False])}),
]


class Pieces(io.RawIOBase):
    """A stream that gives and takes a few bytes at a time, as a pipe may."""

    def __init__(self, data=b"", size=3):
        super().__init__()
        self.data, self.size = bytearray(data), size

    def readable(self):
        """It can be read."""
        return True

    def writable(self):
        """It can be written."""
        return True

    def readinto(self, buffer):
        """At most `size` bytes."""
        piece = self.data[: min(self.size, len(buffer))]
        del self.data[: len(piece)]
        buffer[: len(piece)] = piece
        return len(piece)

    def write(self, data):
        """At most `size` bytes."""
        piece = bytes(data[: self.size])
        self.data += piece
        return len(piece)


def as_bytes(head, arrays=None) -> bytes:
    """A message's bytes."""
    return b"".join(encode_message(head, arrays))


@pytest.mark.parametrize("size", [1, 3, 10**6])
def test_messages_come_out_as_they_went_in(size):
    """Whatever pieces the stream makes of them, one after the other, and then the end."""
    stream = Pieces(size=size)
    for head, arrays in MESSAGES:
        write_message(stream, head, arrays)
    for head, arrays in MESSAGES:
        message = read_message(stream)
        assert message.head == head
        assert set(message.arrays) == set(arrays)
        for name, array in arrays.items():
            assert message.arrays[name].dtype == array.dtype
            np.testing.assert_array_equal(message.arrays[name], array)
    assert read_message(stream) is None


def test_every_end_inside_a_message_is_noticed():
    """And says how much is missing."""
    data = as_bytes(*MESSAGES[2])
    for length in range(1, len(data)):
        with pytest.raises(ProtocolError, match="missing"):
            read_message(io.BytesIO(data[:length]))


@pytest.mark.parametrize("garbage", [b"h", b"hello\n", b"Warning: CUDA\r\n" * 20, b"\x00", MAGIC[:-1] + b"\r"])
def test_a_foreign_print_between_messages_is_quoted(garbage):
    """It is noticed at its first bytes, without waiting for more."""
    stream = io.BytesIO(as_bytes({"id": 1}) + garbage)
    assert read_message(stream).head == {"id": 1}
    with pytest.raises(ProtocolError, match="Expected the start of a message, found") as caught:
        read_message(stream)
    assert repr(garbage[:5].decode("utf-8", "backslashreplace"))[:-1] in str(caught.value)


def test_line_end_translation_is_noticed():
    """A stream in text mode on Windows breaks the first message, not some later one."""
    with pytest.raises(ProtocolError, match="Expected the start"):
        read_message(io.BytesIO(as_bytes({"id": 1}).replace(b"\n", b"\r\n")))


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (PREFIX.pack(MAGIC, MAX_HEAD_BYTES + 1, 0), "claims a head of"),
        (PREFIX.pack(MAGIC, 2, MAX_BODY_BYTES + 1), "claims a body of"),
        (PREFIX.pack(MAGIC, 3, 0) + b"{1}", "isn't JSON"),
        (PREFIX.pack(MAGIC, 2, 0) + b"[]", "must be a JSON object"),
        (PREFIX.pack(MAGIC, 10, 0) + b'{"id": NaN', "isn't JSON"),
        (PREFIX.pack(MAGIC, 11, 0) + b'{"id": NaN}', "NaN is not a JSON number"),
        (PREFIX.pack(MAGIC, 2, 0) + b"\xff\xff", "isn't JSON"),
        (PREFIX.pack(MAGIC, 2, 9) + b"{}" + b"x" * 9, "The body of a message is broken"),
    ],
)
def test_broken_messages_are_explained(data, sentence):
    """Lengths are judged before anything of that length is read or made."""
    with pytest.raises(ProtocolError, match=sentence):
        read_message(io.BytesIO(data))


def test_a_motion_beyond_the_limit_is_refused_before_it_is_copied():
    """The sentence says what to do; the array here would take terabytes."""
    with pytest.raises(MessageTooLarge, match="the limit is 2,048 MB. Choose a shorter range"):
        encode_message({"id": 1}, {"rotations": np.broadcast_to(np.float64(0), (10**6, 10**6))})


def test_limits_count_the_whole_body():
    """A body that fits to the byte passes on both ends; one byte less refuses it on both."""
    arrays = {"a": np.zeros(100, np.uint8)}
    size = sum(map(len, encode_message({}, arrays))) - PREFIX.size - len("{}")
    data = b"".join(encode_message({}, arrays, max_body=size))
    assert len(read_message(io.BytesIO(data), max_body=size).arrays["a"]) == 100
    with pytest.raises(MessageTooLarge):
        encode_message({}, arrays, max_body=size - 1)
    with pytest.raises(ProtocolError, match="body"):
        read_message(io.BytesIO(data), max_body=size - 1)


def test_a_head_beyond_the_limit_is_refused():
    """A head is for settings and sentences."""
    with pytest.raises(MessageTooLarge, match="head"):
        encode_message({"text": "x" * MAX_HEAD_BYTES})


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_heads_hold_only_json(value):
    """What the reader would refuse isn't written."""
    with pytest.raises(ValueError):
        encode_message({"id": value})
    assert json.loads(as_bytes({"id": 1})[PREFIX.size :]) == {"id": 1}
