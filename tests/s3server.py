"""An S3 server in this process, with the faults of servers and networks."""

import re
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

import observed

from rnnray.artifacts import Store

BUCKET = "bucket"
PART = 102_400  # bytes, of a large file's part in the tests
# What no message may show.
KEY_ID, SECRET = "AKIDEXAMPLE", "wJalrXUtnFEMI"


class Server(ThreadingHTTPServer):
    """One bucket in memory; what goes wrong is set by the test."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.objects: dict[str, tuple[bytes, dict[str, str]]] = {}
        self.uploads: dict[str, tuple[dict[int, bytes], dict[str, str]]] = {}
        self.requests: list[str] = []
        self.lock = threading.Lock()
        self.answers: list[tuple[int, str]] = []  # (status, S3's code) for the next requests
        self.busy_every = 0  # of this many requests, one is answered with 503
        self.refuse = ""  # requests that have this in their line are answered with 403
        self.lose = ""  # the answer to the first request that has this in its line is lost
        self.pauses: list[float] = []  # seconds before the next answers
        self.cuts: list[int] = []  # numbers of bytes after which the next answers end
        self.away = False  # connections are closed
        self.html = False  # it is no S3 server at all

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Nothing to say of a client that has closed its connection."""


class Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"

    def handle_one(self) -> None:
        server = self.server
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        with server.lock:
            server.requests.append(f"{self.command} {self.path}")
            fault = server.answers.pop(0) if server.answers else None
            pause = server.pauses.pop(0) if server.pauses else 0.0
            if server.refuse and server.refuse in server.requests[-1]:
                fault = (403, "AccessDenied")
            busy = server.busy_every and len(server.requests) % server.busy_every == 0
        time.sleep(pause)
        if server.away:
            self.close_connection = True
        elif server.html:
            self.answer(405, b"<html><body><p>hello</body></html>")
        elif busy or fault:
            self.fail(*(fault or (503, "SlowDown")))
        else:
            with server.lock:
                lost = server.lose and server.lose in f"{self.command} {self.path}"
                server.lose = "" if lost else server.lose
                reply = self.reply(body)
            if lost:
                self.close_connection = True
            elif isinstance(reply[1], str):
                self.fail(*reply)
            else:
                self.answer(*reply)

    do_GET = do_PUT = do_HEAD = do_POST = do_DELETE = handle_one  # noqa: N815

    def reply(self, body: bytes) -> tuple[Any, ...]:
        """(status, body, headers), or (status, S3's code)."""
        address = urlsplit(self.path)
        bucket, _, key = unquote(address.path).strip("/").partition("/")
        query = {name: each[0] for name, each in parse_qs(address.query, True).items()}
        if bucket != BUCKET:
            return 404, "NoSuchBucket"
        if "list-type" in query:
            return 200, self.page(query), {}
        if "uploads" in query or "uploadId" in query:
            return self.reply_to_upload(key, query, body)
        if self.command == "PUT":
            return self.store(key, body, self.described())
        found = self.server.objects.get(key)
        if self.command == "DELETE":
            self.server.objects.pop(key, None)
            return 204, b"", {}
        return (404, "NoSuchKey") if key and found is None else (200, *(found or (b"", {})))

    def reply_to_upload(self, key: str, query: dict[str, str], body: bytes) -> tuple[Any, ...]:
        uploads = self.server.uploads
        if "uploads" in query:
            name = uuid.uuid4().hex
            uploads[name] = ({}, self.described())
            text = f"<InitiateMultipartUploadResult><UploadId>{name}</UploadId>"
            return 200, f"{text}</InitiateMultipartUploadResult>".encode(), {}
        name = query["uploadId"]
        if name not in uploads:
            return 404, "NoSuchUpload"
        parts, headers = uploads[name]
        if self.command == "PUT":
            parts[int(query["partNumber"])] = body
            return 200, b"", {"ETag": f'"{query["partNumber"]}"'}
        if self.command == "DELETE":
            del uploads[name]
            return 204, b"", {}
        asked = [int(number) for number in re.findall(rb"<PartNumber>(\d+)<", body)]
        answer = self.store(key, b"".join(parts[number] for number in asked), headers)
        if answer[0] == 200:
            del uploads[name]
            text = b"<CompleteMultipartUploadResult></CompleteMultipartUploadResult>"
            return 200, text, {}
        return answer

    def store(self, key: str, content: bytes, headers: dict[str, str]) -> tuple[Any, ...]:
        if self.headers.get("If-None-Match") == "*" and key in self.server.objects:
            return 412, "PreconditionFailed"
        self.server.objects[key] = (content, headers)
        return 200, b"", {}

    def described(self) -> dict[str, str]:
        kept = ("content-type", "x-amz-meta-")
        return {k: v for k, v in self.headers.items() if k.lower().startswith(kept)}

    def page(self, query: dict[str, str]) -> bytes:
        after = query.get("continuation-token", "")
        size = int(query.get("max-keys", 1000))
        keys = [k for k in sorted(self.server.objects) if k.startswith(query.get("prefix", ""))]
        rest = [key for key in keys if key > after]
        text = "<ListBucketResult>"
        for key in rest[:size]:
            length = len(self.server.objects[key][0])
            text += f"<Contents><Key>{escape(key)}</Key><Size>{length}</Size></Contents>"
        if rest[size:]:
            token = escape(rest[size - 1])
            text += "<IsTruncated>true</IsTruncated>"
            text += f"<NextContinuationToken>{token}</NextContinuationToken>"
        return f"{text}</ListBucketResult>".encode()

    def fail(self, status: int, code: str) -> None:
        # Some servers repeat the access key id.
        message = f"<Message>no such key: {KEY_ID}</Message><AWSAccessKeyId>{KEY_ID}"
        text = f"<Error><Code>{code}</Code>{message}</AWSAccessKeyId></Error>"
        self.answer(status, b"" if self.command == "HEAD" else text.encode())

    def answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            cut = self.server.cuts.pop(0) if self.server.cuts else len(body)
            self.wfile.write(body[:cut])
            self.close_connection = cut < len(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextmanager
def serve(port: int = 0) -> Iterator[Server]:
    """A server that runs in threads of its own."""
    server = Server(port)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def put(store: Store, *keys: str) -> None:
    for key in keys:
        store.put(key, key.encode(), content_type="text/plain")


def refused(use: Callable[..., object], *arguments: Any, **options: Any) -> str:
    """The one line of an error, without secrets."""
    text = observed.refused(use, *arguments, **options)
    assert KEY_ID not in text
    assert SECRET not in text
    return text
