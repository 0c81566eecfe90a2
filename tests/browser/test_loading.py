"""What the page loads, from where, and what it says when something is missing."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from page_waits import wait_for

ROWS = "#pieces tbody tr"
# Work that grows with the pieces of a run is seen here, on however slow a machine.
COUNT_ELEMENTS = """
  window.made = 0;
  const create = Document.prototype.createElement;
  Document.prototype.createElement = function (...of) {
    window.made++;
    return create.apply(this, of);
  };
"""
# As careful hosts send with every page.
STRICT = (
    "default-src 'none'; script-src 'self'; style-src 'self'; media-src 'self'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def opened(page: Any, address: str) -> Any:
    page.goto(address)
    page.wait_for_selector(ROWS)
    return page


def test_ten_thousand_pieces_open_at_once_and_load_what_they_show(page: Any, new_run: Any):
    pieces = [piece for t in (0.8, 1.0, 1.2, 1.5) for piece in new_run.pieces(t, 2500)]
    new_run.write(pieces, sound=False)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.add_init_script(COUNT_ELEMENTS)
    opened(page, new_run.index)
    few = page.evaluate("made")
    assert 0 < few < 1500
    data = [url.partition("/page/")[2] for url in asked if "temperature" in url]
    assert data == ["temperature=0.8/figures.js", "temperature=0.8/0000.js"]
    page.get_by_role("radio", name="All").check()
    wait_for(page, "document.getElementById('count').textContent === '10,000 pieces'")
    page.get_by_role("button", name="Nats").click()
    page.wait_for_selector("[data-sort=nats_per_note][aria-sort=ascending]")
    last = f"document.querySelector('{ROWS}:nth-child(20) td > span').textContent"
    wait_for(page, f"{last} === '0.00'")
    assert page.locator(ROWS).count() == 20
    assert page.evaluate("made") < 4 * few, "more was made than is shown"
    assert len(asked) < 60


def test_titles_and_names_are_text(page: Any, new_run: Any):
    evil = "</script><b>bold</b><img src=x onerror=alert(1)>&amp;"
    (piece,) = new_run.pieces(1.0, 1)
    object.__setattr__(piece, "name", evil)
    new_run.write([piece], title=evil)
    opened(page, new_run.index)
    page.locator(f"{ROWS} button").click()
    assert page.title() == evil
    assert [page.inner_text(selector) for selector in ("h1", "#playing")] == [evil, evil]
    assert page.locator(f"{ROWS} .name").all_inner_texts() == [evil]
    assert page.locator("b, img").count() == 0


@contextmanager
def bucket(folder: Path, signature: str) -> Iterator[str]:
    """A server that has nothing for those without the signature."""

    class Handler(SimpleHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path.partition("?")[2] == signature:
                super().do_GET()
            else:
                self.send_error(403)

        def end_headers(self) -> None:
            self.send_header("Content-Security-Policy", STRICT)
            self.send_header("X-Content-Type-Options", "nosniff")
            super().end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_presigned_addresses_are_used_as_they_are_under_a_strict_policy(page: Any, new_run: Any):
    signature = "X-Amz-Expires=60&X-Amz-Credential=a%2Fb&X-Amz-Signature=%22%3C"
    refused: list[str] = []
    page.on("response", lambda response: response.ok or refused.append(response.url))
    with bucket(new_run.folder, signature) as server:

        def link(key: str) -> str:
            return f"{server}/{key}?{signature}"

        new_run.write([*new_run.pieces(1.0, 3), *new_run.pieces(None, 3)], link=link)
        opened(page, link("index.html"))
        page.get_by_role("button", name="Play 000001").click()
        wait_for(page, "document.querySelector('audio').currentTime > 0.1")
        href = page.get_by_role("link", name="MIDI of 000001").get_attribute("href")
        assert href == link("temperature=1/000001.mid")
        page.goto(link("index.html") + "#quiz=1")
        page.get_by_role("button", name="Begin").click()
        page.wait_for_selector("#say-bach:enabled")
    assert refused == []


def test_lost_data_is_said_and_the_figures_stay(page: Any, new_run: Any):
    new_run.write(new_run.pieces(1.0, 3))
    (new_run.folder / "page/temperature=1/0000.js").unlink()
    opened(page, new_run.index)
    assert "did not load" in page.inner_text("[role=alert]")
    assert page.locator(f"{ROWS} td:nth-of-type(1) > span").all_inner_texts() == [
        "0.00",
        "0.07",
        "0.14",
    ]


def test_a_lost_recording_is_said(page: Any, new_run: Any):
    new_run.write(new_run.pieces(1.0, 3), sound=False)
    opened(page, new_run.index)
    page.locator(f"{ROWS} button").first.click()
    page.wait_for_selector("[role=alert]:visible")
    assert "recording did not load" in page.inner_text("[role=alert]")
