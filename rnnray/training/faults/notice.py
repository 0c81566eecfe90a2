"""The notice that a worker gets before it is taken away: SIGTERM, or its node is being drained.

Clouds take spot machines back, and Kubernetes its pods, with a notice of 30 seconds and more.
"""

import signal
import threading
from types import FrameType, TracebackType
from typing import Any, Self

import ray

from rnnray import ray_private
from rnnray.errors import Terminated
from rnnray.events import Event

_sigterm = threading.Event()


def expect() -> Any:
    """Take SIGTERM as a notice from here on, in the training function of a worker; the worker's
    handle, for `PassedOn`.
    """
    # Ray Train runs that in a thread, and handlers can be installed in the main one alone, which
    # has nothing to do but the actor's calls.
    actor = ray.get_runtime_context().current_actor
    ray.get(actor.__ray_call__.remote(_install))
    return actor


class PassedOn:
    """SIGTERM to the driver of a run as the notice of its workers, which write a checkpoint first.

    Used as a context around the run, in the main thread; elsewhere, as in a trial, it does nothing.
    """

    def __init__(self) -> None:
        self.came = False
        """Whether the driver got one."""
        self._worker: Any = None
        self._before: Any = None

    def __enter__(self) -> Self:
        ray_private.check_drains()
        if threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGTERM, self._take)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._before is not None:
            signal.signal(signal.SIGTERM, self._before)
        if self.came:
            raise Terminated from error

    def note(self, event: Event) -> None:
        """Take an event of the run: which worker to tell, one of a group."""
        if event["kind"] == "expects_notice":
            self._worker = event["worker"]
            if self.came:  # while the group was started
                self._tell()
        elif event["kind"] in ("failure", "again"):
            self._worker = None

    def _take(self, number: int, frame: FrameType | None) -> None:
        del frame
        signal.signal(number, self._before or signal.SIG_DFL)  # a second one ends the driver
        self.came = True
        if self._worker is None:
            raise Terminated  # nobody trains, and all that was stored is whole
        self._tell()

    def _tell(self) -> None:
        self._worker.__ray_call__.remote(_give)


def came() -> bool:
    """Whether this worker was told to leave; costs a microsecond."""
    return _sigterm.is_set() or ray_private.node_is_drained()


def _give(_: object) -> None:
    _sigterm.set()


def _install(_: object) -> None:
    def note(number: int, frame: FrameType | None) -> None:
        del number, frame
        signal.signal(signal.SIGTERM, signal.SIG_DFL)  # a second one ends the process
        _sigterm.set()

    signal.signal(signal.SIGTERM, note)
