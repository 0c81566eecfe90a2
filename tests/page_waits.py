"""Waits for a page whose content security policy forbids what Playwright's own waiting takes."""

import time
from typing import Any


def wait_for(page: Any, expression: str, seconds: float = 30.0) -> None:
    """Wait until a JavaScript expression is true, as `page.wait_for_function`, which evaluates
    strings within the page.
    """
    deadline = time.monotonic() + seconds
    while not page.evaluate(expression):
        assert time.monotonic() < deadline, f"never: {expression}"
        time.sleep(0.02)
