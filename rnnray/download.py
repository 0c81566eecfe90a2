"""Downloads into a cache folder, which resume after interruptions."""

import fcntl
import hashlib
import json
import os
import re
import sys
import time
from base64 import b64decode
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict, dataclass
from email.message import Message
from functools import partial
from http.client import HTTPException, InvalidURL
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from tqdm import tqdm

from rnnray import whole_file
from rnnray.errors import UserError

_TIMEOUT_SECONDS = 30.0  # for each operation on the socket, not for the download
_TRIES = 5  # failed tries in a row that receive no bytes
_BACKOFF_SECONDS = 1.0  # before the second try; doubles with each further try
_LINE_SECONDS = 5.0  # between progress lines if stderr is no terminal
_BLOCK = 1 << 18


def cache_folder() -> Path:
    """Return the folder of downloads, an absolute path; it may not exist yet.

    That is `$RNNRAY_CACHE`, `$XDG_CACHE_HOME/rnnray` or `~/.cache/rnnray`.

    Raises:
        UserError: the user has no home.
    """
    xdg = Path(os.environ.get("XDG_CACHE_HOME", ""))
    try:
        if own := os.environ.get("RNNRAY_CACHE"):
            return Path(own).expanduser().absolute()
        # The XDG specification tells programs to ignore relative folders.
        return (xdg if xdg.is_absolute() else Path.home() / ".cache") / "rnnray"
    except RuntimeError as error:  # a container's user may have no home
        raise UserError(
            "there is no home folder for the cache; set RNNRAY_CACHE to a folder"
        ) from error


def download(url: str, target: Path, *, size: int | None = None, sha256: str | None = None) -> Path:
    """Download `url` to the file `target`, unless it exists already, and return `target`.

    Bytes that have arrived stay in `target` + ".part", also after Ctrl-C. The next call resumes
    from there if the server says that the file is still the same. Only a complete and checked file
    gets the name `target`. Progress goes to stderr.

    Args:
        url: http or https.
        target: path of the file; its folder is made.
        size: bytes, if known. A `target` of another size is downloaded again.
        sha256: hexadecimal, if known. Otherwise the MD5 that Google's servers send along is checked
            (https://cloud.google.com/storage/docs/xml-api/reference-headers).

    Raises:
        UserError: the server cannot be reached or has no such file, the connection kept breaking,
            size or digest are wrong, or `target` cannot be written.
    """
    if not url.startswith(("http://", "https://")):
        raise UserError(f"{url}: not an http or https URL")
    try:
        if not _is_there(target, size):
            target.parent.mkdir(parents=True, exist_ok=True)
            with locked(target):
                if not _is_there(target, size):  # otherwise another process was faster
                    _download(url, target, size, sha256)
    except OSError as error:
        raise cannot_write(target, error) from error
    return target


def say(line: str) -> None:
    """Print a line on stderr, above a progress bar if there is one."""
    tqdm.write(line, file=sys.stderr)


def cannot_write(path: Path, error: OSError) -> UserError:
    """Return the `UserError` for a refusal of the file system."""
    what = f"{error.filename or path}: {error.strerror or error}"
    return UserError(f"{what}; correct that, or set RNNRAY_CACHE to another folder")


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Let one process at a time make `path`; the others wait, and then find the work done.

    A part file for each process would need no lock. But each process would download its own
    gigabyte, and no later run could tell which part to resume. The kernel releases the lock of a
    process that dies.
    """
    with path.with_name(path.name + ".lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"{path.name}: another process is working on it; waiting")
            fcntl.flock(file, fcntl.LOCK_EX)
        try:
            yield
        finally:  # closing releases nothing while a forked child has the file open
            fcntl.flock(file, fcntl.LOCK_UN)


class _BrokenError(Exception):
    """This try failed; another may resume after the bytes that have arrived."""


class _UnreachableError(_BrokenError):
    """No connection was made at all."""


@dataclass
class _Source:
    """The server's description of the file that a .part belongs to; saved beside it as JSON."""

    validator: str | None = None  # for If-Range: a strong ETag, else Last-Modified
    length: int | None = None  # of the whole file, in bytes
    md5: str | None = None  # of the whole file, in hexadecimal


class _Part:
    """The bytes that have arrived so far, and the file that they belong to."""

    def __init__(self, target: Path) -> None:
        self.path = target.with_name(target.name + ".part")
        self._note = target.with_name(target.name + ".part.json")
        self.source = _Source()
        with suppress(OSError, ValueError, TypeError):  # none, or cut short: start over
            self.source = _Source(**json.loads(self._note.read_text(encoding="utf-8")))

    @property
    def arrived(self) -> int:
        return self.path.stat().st_size if self.path.exists() else 0

    def start_over(self, source: _Source) -> None:
        self.path.write_bytes(b"")  # first, so that it never has bytes of another file
        self.source = source
        self._note.write_text(json.dumps(asdict(source)), encoding="utf-8")

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)
        self._note.unlink(missing_ok=True)


def _is_there(target: Path, size: int | None) -> bool:
    return target.is_file() and (size is None or target.stat().st_size == size)


def _download(url: str, target: Path, size: int | None, sha256: str | None) -> None:
    part = _Part(target)
    by_hand = f"download {url} yourself and put it at {target}, or pass --data PATH"
    # Not by `retry`: the count starts over when bytes arrive, and a wrong host fails at once.
    failures, furthest, connected = 0, 0, False
    with closing(_Progress(target.name)) as progress:
        while True:
            try:
                _fetch(url, part, size, progress)
                break
            except HTTPError as error:
                raise UserError(f"{url}: {error.code} {error.reason}; {by_hand}") from error
            except _BrokenError as error:
                failures = failures + 1 if part.arrived <= furthest else 1
                furthest = max(furthest, part.arrived)
                connected = connected or not isinstance(error, _UnreachableError)
                # Without any connection yet, the error is raised at once; a lost connection is
                # waited for.
                if failures == _TRIES or not connected:
                    raise UserError(f"{url}: {error}; run again to resume, or {by_hand}") from error
                pause = _BACKOFF_SECONDS * 2 ** (failures - 1)
                say(f"{target.name}: {error}; trying again in {pause:.0f} s")
                time.sleep(pause)
    _check(url, part, "size", part.arrived, size)
    with part.path.open("rb") as file:
        if sha256:
            found = hashlib.file_digest(file, "sha256").hexdigest()
            _check(url, part, "sha256", found, sha256.lower())
        elif part.source.md5:
            md5 = partial(hashlib.md5, usedforsecurity=False)
            _check(url, part, "md5", hashlib.file_digest(file, md5).hexdigest(), part.source.md5)
    whole_file.name(part.path, target)
    part.remove()


def _check(url: str, part: _Part, what: str, found: object, expected: object) -> None:
    if found is not None and expected is not None and found != expected:
        part.remove()
        raise UserError(f"{url}: {what} is {found}, not {expected}; it was removed; run again")


def _fetch(url: str, part: _Part, size: int | None, progress: "_Progress") -> None:
    """Ask once for the bytes that `part` lacks and append them; return when `part` is complete."""
    validator = part.source.validator if part.source.length else None
    done = part.arrived if validator else 0
    headers = {"Range": f"bytes={done}-", "If-Range": validator} if done and validator else {}
    with _open(url, headers) as response:
        if response.status == 200:
            done = 0
            part.start_over(_source(response.headers))
            _check(url, part, "size", part.source.length, size)
        elif not _goes_on(response, done, part.source):
            part.remove()
            raise _BrokenError(
                f"answer {response.status} does not fit the {done} bytes already there"
            )
        length = part.source.length
        with part.path.open("ab") as file:
            while done != length and response.status != 416:
                progress.at(done, length)
                # Early releases of Python 3.11 do not count the bytes that read1 returned: never
                # ask for more than the rest.
                wanted = _BLOCK if length is None else min(_BLOCK, length - done)
                try:
                    block = response.read1(wanted)
                except (OSError, HTTPException) as error:
                    raise _BrokenError(f"connection broken after {done} bytes: {error}") from error
                if not block:
                    break
                file.write(block)
                done += len(block)
            progress.at(done, length)
    if length not in (None, done):
        raise _BrokenError(f"connection closed after {done} of {length} bytes")


def _open(url: str, headers: dict[str, str]) -> Any:
    """Return the server's answer, also if it is 416; raise HTTPError if another try is no use."""
    try:
        request = Request(url, headers=headers | {"User-Agent": "rnnray"})
        return urlopen(request, timeout=_TIMEOUT_SECONDS)
    except HTTPError as error:
        if error.code == 416 and "Range" in headers:
            return error
        error.close()
        if error.code in (408, 429) or error.code >= 500:
            raise _BrokenError(f"{error.code} {error.reason}") from error
        raise
    except (URLError, InvalidURL, ValueError) as error:
        raise _UnreachableError(f"no connection ({getattr(error, 'reason', error)})") from error
    except (OSError, HTTPException) as error:
        raise _BrokenError(f"no answer ({error or type(error).__name__})") from error


def _goes_on(response: Any, done: int, source: _Source) -> bool:
    """Return whether a 206 continues exactly after the part, or a 416 says that it is complete.

    Compares the sources, because servers that ignore If-Range would send the middle of another
    file.
    """
    match = re.fullmatch(r"bytes (?:(\d+)-\d+|\*)/(\d+)", response.headers.get("Content-Range", ""))
    if not done or not match or _source(response.headers).validator not in (None, source.validator):
        return False
    fits = done == source.length if response.status == 416 else match[1] == str(done)
    return fits and int(match[2]) == source.length


def _source(headers: Message) -> _Source:
    etag, length = headers.get("ETag"), headers.get("Content-Length", "")
    # If-Range takes no weak ETag (RFC 9110, section 13.1.5).
    validator = etag if etag and not etag.startswith("W/") else headers.get("Last-Modified")
    # If Google unpacks the stored file while sending it, the digest is not that of the bytes that
    # arrive.
    stored = headers.get("x-goog-stored-content-encoding") == "identity"
    hashes = ",".join(headers.get_all("x-goog-hash", [])) if stored else ""
    match = re.search(r"md5=([A-Za-z0-9+/]{22}==)", hashes)
    md5 = b64decode(match[1]).hex() if match else None
    return _Source(validator, int(length) if length.isdecimal() else None, md5)


class _Progress:
    """A bar on a terminal; elsewhere a line every few seconds, so that job logs stay readable."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._bar: Any = None
        self._begun = self._said = time.monotonic()
        self._line = ""
        self._first: int | None = None  # bytes of earlier runs, which do not count as speed

    def at(self, done: int, total: int | None) -> None:
        """Show that `done` bytes have arrived, of `total` if that is known."""
        if self._first is None and sys.stderr.isatty():
            self._bar = tqdm(desc=self._name, initial=done, unit="B", unit_scale=True)
        self._first = done if self._first is None else min(self._first, done)
        if self._bar is not None:
            self._bar.total, self._bar.initial = total, self._first
            self._bar.update(done - self._bar.n)
            return
        now = time.monotonic()
        rate = (done - self._first) / 1e6 / max(now - self._begun, 1e-3)
        whole = "?" if total is None else f"{total / 1e6:.1f}"
        self._line = f"{self._name}: {done / 1e6:.1f} of {whole} MB, {rate:.1f} MB/s"
        if now - self._said >= _LINE_SECONDS:
            self._said = now
            say(self._line)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
        elif self._line:
            # the final state, also if the download ended before the first line was due
            say(self._line)
