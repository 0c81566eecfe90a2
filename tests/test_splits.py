import pytest

from rnnray.splits import are_named, divided, ranges, split_files


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("train-00000-of-00010", "train"),
        ("train-00000-of-00002.parquet", "train"),
        ("x-train.tfrecord-00000-of-00010", "train"),
        ("quickdraw_train-00000-of-00010.tfrecord", "train"),
        ("training.tfrecord-00003-of-00010", "train"),
        ("validation-00000-of-00001.parquet", "validation"),
        ("valid.ndjson.gz", "validation"),
        ("val.parquet", "validation"),
        ("my_dev.tfrecord", "validation"),
        ("test.parquet", "test"),
        ("train/a.tfrecord", "train"),
        ("valid/a.tfrecord", "validation"),
        ("val/deep/train.tfrecord", "validation"),
        ("dev/a.tfrecord", "validation"),
        ("Test/a.tfrecord", "test"),
        ("trainer.parquet", None),
        ("restrain.parquet", None),
        ("contest.ndjson", None),
        ("part-00000.parquet", None),
        ("constrained-0.tfrecord", None),
    ],
)
def test_names_that_people_give_are_splits(name: str, split: str | None) -> None:
    splits = split_files("/data", [f"/data/{name}"])
    assert [each for each, paths in splits.items() if paths] == ([split] if split else [])


@pytest.mark.parametrize(
    ("validation", "test"),
    [
        (["eval-0", "eval-1"], ["eval-2"]),
        (["eval/a.tfrecord"], []),
        (["eval-0", "eval-1"], ["test-2"]),
        (["valid-0"], ["eval-1", "eval-2"]),
    ],
)
def test_eval_is_what_else_is_missing(validation: list[str], test: list[str]) -> None:
    parts = [[f"/data/{name}" for name in part] for part in (validation, test)]
    splits = split_files("/data", [*parts[0], *parts[1]])
    assert [splits["validation"], splits["test"]] == parts


@pytest.mark.parametrize(
    ("names", "named"),
    [
        (["airplane.ndjson", "train.ndjson"], False),  # a category of Quick, Draw!
        (["train.ndjson"], False),
        (["train.ndjson", "test.ndjson"], True),
        (["train/cat.ndjson", "test/cat.ndjson", "more.ndjson"], True),
    ],
)
def test_the_category_train_is_no_split(names: list[str], named: bool) -> None:
    assert are_named("/data", [f"/data/{name}" for name in names]) is named


def test_a_split_by_hash_is_the_same_as_ever() -> None:
    """Other splits would move test rows of earlier runs into training."""
    names = [f"piece {number}" for number in range(12)]
    chosen = divided(names, "60:20:20")
    assert [number for number, split in enumerate(chosen) if split == "validation"] == [4, 8]
    assert [number for number, split in enumerate(chosen) if split == "test"] == [3, 10]
    assert divided(names[::-1], "60:20:20") == chosen[::-1]
    shares = {"train": range(80), "validation": range(80, 95), "test": range(95, 100)}
    assert ranges("80:15:5") == shares
    assert list(ranges("80:10:10", 7).values()) == [range(5), range(5, 6), range(6, 7)]
