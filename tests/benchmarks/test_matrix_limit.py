"""The share of a machine's limit counts the multiply-adds that a model takes, once each."""

from lazily import Lazily, keras

matrix_limit = Lazily("rnnray.benchmarks.matrix_limit")


def test_multiply_adds_of_a_row_are_those_of_each_use_of_each_kernel() -> None:
    ink = keras.Input((8, 3))
    convolved = keras.layers.Conv1D(5, 2, strides=2)(ink)  # 4 steps
    read = keras.layers.LSTM(6, unroll=True)(convolved)
    model = keras.Model(ink, keras.layers.Dense(7)(read))
    expected = 4 * (2 * 3 * 5) + 4 * 4 * 6 * (5 + 6) + 6 * 7
    assert matrix_limit.multiply_adds(model, 2, 8, 3) == expected
