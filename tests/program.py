"""Starts the real program for tests, and ends what it started."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx

ROOT = Path(__file__).parent.parent


class Program:
    """One ``salon run`` on a free port, over a folder that outlives it."""

    def __init__(self, data, *, port=0, env=None, args=()):
        self.data = Path(data)
        self.port = port
        self.env = env or {}
        self.args = args
        self.process = None
        self.said = {}
        self.log = self.data.parent / f"{self.data.name}.log"

    def start(self, timeout=60):
        environment = {
            k: v for k, v in os.environ.items() if not k.startswith("SALON_")
        }
        environment |= {"SALON_MESSAGE_RATE": "100000", "SALON_MESSAGE_BURST": "100000"}
        environment |= self.env
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "salon",
                    "run",
                    "--json",
                    "--port",
                    str(self.port),
                    "--data",
                    str(self.data),
                    *self.args,
                ],
                stdout=subprocess.PIPE,
                stderr=log,
                env=environment,
                cwd=ROOT,
            )
        line = self.process.stdout.readline()
        if not line:
            self.process.wait(timeout)
            raise AssertionError(
                f"salon ended with {self.process.returncode}:\n"
                + self.log.read_text(errors="replace")[-4000:]
            )
        self.said = json.loads(line)
        self.port = int(self.url.rsplit(":", 1)[1])
        return self

    @property
    def url(self):
        return self.said["url"]

    def stop(self, timeout=15):
        """SIGTERM; the exit status."""
        self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(timeout)
        self.process.stdout.close()
        return status

    def kill(self):
        """``kill -9``; its children die with it."""
        self.process.kill()
        self.process.wait(10)
        self.process.stdout.close()
        for pid in self.said.get("children", {}).values():
            self._gone(pid)

    def _gone(self, pid, timeout=10):
        deadline = time.monotonic() + timeout
        while pid and time.monotonic() < deadline:
            try:
                state = (
                    Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
                )
            except (FileNotFoundError, ProcessLookupError):
                return
            if state == "Z":
                return
            time.sleep(0.02)

    def end(self):
        if self.process is not None and self.process.poll() is None:
            with contextlib.suppress(Exception):
                self.kill()

    def __enter__(self):
        return self.start()

    def __exit__(self, *_exc):
        self.end()


class Person:
    """Somebody with an account, over HTTP."""

    def __init__(self, url, client, me):
        self.url = url
        self.http = client
        self.id = me["user"]["id"]
        self.name = me["user"]["name"]

    @property
    def token(self):
        return self.http.cookies["salon_session"]

    def invite(self):
        return self.http.post("/api/v1/invites", json={}).raise_for_status().json()

    def direct(self, other):
        answer = self.http.post(
            "/api/v1/conversations", json={"kind": "single", "user": other.id}
        )
        return answer.raise_for_status().json()["id"]

    def group(self, name, *others):
        answer = self.http.post(
            "/api/v1/conversations",
            json={"kind": "group", "name": name, "members": [o.id for o in others]},
        )
        return answer.raise_for_status().json()["id"]

    def say(self, conversation, text, key=None):
        answer = self.http.post(
            f"/api/v1/conversations/{conversation}/messages",
            json={"text": text},
            headers={"Idempotency-Key": key} if key else {},
        )
        assert answer.is_success, answer.text
        return answer.json()

    def events(self, conversation, **query):
        answer = self.http.get(
            f"/api/v1/conversations/{conversation}/events",
            params={"limit": 200, **query},
        )
        return answer.raise_for_status().json()["events"]

    def close(self):
        self.http.close()


def _client(url):
    return httpx.Client(base_url=url, headers={"Origin": url}, timeout=30)


def first_person(program, handle="ann", name="Ann"):
    """The first account, by the setup link."""
    token = program.said["setup"].partition("#token=")[2]
    client = _client(program.url)
    answer = client.post(
        "/api/v1/setup",
        json={
            "token": token,
            "handle": handle,
            "name": name,
            "password": f"{handle} has a long password",
        },
    )
    return Person(program.url, client, answer.raise_for_status().json())


def another_person(program, inviter, handle="bob", name="Bob"):
    """An account by invitation."""
    client = _client(program.url)
    answer = client.post(
        "/api/v1/join",
        json={
            "token": inviter.invite()["token"],
            "handle": handle,
            "name": name,
            "password": f"{handle} has a long password",
        },
    )
    return Person(program.url, client, answer.raise_for_status().json())
