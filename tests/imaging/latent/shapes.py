"""Pictures for trainings of seconds: discs in eight colours, with their captions."""

import json
from pathlib import Path

from PIL import Image, ImageDraw

SIDE = 16
NAMES = ("black", "red", "green", "yellow", "blue", "pink", "cyan", "grey")


def discs(place: Path, count: int = 8) -> Path:
    """``count`` pictures and a metadata.jsonl beside them."""
    place.mkdir(parents=True, exist_ok=True)
    lines = []
    for i in range(count):
        image = Image.new("RGB", (SIDE, SIDE), "white")
        colour = (255 * (i & 1), 127 * (i & 2), 63 * (i & 4))
        left = 1 + i // 8 % 4
        ImageDraw.Draw(image).ellipse((left, 3, left + 9, 12), fill=colour)
        image.save(place / f"{i:03}.png")
        text = f"a {NAMES[i % 8]} disc"
        line = {"file_name": f"{i:03}.png", "text": text}
        lines.append(line | {"captions": {"en": [text], "ru": [f"диск {i % 8}"]}})
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (place / "metadata.jsonl").write_text(text, "utf-8")
    return place
