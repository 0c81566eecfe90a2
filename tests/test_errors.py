import pickle

import pytest

from rnnray.errors import UserError, find_user_error

MESSAGE = "x.tfrecord: damaged record at byte 20; fetch the file again"


class WrapError(Exception):
    """As Ray's errors: the cause in an attribute."""

    def __init__(self, cause: object) -> None:
        super().__init__("a traceback\nof many lines")
        self.cause = cause


class GroupError(Exception):
    """As Ray Train's error of a group of workers."""

    def __init__(self, failures: dict[int, Exception]) -> None:
        super().__init__("a worker failed")
        self.worker_failures = failures


class ControllerError(Exception):
    """As Ray Train's error of what starts and watches the workers."""

    def __init__(self, failure: Exception) -> None:
        super().__init__("the controller failed")
        self.controller_failure = failure


class BothError(WrapError, UserError):
    """As Ray makes them: an error that is of its cause's class too."""


def raised_from(error: Exception, cause: Exception) -> Exception:
    try:
        raise error from cause
    except Exception as caught:
        return caught


def raised_while_handling(error: Exception, first: Exception) -> Exception:
    try:
        try:
            raise first
        except Exception:
            raise error  # noqa: B904
    except Exception as caught:
        return caught


@pytest.mark.parametrize(
    "wrap",
    [
        lambda error: error,
        WrapError,
        BothError,
        lambda error: GroupError({0: ValueError("another"), 1: WrapError(error)}),
        ControllerError,
        lambda error: raised_from(RuntimeError("a job failed"), error),
        lambda error: raised_while_handling(RuntimeError("clean-up failed"), error),
        lambda error: GroupError({0: raised_from(WrapError(BothError(error)), ValueError())}),
    ],
)
def test_the_users_error_is_found_in_every_wrapping(wrap) -> None:
    error = UserError(MESSAGE)
    assert find_user_error(wrap(error)) is error


def test_a_fault_of_the_program_is_not_taken_for_the_users() -> None:
    group = GroupError({0: WrapError("no exception"), 1: raised_from(KeyError(1), ValueError())})
    assert find_user_error(group) is None


def test_errors_that_point_at_each_other_end_the_search() -> None:
    first, second = WrapError(None), WrapError(None)
    first.cause, second.cause = second, first
    assert find_user_error(first) is None


def test_what_ray_data_appends_to_a_message_is_not_shown() -> None:
    error = UserError(MESSAGE)
    error.args = (f"{MESSAGE}\nFailed to apply UDF transform after 1/1 attempts.",)
    for shown in (error, pickle.loads(pickle.dumps(error)), find_user_error(WrapError(error))):
        assert type(shown) is UserError
        assert str(shown) == MESSAGE


@pytest.mark.usefixtures("ray_cluster")
def test_the_users_error_of_a_task_and_of_an_actor_comes_back_as_one_line() -> None:
    import ray  # noqa: PLC0415

    def fail() -> None:
        raise UserError(MESSAGE)

    class Failing:
        def fail(self) -> None:
            fail()

    actor = ray.remote(num_cpus=0)(Failing).remote()
    for reference in (ray.remote(fail).remote(), actor.fail.remote()):
        with pytest.raises(Exception, match="damaged record") as caught:
            ray.get(reference)
        assert str(find_user_error(caught.value)) == MESSAGE
