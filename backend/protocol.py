"""Length-prefixed messages on any byte stream: a JSON head and named arrays.

    8 bytes   MAGIC, so that a foreign print in the middle of the stream is noticed at once
    4 bytes   length of the head, 8 bytes length of the body, little endian
    head      a JSON object
    body      named arrays (see `tensors`); empty when there are none

Nothing here waits, retries, locks or starts a thread; that is the business of who owns the stream. Once a stream is out
of step there is no way back to a message's start: the reader raises `ProtocolError`, and the stream must be closed.

Requests are answered by any number of `progress` and `variation` events and one final `done`, `cancelled` or `error`.
"""

import json
import struct
from dataclasses import dataclass, field

from .tensors import TensorError, bytes_to_tensors, tensors_size, tensors_to_buffers

VERSION = 1
MAGIC = b"\x93MVAR" + bytes([VERSION]) + b"\r\n"  # not text, and broken by anything that translates line ends
PREFIX = struct.Struct(f"<{len(MAGIC)}sIQ")
MAX_HEAD_BYTES = 2**20  # a head holds settings and sentences
MAX_BODY_BYTES = 2**31  # 100,000 frames of 256 joints in float64 are 0.8 GB, with sliding joints 1.4
QUOTED_BYTES = 200  # how much of foreign bytes an error shows
FINAL_EVENTS = ("done", "cancelled", "error")


class ProtocolError(Exception):
    """The other side broke the protocol; the stream can't be used any more."""


class MessageTooLarge(ValueError):
    """Our side asked for a message beyond the limits; nothing was sent."""


@dataclass(frozen=True)
class Message:
    """One message.

    Attributes:
        head: a JSON object: `id` and `request` or `event`, and what belongs to it.
        arrays: named arrays, read-only.
    """

    head: dict
    arrays: dict = field(default_factory=dict)


def encode_message(head: dict, arrays=None, max_body: int = MAX_BODY_BYTES) -> list:
    """A message as a list of buffers to be written one after the other.

    Raises:
        MessageTooLarge: it is beyond the limits. TypeError, ValueError: the head isn't JSON.
    """
    text = json.dumps(head, separators=(",", ":"), allow_nan=False).encode()
    if len(text) > MAX_HEAD_BYTES:
        raise MessageTooLarge(f"The head of a message takes {_of_limit(len(text), MAX_HEAD_BYTES)}.")
    if not arrays:
        return [PREFIX.pack(MAGIC, len(text), 0) + text]
    size = tensors_size(arrays)
    if size <= max_body:
        buffers = tensors_to_buffers(arrays)
        size = sum(len(buffer) for buffer in buffers)
    if size > max_body:
        raise MessageTooLarge(f"The motion takes {_of_limit(size, max_body)}. Choose a shorter range of frames.")
    return [PREFIX.pack(MAGIC, len(text), size) + text, *buffers]


def write_message(stream, head: dict, arrays=None) -> None:
    """Write a message to a binary stream, and flush it."""
    for buffer in encode_message(head, arrays):
        _write_all(stream, buffer)
    stream.flush()


def read_message(stream, max_body: int = MAX_BODY_BYTES) -> Message | None:
    """Read the next message of a binary stream; None at its end.

    Give it an unbuffered stream: foreign bytes are then noticed when they come, not when a whole prefix has come.

    Raises:
        ProtocolError: foreign bytes, lengths beyond the limits, a message cut short, or a broken head or body.
    """
    prefix = bytearray()
    while len(prefix) < PREFIX.size:
        piece = stream.read(PREFIX.size - len(prefix))
        if not piece:
            if not prefix:
                return None
            raise ProtocolError(_cut_short("prefix", len(prefix), PREFIX.size))
        prefix += piece
        if not MAGIC.startswith(prefix[: len(MAGIC)]):
            raise ProtocolError(f"Expected the start of a message, found {quote_bytes(prefix)}.")
    _, head_length, body_length = PREFIX.unpack(prefix)
    if head_length > MAX_HEAD_BYTES:
        raise ProtocolError(f"A message claims a head of {_of_limit(head_length, MAX_HEAD_BYTES)}.")
    if body_length > max_body:
        raise ProtocolError(f"A message claims a body of {_of_limit(body_length, max_body)}.")
    head = _parse_head(_read_exactly(stream, head_length, "head"))
    if not body_length:
        return Message(head)
    try:
        arrays, _ = bytes_to_tensors(_read_exactly(stream, body_length, "body"))
    except TensorError as error:
        raise ProtocolError(f"The body of a message is broken. {error}") from None
    return Message(head, arrays)


def quote_bytes(data) -> str:
    """Foreign bytes as a short quoted text for an error."""
    text = bytes(data[:QUOTED_BYTES]).decode("utf-8", "backslashreplace")
    return repr(text) + (" ..." if len(data) > QUOTED_BYTES else "")


def _parse_head(data) -> dict:
    """A message's head.

    Raises:
        ProtocolError: it isn't a JSON object.
    """
    try:
        head = json.loads(bytes(data), parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise ProtocolError(f"The head of a message isn't JSON ({error}): {quote_bytes(data)}.") from None
    if not isinstance(head, dict):
        raise ProtocolError(f"The head of a message must be a JSON object, found {quote_bytes(data)}.")
    return head


def _refuse_constant(name):
    """Python's own additions to JSON aren't ours."""
    raise ValueError(f"{name} is not a JSON number")


def _read_exactly(stream, length, part) -> bytearray:
    """`length` bytes of a stream.

    Raises:
        ProtocolError: the stream ended before.
    """
    data = bytearray(length)
    view, filled = memoryview(data), 0
    while filled < length:
        count = stream.readinto(view[filled:])
        if not count:
            raise ProtocolError(_cut_short(part, filled, length))
        filled += count
    return data


def _write_all(stream, buffer) -> None:
    """Write a buffer whole, whatever piece of it the stream takes at a time (a raw pipe takes what fits)."""
    view, written = memoryview(buffer), 0
    while written < len(view):
        written += stream.write(view[written:])


def _of_limit(size, limit) -> str:
    """A size beyond its limit, in words."""
    return f"{size / 2**20:,.1f} MB; the limit is {limit / 2**20:,.0f} MB"


def _cut_short(part, found, expected) -> str:
    """The end of a stream at the wrong place, in words."""
    return f"The stream ended inside a message: {expected - found} of {expected} bytes of its {part} are missing."
