"""Reading and writing the primitive types of the Kafka protocol.

(Protocol guide, "Protocol Primitive Types"; KIP-482 for the compact and tagged ones.)
A ``Reader`` believes no length before the bytes are there: a string that claims 2 GB
in a frame of 40 bytes is a ``ProtocolError``, not an allocation.
"""

import struct
from uuid import UUID

from salon.broker.errors import ProtocolError

_I16 = struct.Struct(">h")
_I32 = struct.Struct(">i")
_I64 = struct.Struct(">q")


class Reader:
    """A cursor over one request.

    Args:
        buffer: the frame, without its length prefix.
        position: where to begin.
    """

    __slots__ = ("buffer", "end", "position")

    def __init__(self, buffer: memoryview, position: int = 0) -> None:
        self.buffer = buffer
        self.position = position
        self.end = len(buffer)

    def take(self, size: int) -> memoryview:
        """The next ``size`` bytes, without copying them."""
        start = self.position
        stop = start + size
        if size < 0 or stop > self.end:
            raise ProtocolError(f"{size} bytes wanted, {self.end - start} there")
        self.position = stop
        return self.buffer[start:stop]

    def int8(self) -> int:
        value = self.take(1)[0]
        return value - 256 if value > 127 else value

    def boolean(self) -> bool:
        return self.take(1)[0] != 0

    def int16(self) -> int:
        position = self.position
        self.position = position + 2
        try:
            value: int = _I16.unpack_from(self.buffer, position)[0]
        except struct.error:
            raise ProtocolError("the request ends in a number") from None
        return value

    def int32(self) -> int:
        position = self.position
        self.position = position + 4
        try:
            value: int = _I32.unpack_from(self.buffer, position)[0]
        except struct.error:
            raise ProtocolError("the request ends in a number") from None
        return value

    def int64(self) -> int:
        position = self.position
        self.position = position + 8
        try:
            value: int = _I64.unpack_from(self.buffer, position)[0]
        except struct.error:
            raise ProtocolError("the request ends in a number") from None
        return value

    def uvarint(self) -> int:
        """Up to five bytes of seven bits, the lowest first."""
        value = shift = 0
        while True:
            byte = self.take(1)[0]
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7
            if shift > 28:
                raise ProtocolError("a variable-length number has more than 5 bytes")

    def uuid(self) -> UUID:
        return UUID(bytes=bytes(self.take(16)))

    def nullable_bytes(self, *, compact: bool) -> memoryview | None:
        size = self.uvarint() - 1 if compact else self.int32()
        return None if size == -1 else self.take(size)

    def nullable_string(self, *, compact: bool) -> str | None:
        size = self.uvarint() - 1 if compact else self.int16()
        if size == -1:
            return None
        try:
            return str(self.take(size), "utf-8")
        except UnicodeDecodeError:
            raise ProtocolError("a string is not UTF-8") from None

    def string(self, *, compact: bool) -> str:
        value = self.nullable_string(compact=compact)
        if value is None:
            raise ProtocolError("a string that must be there is null")
        return value

    def array_length(self, *, compact: bool) -> int:
        """Elements that follow, -1 for null. Each takes at least one byte."""
        size = self.uvarint() - 1 if compact else self.int32()
        if size < -1 or size > self.end - self.position:
            raise ProtocolError(f"an array claims {size} elements")
        return size

    def tags(self) -> dict[int, memoryview]:
        """The tagged fields of a flexible struct."""
        count = self.uvarint()
        found = {}
        for _ in range(count):
            tag = self.uvarint()
            found[tag] = self.take(self.uvarint())
        return found

    def skip_tags(self) -> None:
        if self.uvarint_is_zero():
            return
        self.tags()

    def uvarint_is_zero(self) -> bool:
        """Step over a zero byte if there is one: the usual, empty, tag section."""
        if self.position < self.end and self.buffer[self.position] == 0:
            self.position += 1
            return True
        return False


def uvarint(value: int) -> bytes:
    """``value`` as up to five bytes of seven bits, the lowest first."""
    if value < 0x80:
        return bytes((value,))
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


class Writer:
    """Builds one response. ``compact`` is fixed: a version is flexible or is not."""

    __slots__ = ("compact", "out")

    def __init__(self, *, compact: bool) -> None:
        self.out = bytearray()
        self.compact = compact

    def int8(self, value: int) -> None:
        self.out += value.to_bytes(1, "big", signed=True)

    def boolean(self, value: bool) -> None:
        self.out.append(value)

    def int16(self, value: int) -> None:
        self.out += _I16.pack(value)

    def int32(self, value: int) -> None:
        self.out += _I32.pack(value)

    def int64(self, value: int) -> None:
        self.out += _I64.pack(value)

    def uuid(self, value: UUID) -> None:
        self.out += value.bytes

    def string(self, value: str | None) -> None:
        """A string, or null where the schema allows it."""
        if value is None:
            self.out += b"\0" if self.compact else b"\xff\xff"
            return
        data = value.encode()
        if self.compact:
            self.out += uvarint(len(data) + 1)
        else:
            self.out += _I16.pack(len(data))
        self.out += data

    def array(self, length: int) -> None:
        """The length of an array; its elements follow."""
        self.out += uvarint(length + 1) if self.compact else _I32.pack(length)

    def int32_array(self, values: list[int] | tuple[int, ...]) -> None:
        self.array(len(values))
        for value in values:
            self.out += _I32.pack(value)

    def tags(self) -> None:
        """An empty tag section, in flexible versions."""
        if self.compact:
            self.out.append(0)
