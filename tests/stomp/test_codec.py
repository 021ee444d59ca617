"""Points C1 to C9, C28 and C29 of the STOMP checklist, each at every cut."""

import pytest

from salon.stomp.codec import Decoder, Limits, encode, encode_headers, escape
from salon.stomp.errors import FrameTooLarge, LocalProtocolError, MalformedFrame
from salon.stomp.frames import SERVER_COMMANDS, Frame, Version

V10, V11, V12 = Version.V10, Version.V11, Version.V12
ALL = (V10, V11, V12)


def decoder(version=V12, limits=None):
    made = Decoder(limits)
    made.version = version
    return made


def frames(data, version=V12, limits=None):
    """The frames in ``data``, the same for whole input and for every single cut."""
    whole = decoder(version, limits).feed(data)
    for cut in range(1, len(data)):
        one = decoder(version, limits)
        assert one.feed(data[:cut]) + one.feed(data[cut:]) == whole, cut
    slow = decoder(version, limits)
    assert [f for i in range(len(data)) for f in slow.feed(data[i : i + 1])] == whole
    return whole


def refused(data, version=V12, limits=None, error=MalformedFrame):
    """The words of the error, which is the same for every single cut."""
    with pytest.raises(error) as whole:
        decoder(version, limits).feed(data)
    for cut in range(1, len(data)):
        one = decoder(version, limits)
        with pytest.raises(error) as cut_error:
            [one.feed(part) for part in (data[:cut], data[cut:])]
        assert str(cut_error.value) == str(whole.value), cut
    return str(whole.value)


class TestLinesAndEols:
    def test_a_frame_is_command_headers_and_body(self):
        data = b"SEND\ndestination:/app/a\nreceipt:7\n\nhello\0"

        assert frames(data) == [
            Frame("SEND", (("destination", "/app/a"), ("receipt", "7")), b"hello")
        ]

    @pytest.mark.parametrize("version", [None, V12])
    def test_crlf_ends_lines_in_1_2_and_before_a_version_is_known(self, version):
        data = b"SEND\r\ndestination:/a\r\n\r\nx\r\n\r\n\0\r\n\r\nDISCONNECT\n\r\n\0"

        assert frames(data, version) == [
            Frame("SEND", (("destination", "/a"),), b"x\r\n\r\n"),
            Frame("DISCONNECT"),
        ]

    @pytest.mark.parametrize("version", [V10, V11])
    def test_crlf_does_not_end_lines_before_1_2(self, version):
        refused(b"SEND\r\ndestination:/a\r\n\r\n\0\n\n", version)

    def test_in_1_1_a_cr_belongs_to_the_value(self):
        assert frames(b"SEND\na:b\r\n\n\0", V11)[0].get("a") == "b\r"

    @pytest.mark.parametrize("version", ALL)
    def test_any_number_of_eols_may_stand_between_frames(self, version):
        data = b"\n\nDISCONNECT\n\n\0\n\n\n\nDISCONNECT\n\n\0\n"

        assert frames(data, version) == [Frame("DISCONNECT")] * 2

    def test_a_cr_alone_between_frames_is_refused(self):
        assert "CRLF" in refused(b"\n\rDISCONNECT\n\n\0")

    def test_a_cr_within_a_header_line_is_refused_in_1_2(self):
        assert "CR" in refused(b"SEND\na:b\rc\n\n\0")

    def test_the_blank_line_of_a_body_ends_no_head(self):
        assert frames(b"SEND\r\na:b\r\n\r\nx\n\ny\0")[0].body == b"x\n\ny"

    def test_frames_may_share_a_message(self):
        data = b"SEND\na:1\n\nx\0SEND\na:2\n\ny\0DISCONNECT\n\n\0"

        assert [f.command for f in frames(data)] == ["SEND", "SEND", "DISCONNECT"]


class TestHeaders:
    def test_escapes_of_1_2_are_undone(self):
        data = rb"SEND" + b"\n" + rb"a\c:x\ny\rz\\" + b"\n\n\0"

        assert frames(data, V12)[0].headers == (("a:", "x\ny\rz\\"),)

    def test_escapes_of_1_1_have_no_r(self):
        assert frames(b"SEND\na:x\\ny\\c\\\\\n\n\0", V11)[0].get("a") == "x\ny:\\"
        assert "escape" in refused(b"SEND\na:x\\r\n\n\0", V11)

    @pytest.mark.parametrize("value", [rb"\t", rb"\x", "\\é".encode(), b"a\\"])
    @pytest.mark.parametrize("version", [V11, V12])
    def test_an_undefined_escape_is_fatal(self, version, value):
        refused(b"SEND\na:" + value + b"\n\n\0", version)

    def test_1_0_has_no_escapes(self):
        assert frames(rb"SEND" + b"\n" + rb"a:x\ny\c" + b"\n\n\0", V10)[0].get("a") == (
            r"x\ny\c"
        )

    @pytest.mark.parametrize("version", [None, *ALL])
    def test_connect_is_never_unescaped(self, version):
        data = b"CONNECT\npasscode:a\\c:b\\t\n\n\0"

        assert frames(data, version)[0].get("passcode") == "a\\c:b\\t"

    def test_stomp_the_later_name_of_connect_is_unescaped(self):
        assert frames(b"STOMP\nlogin:a\\cb\n\n\0", None)[0].get("login") == "a:b"

    @pytest.mark.parametrize("version", [V11, V12])
    def test_spaces_are_part_of_names_and_values(self, version):
        assert frames(b"SEND\n a : b \nc:\n\n\0", version)[0].headers == (
            (" a ", " b "),
            ("c", ""),
        )

    def test_1_0_trims_names_and_values(self):
        assert frames(b"SEND\ndestination: /a \n\n\0", V10)[0].headers == (
            ("destination", "/a"),
        )

    @pytest.mark.parametrize("version", ALL)
    def test_a_raw_colon_belongs_to_the_value(self, version):
        assert frames(b"SEND\na:b:c\n\n\0", version)[0].get("a") == "b:c"

    def test_of_a_repeated_header_the_first_counts_and_all_are_kept(self):
        frame = frames(b"SEND\na:1\na:2\nb:3\n\n\0")[0]

        assert frame.get("a") == "1"
        assert frame.headers == (("a", "1"), ("a", "2"), ("b", "3"))

    def test_a_header_that_is_missing_has_the_default(self):
        assert Frame("SEND").get("a") is None
        assert Frame("SEND").get("a", "b") == "b"

    @pytest.mark.parametrize("line", [b"nothing", b":value"])
    def test_a_header_line_needs_a_name_and_a_colon(self, line):
        refused(b"SEND\n" + line + b"\n\n\0")

    def test_headers_are_utf_8(self):
        assert frames("SEND\nä:комната 房间\n\n\0".encode())[0].headers == (
            ("ä", "комната 房间"),
        )

    @pytest.mark.parametrize("bad", [b"\xff", b"\xc3", b"\xed\xa0\x80"])
    @pytest.mark.parametrize("version", ALL)
    def test_invalid_utf_8_is_an_error(self, version, bad):
        assert "UTF-8" in refused(b"SEND\na:" + bad + b"\n\n\0", version)

    def test_a_nul_in_the_headers_is_an_error(self):
        """A frame without a blank line must not swallow the next one's headers."""
        assert "NUL" in refused(b"SUBSCRIBE\nid:1\0SEND\na:b\n\n\0")

    @pytest.mark.parametrize(
        "command", ["send", "Send", " SEND", "SEND ", "GET / HTTP/1.1", "MESSAGE", "Ф"]
    )
    def test_commands_are_known_by_their_exact_spelling(self, command):
        assert "unknown command" in refused(f"{command}\na:b\n\n\0".encode())

    def test_names_are_case_sensitive(self):
        assert frames(b"SEND\nDestination:/a\n\n\0")[0].get("destination") is None


class TestBody:
    def test_content_length_octets_are_read_whatever_they_are(self):
        data = b"SEND\na:b\ncontent-length:7\n\n\0a\n\n\0\0b\0DISCONNECT\n\n\0"

        assert [f.body for f in frames(data)] == [b"\0a\n\n\0\0b", b""]

    def test_content_length_counts_octets_not_characters(self):
        body = "ü房".encode()
        data = b"SEND\ncontent-length:5\n\n" + body + b"\0"

        assert frames(data)[0].body == body

    @pytest.mark.parametrize("length", [2, 4])
    def test_after_content_length_a_nul_must_stand(self, length):
        refused(b"SEND\ncontent-length:%d\n\nabc\0SEND\n\n\0xyz" % length)

    @pytest.mark.parametrize(
        "length", ["", "-1", "+1", "1.0", " 1", "x", "٣", "1" * 11]
    )
    def test_content_length_must_be_a_number(self, length):
        assert "content-length" in refused(
            f"SEND\ncontent-length:{length}\n\na\0".encode()
        )

    def test_of_two_content_lengths_the_first_counts(self):
        data = b"SEND\ncontent-length:3\ncontent-length:1\n\na\0b\0"

        assert frames(data)[0].body == b"a\0b"

    def test_without_content_length_the_body_ends_at_the_first_nul(self):
        assert [f.body for f in frames(b"SEND\na:b\n\nx\0\n")] == [b"x"]

    def test_a_body_may_be_any_bytes(self):
        body = bytes(range(1, 256))

        assert frames(b"SEND\na:b\n\n" + body + b"\0")[0].body == body

    @pytest.mark.parametrize("version", [None, V11, V12])
    @pytest.mark.parametrize(
        "command", ["CONNECT", "STOMP", "SUBSCRIBE", "UNSUBSCRIBE", "DISCONNECT"]
    )
    def test_only_send_may_have_a_body(self, command, version):
        head = f"{command}\na:b\n".encode()

        assert "body" in refused(head + b"\nx\0", version)
        assert "body" in refused(head + b"content-length:1\n\nx\0", version)
        assert frames(head + b"content-length:0\n\n\0", version)[0].command == command

    def test_1_0_takes_no_offence_at_a_body(self):
        assert frames(b"DISCONNECT\na:b\n\nx\0", V10)[0].body == b"x"


SMALL = Limits(body=20, head=60, line=30, headers=3)


class TestLimits:
    def test_a_body_at_its_limit_passes(self):
        body = b"x" * 20

        assert frames(b"SEND\n\n" + body + b"\0", limits=SMALL)[0].body == body
        assert (
            frames(b"SEND\ncontent-length:20\n\n" + body + b"\0", limits=SMALL)[0].body
            == body
        )

    def test_a_body_over_its_limit_is_refused(self):
        text = refused(
            b"SEND\n\n" + b"x" * 21 + b"\0", limits=SMALL, error=FrameTooLarge
        )

        assert "20 bytes" in text

    def test_a_content_length_over_the_limit_is_refused_before_the_body_comes(self):
        with pytest.raises(FrameTooLarge, match="content-length is 21"):
            decoder(V12, SMALL).feed(b"SEND\ncontent-length:21\n\n")

    def test_a_body_that_never_ends_is_refused_while_it_comes(self):
        one = decoder(V12, SMALL)
        one.feed(b"SEND\n\n")

        with pytest.raises(FrameTooLarge):
            [one.feed(b"x") for _ in range(30)]

    def test_headers_that_never_end_are_refused_while_they_come(self):
        one = decoder(V12, SMALL)

        with pytest.raises(FrameTooLarge, match="60 bytes"):
            [one.feed(b"x") for _ in range(70)]
        assert one.buffered < 70

    def test_all_headers_together_have_a_limit(self):
        line = b"a:" + b"x" * 24 + b"\n"
        exactly = b"SEND\n" + line + line + b"\n\0"
        assert len(exactly) - 3 == 58

        assert len(frames(exactly, limits=SMALL)) == 1
        refused(
            b"SEND\n" + line + line + b"bb:x\n\n\0", limits=SMALL, error=FrameTooLarge
        )

    def test_a_header_line_has_a_limit_in_bytes(self):
        assert len(frames(b"SEND\na:" + b"x" * 28 + b"\n\n\0", limits=SMALL)) == 1
        text = refused(
            "SEND\na:{}\n\n\0".format("é" * 15).encode(),
            limits=SMALL,
            error=FrameTooLarge,
        )

        assert "line" in text

    def test_the_number_of_headers_has_a_limit(self):
        assert len(frames(b"SEND\n" + b"a:b\n" * 3 + b"\n\0", limits=SMALL)) == 1
        text = refused(
            b"SEND\n" + b"a:b\n" * 4 + b"\n\0", limits=SMALL, error=FrameTooLarge
        )

        assert "3 headers" in text

    def test_the_limits_of_every_day_are_those_of_the_manual(self):
        assert Limits() == Limits(body=65536, head=10240, line=8192, headers=128)

    def test_what_was_given_out_is_not_kept(self):
        one = decoder()
        for _ in range(1000):
            one.feed(b"SEND\na:b\n\n" + b"x" * 1000 + b"\0SEND\n")
            one.feed(b"a:b\n\n\0")

        assert one.buffered == 0
        assert len(one._data) == 0


class TestEncoding:
    @pytest.mark.parametrize("version", [V11, V12])
    def test_user_text_never_forges_a_frame(self, version):
        evil = "x\n\n\nMESSAGE\ndestination:/evil\\"
        data = encode(Frame("MESSAGE", ((evil, evil),), b"b"), version)

        made = Decoder(commands=SERVER_COMMANDS)
        made.version = version
        assert made.feed(data) == [
            Frame("MESSAGE", ((evil, evil), ("content-length", "1")), b"b")
        ]

    def test_for_1_0_what_ends_a_line_becomes_a_space(self):
        assert encode_headers([("a", "b\r\nc")], V10) == b"a:b  c\n"

    def test_connected_is_not_escaped(self):
        data = encode(Frame("CONNECTED", (("server", "a:b\\\n"),)), V12)

        assert data == b"CONNECTED\nserver:a:b\\ \n\n\0"

    def test_a_body_gets_its_length(self):
        assert b"content-length:5\n" in encode(
            Frame("MESSAGE", (), "ü\0房".encode()[:5]), V12
        )

    def test_a_length_that_is_there_is_kept(self):
        data = encode(Frame("SEND", (("content-length", "1"),), b"a"), V12)

        assert data.count(b"content-length") == 1

    def test_a_nul_in_a_header_is_our_fault(self):
        with pytest.raises(LocalProtocolError, match="NUL"):
            escape("a\0", V12)

    def test_a_body_where_none_may_be_is_our_fault(self):
        with pytest.raises(LocalProtocolError, match="RECEIPT"):
            encode(Frame("RECEIPT", (), b"x"), V12)
