"""The error that users can correct, `UserError`; and SIGTERM as an exception."""

from collections.abc import Callable


class UserError(Exception):
    """Something that the user gave us is wrong; the message says what, where and what to do.

    Jobs print the message as one line and exit with 1; ``--verbose`` shows the traceback. Messages
    name the file, line, byte offset or field, and fit on one line.
    """

    def __str__(self) -> str:
        # Ray Data appends lines about its retries to the message of a task's exception.
        return super().__str__().partition("\n")[0]


OnBad = Callable[[UserError], None]
"""Takes the error of a record or a file that cannot be used, which is then left out."""


def report(error: UserError, on_bad: OnBad | None) -> None:
    """Pass an error to `on_bad`, or raise it without one."""
    if on_bad is None:
        raise error
    on_bad(error)


def find_user_error(error: BaseException) -> UserError | None:
    """Return the `UserError` inside an exception that Ray wrapped, or None.

    Ray wraps exceptions of tasks and actors. This follows `RayTaskError.cause`, `__cause__`, and
    Ray Train's `controller_failure` and `worker_failures` (a dict from rank to exception).
    """
    seen: set[int] = set()
    pending: list[object] = [error]
    while pending:
        current = pending.pop(0)
        if not isinstance(current, BaseException) or id(current) in seen:
            continue
        seen.add(id(current))
        # Ray makes a class that is both RayTaskError and the cause's class. Its text is a
        # traceback; the clean message is in `cause`.
        cause = getattr(current, "cause", None)
        if isinstance(current, UserError) and not isinstance(cause, BaseException):
            return current
        pending += [cause, current.__cause__, current.__context__]
        pending.append(getattr(current, "controller_failure", None))
        pending += getattr(current, "worker_failures", {}).values()
    return None


class Terminated(BaseException):
    """SIGTERM told this process to end; raised in the main thread, as `KeyboardInterrupt` is."""
