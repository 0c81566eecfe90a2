"""cluster/aws/spot_notice.py: a spot machine's notice reaches Ray, and a checkpoint is written."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
SCRIPT = REPOSITORY / "cluster" / "aws" / "spot_notice.py"
# Notes each call, and refuses the first ones, as a Ray does that is still starting.
RAY = """#!/bin/sh
echo "$@" >> {calls}
test "$(wc -l < {calls})" -gt {refusals}
"""
NOTICE_SECONDS = 120


class Metadata:
    """AWS's metadata service (IMDSv2) on 127.0.0.1; `answers` are those to the question for a
    notice, of which the last one stays.
    """

    def __init__(self, answers: list[tuple[int, str]]) -> None:
        self._answers = answers
        self.refused = 0
        service = self

        class Handler(BaseHTTPRequestHandler):
            def do_PUT(self) -> None:
                asked = self.headers.get("X-aws-ec2-metadata-token-ttl-seconds", "")
                known = self.path == "/latest/api/token" and asked.isdecimal()
                self._say(*((200, "a token") if known else (400, "")))

            def do_GET(self) -> None:
                if self.headers.get("X-aws-ec2-metadata-token") != "a token":
                    service.refused += 1
                    self._say(401, "")
                elif self.path == "/latest/meta-data/spot/instance-action":
                    self._say(*service.answer())
                else:
                    self._say(404, "")

            def _say(self, code: int, text: str) -> None:
                if code == 0:
                    self.close_connection = True  # without a word
                    return
                self.send_response(code)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text.encode())

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def answer(self) -> tuple[int, str]:
        return self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]


@pytest.fixture
def metadata() -> Iterator[Callable[..., Metadata]]:
    started: list[Metadata] = []

    def start(*answers: tuple[int, str]) -> Metadata:
        started.append(Metadata(list(answers)))
        threading.Thread(target=started[-1].server.serve_forever, daemon=True).start()
        return started[-1]

    yield start
    for each in started:
        each.server.shutdown()
        each.server.server_close()


def notice(seconds: float = NOTICE_SECONDS) -> tuple[int, str]:
    """An answer that says when the machine is taken back."""
    end = datetime.now(UTC) + timedelta(seconds=seconds)
    return 200, json.dumps({"action": "terminate", "time": end.strftime("%Y-%m-%dT%H:%M:%SZ")})


def watcher(service: Metadata, folder: Path, *, refusals: int = 0) -> subprocess.Popen[str]:
    """The script, with a stand-in for `ray`, which is started no other way."""
    ray = folder / "bin" / "ray"
    ray.parent.mkdir()
    ray.write_text(RAY.format(calls=folder / "calls", refusals=refusals))
    ray.chmod(0o755)
    environment = os.environ | {
        "PATH": f"{ray.parent}:{os.environ['PATH']}",
        "AWS_EC2_METADATA_SERVICE_ENDPOINT": f"{service.url}/",
        "http_proxy": "http://127.0.0.1:9",  # which is not asked
    }
    return subprocess.Popen(
        [sys.executable, str(SCRIPT), "--every", "0.05"],
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
    )


def drains(folder: Path) -> list[list[str]]:
    return [line.split() for line in (folder / "calls").read_text().splitlines()]


def test_a_notice_drains_the_node_once_whatever_the_service_said_before(
    metadata: Callable[..., Metadata], tmp_path: Path
) -> None:
    hiccups = [(404, ""), (503, "busy"), (0, ""), (200, "no JSON"), (404, "")]
    service = metadata(*hiccups, notice())
    with watcher(service, tmp_path) as process:
        _, said = process.communicate(timeout=30)
    assert process.returncode == 0, said
    assert service.refused == 0
    (drain,) = drains(tmp_path)
    assert drain[:3] == ["drain-node", "--reason", "DRAIN_NODE_REASON_PREEMPTION"]
    # Before AWS's own time: to Ray, a node that ends earlier than it said has failed.
    seconds = int(drain[drain.index("--deadline-remaining-seconds") + 1])
    assert NOTICE_SECONDS - 40 < seconds < NOTICE_SECONDS


def test_nothing_is_drained_while_there_is_no_notice(
    metadata: Callable[..., Metadata], tmp_path: Path
) -> None:
    with watcher(metadata((404, "")), tmp_path) as process:
        time.sleep(1)
        assert process.poll() is None
        process.kill()
    assert not (tmp_path / "calls").exists()


def test_a_ray_that_does_not_answer_is_asked_again(
    metadata: Callable[..., Metadata], tmp_path: Path
) -> None:
    with watcher(metadata(notice()), tmp_path, refusals=2) as process:
        _, said = process.communicate(timeout=30)
    assert (process.returncode, len(drains(tmp_path))) == (0, 3), said


def test_it_ends_when_the_time_is_over(metadata: Callable[..., Metadata], tmp_path: Path) -> None:
    with watcher(metadata(notice(seconds=1)), tmp_path, refusals=1000) as process:
        _, said = process.communicate(timeout=30)
    assert process.returncode == 1
    assert "Ray did not drain this node in time" in said
    assert drains(tmp_path)[0][-1] == "0"


def test_ray_has_the_command_and_its_options(
    metadata: Callable[..., Metadata], tmp_path: Path
) -> None:
    """Ray hides it, and promises nothing."""
    from ray.scripts.scripts import drain_node  # noqa: PLC0415  (seconds)

    with watcher(metadata(notice()), tmp_path) as process:
        process.communicate(timeout=30)
    (drain,) = drains(tmp_path)
    options = {option: each for each in drain_node.params for option in each.opts}
    assert drain[0] == drain_node.name
    assert {word for word in drain if word.startswith("--")} <= options.keys()
    assert drain[2] in options["--reason"].type.choices
    required = {option for option, each in options.items() if each.required}
    assert required <= set(drain)
