"""Events from the processes of a cluster to a handler in the driver."""

import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from ray.exceptions import RayError
from ray.util.queue import Empty, Queue

from rnnray import cluster
from rnnray.progress import say

Event = dict[str, Any]
_SILENCE_SECONDS, _RETRY_SECONDS = 10.0, 1.0


class Events:
    """Carries events from the processes of a cluster to a handler in this process.

    Used as a context manager; `tell` may be sent to other processes. The handler runs in a thread,
    one event at a time. After ten seconds without an event it gets `{"kind": "silence"}`. An
    exception of the handler is printed, and the next event is delivered: senders must not suffer
    from it. Ray restarts the queue's actor if it dies, and its undelivered events are lost. Events
    are for people; no result may depend on one.
    """

    def __init__(self, handler: Callable[[Event], None]) -> None:
        self._queue = Queue(
            actor_options={
                "num_cpus": 0,
                "scheduling_strategy": cluster.on_this_node(),
                "max_restarts": -1,
                "max_task_retries": -1,
            }
        )
        self._handler = handler
        self._thread = threading.Thread(target=self._deliver, daemon=True)
        self._over = threading.Event()
        self.tell = Tell(self._queue)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._over.set()
        try:
            self.tell({"kind": "end"})
        except RayError as problem:  # the thread ends in any case
            say(f"the last progress lines are lost: {problem!r}")
        self._thread.join()
        self._queue.shutdown(force=True)  # without force, Ray would restart it

    def _deliver(self) -> None:
        while True:
            try:
                event = self._queue.get(timeout=_SILENCE_SECONDS)
            except Empty:
                event = {"kind": "end" if self._over.is_set() else "silence"}
            except RayError as error:
                if self._over.is_set():
                    return
                say(f"progress lines are interrupted: {error!r}")
                time.sleep(_RETRY_SECONDS)
                continue
            if event["kind"] == "end":
                return
            try:
                self._handler(event)
            except Exception as error:
                say(f"a progress line is lost ({event['kind']}): {error!r}")


class Tell:
    """Puts events into the queue, from any process."""

    def __init__(self, queue: Queue) -> None:
        self._queue = queue

    def __call__(self, event: Event) -> None:
        """Send an event."""
        self._queue.put(event)
