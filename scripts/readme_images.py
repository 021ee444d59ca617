"""Take the pictures of the README anew: ``python scripts/readme_images.py``.

Four people in the real program, the real model, Chromium. Look at what came out before
you commit it; nothing but the clock differs from run to run.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from tests import engines  # noqa: E402 - the line before makes it importable
from tests.program import Person, Program, another_person, first_person  # noqa: E402

IMAGES = ROOT / "docs" / "images"


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        program = Program(Path(folder) / "data").start()
        try:
            ann = talk(program)
            take(program.url, ann)
        finally:
            program.end()


def talk(program: Program) -> Person:
    """Fill a house with four people; the one who looks at it is returned."""
    ann = first_person(program, "ann", "Ann Lee")
    bob = another_person(program, ann, "bob", "Bob Stone")
    mei = another_person(program, ann, "mei", "李梅")
    dima = another_person(program, ann, "dima", "Дима")
    with_bob = ann.direct(bob)
    bob.say(with_bob, "See you at seven?")
    ann.say(with_bob, "Yes, the usual place")
    club = ann.group("Art club", bob, mei, dima)
    bob.say(club, "We still need stickers for **Friday**")
    mei.say(club, "狐狸怎么样?")
    imagine(ann, club, "a red fox", 7)
    dima.say(club, "Отлично! И корону лягушке 👑")
    imagine(mei, club, "frog wearing a crown", 5)
    bob.say(club, "Those two are in. Who prints them?")
    mei.say(ann.direct(mei), "周五见!")
    return ann


def imagine(person: Person, conversation: str, prompt: str, seed: int) -> None:
    body = {"conversation": conversation, "prompt": prompt, "seed": seed}
    key = {"Idempotency-Key": prompt}
    answer = person.http.post("/api/v1/pictures", json=body, headers=key)
    job = answer.raise_for_status().json()["job"]
    for _ in range(300):
        events = person.events(conversation)
        if any(e["body"].get("job") == job and "file" in e["body"] for e in events):
            return
        time.sleep(0.1)
    raise SystemExit(f"“{prompt}” was not drawn within 30 s")


def take(url: str, person: Person) -> None:
    cookie = {"name": "salon_session", "value": person.token, "url": url}
    script = ROOT / "scripts" / "readme_images.mjs"
    command = [engines.node(), script, url, json.dumps(cookie), IMAGES]
    subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
