"""What must not change, recorded in tests/record: compares what is with what was.

After a change that is wanted, write the record again and look at its diff:

    RNNRAY_RECORD=1 .venv/bin/python -m pytest tests/record
"""

import difflib
import hashlib
import json
import os
from pathlib import Path
from typing import Any

RECORD = Path(__file__).parent / "record"
_WRITES = bool(os.environ.get("RNNRAY_RECORD"))
_AGAIN = "If this is wanted: RNNRAY_RECORD=1 .venv/bin/python -m pytest tests/record"
# Another CPU or TensorFlow rounds otherwise; another seed or order differs by far more.
_RELATIVE = 1e-4


def same_text(name: str, now: str) -> None:
    """Compare a text with the file of that name, or write it."""
    file = RECORD / name
    if _WRITES:
        file.parent.mkdir(exist_ok=True)
        file.write_text(now)
    before = file.read_text() if file.is_file() else ""
    if before != now:
        lines = difflib.unified_diff(
            before.splitlines(), now.splitlines(), f"{name}, recorded", f"{name}, now", "", "", 1
        )
        raise AssertionError("\n".join([*lines, _AGAIN]))


def same_values(name: str, now: Any) -> None:
    """Compare nested values with the JSON file of that name, or write them.

    Floats are compared up to rounding: each with the largest of its list.
    """
    file = RECORD / name
    if _WRITES:
        file.write_text(json.dumps(_rounded(now), indent=1, ensure_ascii=False) + "\n")
    assert file.is_file(), f"{name}: not recorded. {_AGAIN}"
    before = json.loads(file.read_text())
    different = [*_differences(before, json.loads(json.dumps(now)), "")]
    assert not different, "\n".join([f"{name}:", *different, _AGAIN])


def keys_of(value: Any) -> Any:
    """The keys of a nested mapping, with the types of its values."""
    if isinstance(value, dict):
        return {str(key): keys_of(item) for key, item in value.items()}
    return type(value).__name__


def sha256(content: bytes) -> str:
    """The beginning of the digest: enough to tell."""
    return hashlib.sha256(content).hexdigest()[:16]


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    return [*map(_rounded, value)] if isinstance(value, list | tuple) else value


def _differences(before: Any, now: Any, path: str, scale: float = 0.0) -> Any:
    if isinstance(before, dict) and isinstance(now, dict):
        for key in dict.fromkeys([*before, *now]):
            yield from _differences(before.get(key), now.get(key), f"{path}.{key}")
    elif isinstance(before, list) and isinstance(now, list) and len(before) == len(now):
        largest = max((abs(item) for item in before if isinstance(item, float)), default=0.0)
        for index, pair in enumerate(zip(before, now, strict=True)):
            yield from _differences(*pair, f"{path}[{index}]", largest)
    elif isinstance(before, float) and isinstance(now, float):
        if abs(before - now) > _RELATIVE * max(scale, abs(before)):
            yield f"{path}: {before:.6g} recorded, {now:.6g} now"
    elif before != now:
        yield f"{path}: {before!r} recorded, {now!r} now"
