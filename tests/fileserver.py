"""A server of one file on this computer, with the faults of servers and networks."""

import io
import re
import tarfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

CONTENT = bytes(range(256)) * 4096  # 1 MiB, no two neighbouring bytes alike
HALF = len(CONTENT) // 2


class Server(ThreadingHTTPServer):
    """One file at any path; what goes wrong is set by the test."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}/file.tar.gz"
        self.content = CONTENT
        self.headers: dict[str, str] = {"ETag": '"one"'}
        self.status: list[int] = []  # these answers first
        self.drops: list[int] = []  # numbers of bytes after which these answers are cut
        self.extra_length = 0  # lie by so much about the length
        self.chunked = False
        self.ranges = True
        self.checks_if_range = True
        self.align = 1  # ranges begin at multiples of this, whatever was asked for
        self.pause = 0.0  # between blocks of 64 KiB
        self.requests: list[dict[str, str]] = []


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        server = self.server
        server.requests.append(dict(self.headers))
        if server.status:
            self.send_error(server.status.pop(0))
            return
        content, headers = server.content, dict(server.headers)
        match = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        current = self.headers.get("If-Range") in (
            headers.get("ETag"),
            headers.get("Last-Modified"),
        )
        start, status = 0, 200
        if match and server.ranges and (current or not server.checks_if_range):
            start, status = int(match[1]) // server.align * server.align, 206
            content_range = f"bytes {start}-{len(content) - 1}/{len(content)}"
            if start >= len(content):
                status, content_range = 416, f"bytes */{len(content)}"
            headers["Content-Range"] = content_range
        body = content[start:] if status != 416 else b""
        if server.chunked:
            self.protocol_version = "HTTP/1.1"
            headers["Transfer-Encoding"] = "chunked"
        else:
            headers["Content-Length"] = str(len(body) + server.extra_length)
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        stop = server.drops.pop(0) if server.drops else len(body)
        try:
            for i in range(0, stop, 1 << 16):
                block = body[i : min(i + (1 << 16), stop)]
                self.wfile.write(b"%x\r\n%s\r\n" % (len(block), block) if server.chunked else block)
                time.sleep(server.pause)
            if server.chunked and stop == len(body):
                self.wfile.write(b"0\r\n\r\n")
        except OSError:  # the client went away
            pass
        self.close_connection = True

    def log_message(self, *_: object) -> None: ...


@contextmanager
def serving() -> Iterator[Server]:
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def only_file(target: Path) -> bool:
    """Whether nothing but the file itself and its lock was left."""
    return {path.name for path in target.parent.iterdir()} == {target.name, target.name + ".lock"}


def archive(files: Mapping[str, bytes]) -> bytes:
    """An archive (tar.gz) of files."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()
