"""The page in a private bucket of a real S3 server, by a link that shows it for an hour."""

from pathlib import Path
from typing import Any

import pytest
from page_waits import wait_for

from rnnray.artifacts import open_store

KINDS = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".wav": "audio/wav"}


def test_a_piece_plays_and_the_playhead_can_be_moved(
    page: Any, new_run: Any, object_store: Any, monkeypatch: pytest.MonkeyPatch
):
    for name, value in object_store.items():
        monkeypatch.setenv(name, value)
    store = open_store(object_store.uri("page"))
    new_run.write(new_run.pieces(0.8, 3, ["wav"]), link=lambda key: store.presign(key, 1))
    for path in filter(Path.is_file, new_run.folder.rglob("*")):
        key = str(path.relative_to(new_run.folder))
        store.put(key, path, content_type=KINDS[path.suffix])
    refused: list[str] = []
    page.on("response", lambda response: response.ok or refused.append(response.url))
    page.goto(store.presign("index.html", 1))
    page.get_by_role("button", name="Play 000002").click()
    wait_for(page, "document.querySelector('audio').currentTime > 0.1")
    page.keyboard.press("Space")
    box = page.locator("#dock .seek").bounding_box()
    page.locator("#dock .seek").click(position={"x": box["width"] * 0.75, "y": 20})
    wait_for(page, "Math.abs(document.querySelector('audio').currentTime - 1.5) < 0.05")
    assert refused == []
