import numpy as np

from rnnray.class_evaluation import Evaluation


def test_each_class_has_metrics_of_its_own_and_the_class_it_is_taken_for() -> None:
    confusion = np.array([[3, 1, 0], [0, 2, 0], [0, 0, 0]])
    sums = np.array([[2.0, 3, 4], [1, 2, 2], [0, 0, 0]])
    cat, dog, star = Evaluation(0.5, 5 / 6, 1.0, 6, confusion, sums, 0).of_classes(
        ("cat", "dog", "star")
    )
    assert cat == {
        **{"class": "cat", "count": 4, "loss": 0.5, "top1": 0.75, "top5": 1.0},
        **{"precision": 1.0, "taken_for": "dog"},
    }
    assert dog["precision"] == 2 / 3
    assert (star["count"], star["top1"], star["precision"], star["taken_for"]) == (0, *[None] * 3)
