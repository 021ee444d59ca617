r"""Bytes to frames and back: STOMP 1.0, 1.1 and 1.2, without I/O.

Theory of operation
-------------------
A frame has two parts, and one question each: where does the head end, and where does
the body? The head ends at the first blank line, found by ``bytes.find``; the body ends
after ``content-length`` octets, or at the first NUL. So the decoder knows two states:

* no head yet: skip EOLs, look for the blank line, parse what stands before it;
* a head is known: wait until its body and the NUL are there.

Nothing is decided by where the network cut the bytes: while a part is incomplete,
only its *limits* are checked, and they give the same error once it is complete. A
frame is given out the moment its NUL is there, one at a time, because the first one
(CONNECT) decides the version that the next is read in.

The versions differ in the head only:

=================  =======  ===============  ====================
\                  1.0      1.1              1.2 (and unknown)
=================  =======  ===============  ====================
end of line        LF       LF               LF or CRLF
escapes            none     ``\n \c \\``     ``\n \c \\ \r``
spaces around      trimmed  part of the      part of the
name and value              header           header
=================  =======  ===============  ====================

More tolerant than the grammar: a raw ``:`` in a value is part of the value, since
stomp.js 2.3.3 never escapes. Less tolerant: a NUL in a header is refused, since
clients cut frames at NULs.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from salon.stomp.errors import FrameTooLarge, LocalProtocolError, MalformedFrame
from salon.stomp.frames import (
    BODY_COMMANDS,
    CLIENT_COMMANDS,
    PLAIN_COMMANDS,
    Frame,
    Headers,
    Version,
)

LF = 0x0A
CR = 0x0D
NUL = 0x00


@dataclass(frozen=True, slots=True)
class Limits:
    """How large a frame may be; bytes unless said otherwise."""

    body: int = 64 * 1024
    """OWASP's advice for WebSocket messages, and Spring's default."""
    head: int = 10 * 1024
    """Command and all header lines together."""
    line: int = 8 * 1024
    """One header line."""
    headers: int = 128
    """Number of header lines."""


# ---------------------------------------------------------------- decoding


class Decoder:
    """Turns bytes, cut anywhere, into frames.

    Args:
        limits: sizes above which a frame is refused.
        commands: the commands that the peer may use.
    """

    __slots__ = (
        "_at",
        "_commands",
        "_crlf",
        "_data",
        "_escapes",
        "_head",
        "_limits",
        "_old",
        "_scan",
        "_version",
    )

    def __init__(
        self,
        limits: Limits | None = None,
        commands: frozenset[str] = CLIENT_COMMANDS,
    ) -> None:
        self.version = None
        self._limits = limits or Limits()
        self._commands = commands
        # One whole message is read in place, without a copy; a rest becomes a
        # bytearray, to which appending is cheap.
        self._data: bytes | bytearray = b""
        self._at = 0
        self._head: tuple[str, Headers, int | None] | None = None
        self._scan = 0  # where the search for the body's NUL goes on

    @property
    def version(self) -> Version | None:
        """Rules for the next head; None (before CONNECT) reads like 1.2."""
        return self._version

    @version.setter
    def version(self, version: Version | None) -> None:
        self._version = version
        self._old = version is Version.V10
        self._crlf = version is None or version is Version.V12
        self._escapes = _UNESCAPED_11 if version is Version.V11 else _UNESCAPED_12

    @property
    def buffered(self) -> int:
        """Bytes received and not yet given out as frames."""
        return len(self._data) - self._at

    def receive(self, data: bytes) -> None:
        """Take bytes; then call ``next_frame`` until it gives None."""
        if self._at == len(self._data):
            self._data, self._at, self._scan = data, 0, 0
            return
        if isinstance(self._data, bytes):
            self._data = bytearray(self._data)
        if self._at:
            del self._data[: self._at]
            self._scan, self._at = max(0, self._scan - self._at), 0
        self._data += data

    def feed(self, data: bytes) -> list[Frame]:
        """All frames that ``data`` completes: ``receive`` and ``next_frame`` in one.

        Raises:
            MalformedFrame, FrameTooLarge: theirs; also loses frames before it.
        """
        self.receive(data)
        frames = []
        while (frame := self.next_frame()) is not None:
            frames.append(frame)
        return frames

    def next_frame(self) -> Frame | None:
        """The next whole frame, or None when more bytes are needed.

        Raises:
            MalformedFrame, FrameTooLarge: theirs; the decoder is of no more use.
        """
        head = self._head or self._next_head()
        if head is None:
            return None
        command, headers, length = head
        end = self._end_of_body(command, length)
        if end < 0:
            self._head = head
            return None
        body = bytes(self._data[self._at : end])
        self._head = None
        self._at = end + 1
        if self._at == len(self._data):
            self._data, self._at = b"", 0
        return Frame(command, headers, body)

    def _next_head(self) -> tuple[str, Headers, int | None] | None:
        """Parse a head and move behind its blank line, if that is here."""
        start = self._skip_eols()
        data = self._data
        size = len(data)
        if start == size:
            self._data, self._at = b"", 0
            return None
        most = self._limits.head
        end = data.find(b"\n\n", start, start + most + 3)
        body = end + 2
        if self._crlf:
            other = data.find(b"\n\r\n", start, end + 1 if end >= 0 else size)
            if other >= 0:
                end, body = other, other + 3
        if end - start > most or (end < 0 and size - start > most + 3):
            raise FrameTooLarge(f"the headers of a frame may have {most} bytes")
        if end < 0:
            return None
        head = self._parse_head(data[start:end])
        if head[2] is not None and head[2] > self._limits.body:
            raise FrameTooLarge(
                f"content-length is {head[2]}; a body may have"
                f" {self._limits.body} bytes"
            )
        self._at = self._scan = body
        return head

    def _skip_eols(self) -> int:
        """Move to the next byte that is no EOL (heart-beats too) and return where."""
        data, at = self._data, self._at
        size = len(data)
        while at < size:
            if data[at] == LF:
                at += 1
            elif data[at] == CR and self._crlf:
                if at + 1 == size:
                    break
                if data[at + 1] != LF:
                    raise MalformedFrame("a CR between frames must be part of CRLF")
                at += 2
            else:
                break
        self._at = at
        return at

    def _parse_head(self, block: bytes | bytearray) -> tuple[str, Headers, int | None]:
        """Command, headers and content-length."""
        limits = self._limits
        try:
            text = block.decode()
        except UnicodeDecodeError:
            raise MalformedFrame("headers must be UTF-8") from None
        if "\0" in text:
            raise MalformedFrame("a NUL stands within the headers")
        if "\r" in text and self._crlf:
            text = text.removesuffix("\r").replace("\r\n", "\n")
            if "\r" in text:
                raise MalformedFrame("a CR stands within a header line")
        command, *lines = text.split("\n")
        if command not in self._commands:
            raise MalformedFrame(f"unknown command {command[:20]!r}")
        if len(lines) > limits.headers:
            raise FrameTooLarge(f"a frame may have {limits.headers} headers")
        if len(block) > limits.line and any(
            len(line) > limits.line for line in block.split(b"\n")
        ):
            raise FrameTooLarge(f"a header line may have {limits.line} bytes")
        headers = [_name_and_value(line) for line in lines]
        if self._old:
            headers = [(name.strip(), value.strip()) for name, value in headers]
        elif "\\" in text and command not in PLAIN_COMMANDS:
            headers = [
                (_unescape(name, self._escapes), _unescape(value, self._escapes))
                for name, value in headers
            ]
        length = None
        for name, value in headers:
            if name == "content-length":
                length = _content_length(value)
                break
        return command, tuple(headers), length

    def _end_of_body(self, command: str, length: int | None) -> int:
        """Index of the NUL that ends the frame; -1 if it is not here."""
        data, at = self._data, self._at
        if command not in BODY_COMMANDS and not self._old:
            if length or (at < len(data) and data[at] != NUL):
                raise MalformedFrame(f"{command} may not have a body")
            length = 0
        if length is not None:
            end = at + length
            if end >= len(data):
                return -1
            if data[end] != NUL:
                raise MalformedFrame(f"no NUL after a body of {length} bytes")
            return end
        end = data.find(b"\0", self._scan)
        if (end if end >= 0 else len(data)) - at > self._limits.body:
            raise FrameTooLarge(f"a body may have {self._limits.body} bytes")
        if end < 0:
            self._scan = len(data)
        return end


def _name_and_value(line: str) -> tuple[str, str]:
    name, colon, value = line.partition(":")
    if not colon or not name:
        raise MalformedFrame(f"header line without a name: {line[:40]!r}")
    return name, value


def _content_length(value: str) -> int:
    """Octets; ``int`` alone would also take signs, spaces and other digits."""
    if not (value.isascii() and value.isdigit() and len(value) <= 10):
        raise MalformedFrame(f"content-length {value[:20]!r} is no number of bytes")
    return int(value)


_ESCAPE = re.compile(r"\\(.?)", re.DOTALL)
_UNESCAPED_11 = {"n": "\n", "c": ":", "\\": "\\"}
_UNESCAPED_12 = {**_UNESCAPED_11, "r": "\r"}


def _unescape(text: str, table: dict[str, str]) -> str:
    """A header name or value as it was meant (STOMP 1.2, "Value Encoding").

    Raises:
        MalformedFrame: theirs; an escape that the version does not define.
    """

    def plain(match: re.Match[str]) -> str:
        if match[1] not in table:
            raise MalformedFrame(f"undefined escape {match[0]!r} in a header")
        return table[match[1]]

    return _ESCAPE.sub(plain, text)


# ---------------------------------------------------------------- encoding

_SPECIAL = re.compile(r"[\\\n\r:\0]")
_ESCAPED: dict[Version, dict[str, str]] = {
    # 1.0 has no escapes: what would end the line becomes a space.
    Version.V10: {"\n": " ", "\r": " ", ":": ":", "\\": "\\"},
    # 1.1 has no escape for CR, and does not treat CR as an end of line.
    Version.V11: {"\n": "\\n", "\r": "\r", ":": "\\c", "\\": "\\\\"},
    Version.V12: {"\n": "\\n", "\r": "\\r", ":": "\\c", "\\": "\\\\"},
}


def escape(text: str, version: Version) -> str:
    """A header name or value as it may stand on the wire.

    Raises:
        LocalProtocolError: ours; ``text`` has a NUL.
    """
    if _SPECIAL.search(text) is None:
        return text
    if "\0" in text:
        raise LocalProtocolError("a STOMP header cannot hold a NUL")
    table = _ESCAPED[version]
    return _SPECIAL.sub(lambda match: table[match[0]], text)


def encode_headers(headers: Iterable[tuple[str, str]], version: Version) -> bytes:
    """Header lines, each with its LF."""
    lines = [
        f"{escape(name, version)}:{escape(value, version)}\n" for name, value in headers
    ]
    return "".join(lines).encode()


def encode(frame: Frame, version: Version | None) -> bytes:
    """A frame as it travels; ``content-length`` is added where there is a body.

    Raises:
        LocalProtocolError: ours; a header has a NUL, or a body where none may be.
    """
    if frame.body and frame.command not in BODY_COMMANDS:
        raise LocalProtocolError(f"{frame.command} may not have a body")
    if version is None or frame.command in PLAIN_COMMANDS:
        version = Version.V10  # without escapes
    head = encode_headers(frame.headers, version)
    length = b""
    if frame.body and frame.get("content-length") is None:
        length = b"content-length:%d\n" % len(frame.body)
    return b"%b\n%b%b\n%b\0" % (frame.command.encode(), head, length, frame.body)
