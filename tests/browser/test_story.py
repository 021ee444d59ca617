"""Two people in two real Chromium windows, through the whole story of the product."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests import engines
from tests.program import ROOT, Program

pytestmark = [pytest.mark.browser, pytest.mark.e2e, pytest.mark.timeout(420)]


def test_two_people_talk_and_draw_through_a_restart_and_nothing_is_missing(tmp_path):
    engines.require("chromium")
    engines.require("node")
    engines.require("webapp")
    shots = Path(os.environ.get("SALON_SHOTS") or tmp_path / "shots")
    program = Program(tmp_path / "data").start()
    story = subprocess.Popen(
        [engines.node(), "tests/browser/story.mjs"],
        cwd=ROOT,
        env={
            **os.environ,
            "BASE_URL": program.url,
            "SETUP_LINK": program.said["setup"],
            "OUT_DIR": str(shots),
            "CHROMIUM": engines.chromium(),
        },
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    last = ""
    try:
        for line in story.stdout:
            last = line.strip() or last
            if last == "@@restart":
                program.kill()
                program.start()
                story.stdin.write("restarted\n")
                story.stdin.flush()
        status = story.wait(60)
    finally:
        story.kill()
        story.wait()
        story.stdin.close()
        story.stdout.close()
        program.end()
    report = json.loads(last)

    assert report["ok"], json.dumps(report, indent=1)
    assert report["errors"] == []
    assert report["axe"]["violations"] == []
    assert report["offOrigin"] == []
    assert status == 0
