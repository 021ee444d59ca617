"""How many STOMP frames a second the decoder parses on one core.

    python benchmarks/stomp_codec.py [seconds]

One SEND of a 100-byte body with the headers that the web page sends, 50 to a message
(what a busy socket reads at once), one to a message, and cut into 7-byte pieces.
Bar: 300,000 frames/s for the first; a competent library does 153,000 (stomp.py 9.0,
whole frames only). Encoding of a MESSAGE beside it.
"""

import sys
import time

from salon.stomp.codec import Decoder, encode
from salon.stomp.frames import Frame, Version

SEND = encode(
    Frame(
        "SEND",
        (("destination", "/app/chat.send"), ("receipt", "17")),
        b"x" * 100,
    ),
    Version.V12,
)
MESSAGE = Frame(
    "MESSAGE",
    (
        ("destination", "/user/queue/events"),
        ("subscription", "sub-0"),
        ("message-id", "a1-123456"),
    ),
    b"x" * 100,
)


def decode_rate(chunks: list[bytes], seconds: float) -> float:
    decoder = Decoder()
    decoder.version = Version.V12
    frames = 0
    begin = time.process_time()
    while time.process_time() - begin < seconds:
        for chunk in chunks:
            frames += len(decoder.feed(chunk))
    return frames / (time.process_time() - begin)


def encode_rate(seconds: float) -> float:
    frames = 0
    begin = time.process_time()
    while time.process_time() - begin < seconds:
        for _ in range(100):
            encode(MESSAGE, Version.V12)
        frames += 100
    return frames / (time.process_time() - begin)


def main() -> None:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 1.0
    many = SEND * 50
    pieces = [many[i : i + 7] for i in range(0, len(many), 7)]
    print(f"frame: {len(SEND)} bytes, body 100 bytes; CPU time of one core")
    print(f"decode, 50 a message   {decode_rate([many], seconds):>10,.0f} frames/s")
    print(
        f"decode, 1 a message    {decode_rate([SEND] * 50, seconds):>10,.0f} frames/s"
    )
    print(f"decode, 7-byte pieces  {decode_rate(pieces, seconds):>10,.0f} frames/s")
    print(f"encode MESSAGE         {encode_rate(seconds):>10,.0f} frames/s")


if __name__ == "__main__":
    main()
