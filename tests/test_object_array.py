import io
import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnnray import object_array
from rnnray.errors import UserError


def npy(value: Any, protocol: int = 4, shape: tuple[int, ...] = (2,)) -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        stream, {"descr": "|O", "fortran_order": False, "shape": shape}
    )
    return stream.getvalue() + pickle.dumps(value, protocol=protocol)


def arrays(dtype: str = "<i2") -> np.ndarray:
    both = np.empty(2, object)
    both[:] = [np.arange(6, dtype=dtype).reshape(2, 3), np.arange(9, dtype=dtype).reshape(3, 3)]
    return both


def read(content: bytes) -> list[np.ndarray]:
    return object_array.read(io.BytesIO(content))  # type: ignore[arg-type]


@pytest.mark.parametrize("protocol", [2, 3, 4])
@pytest.mark.parametrize("dtype", ["<i2", ">i2", "i1", "<f4", "<i8"])
def test_numbers_are_read_as_numpy_wrote_them(protocol: int, dtype: str) -> None:
    expected = arrays(dtype)
    for found, wanted in zip(read(npy(expected, protocol)), expected, strict=True):
        np.testing.assert_array_equal(found, wanted)
        assert found.dtype == wanted.dtype


@pytest.mark.parametrize(
    "value",
    [
        5,
        [1, 2],
        {"a": 1},
        "text",
        arrays()[0],
        np.array([None, 5], object),
        np.array(["a", "b"], object),
        np.array([np.array(["text"]), np.zeros(1)], object),
    ],
    ids=repr,
)
def test_anything_else_is_a_user_error(value: Any) -> None:
    with pytest.raises(UserError):
        read(npy(value))


CONTENT = npy(arrays())


@given(st.integers(0, len(CONTENT) - 1), st.integers(0, 255), st.integers(0, 40))
def test_a_damaged_file_gives_numbers_or_a_user_error(at: int, byte: int, cut: int) -> None:
    damaged = bytearray(CONTENT[: len(CONTENT) - cut])
    if at < len(damaged):
        damaged[at] = byte
    try:
        found = read(bytes(damaged))
    except UserError:
        return
    assert all(each.dtype.kind in "iuf" for each in found)
