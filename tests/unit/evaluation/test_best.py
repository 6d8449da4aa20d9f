from earthprobe.evaluation.best import best_on_val


def result(val: float, test: float) -> dict[str, object]:
    return {"task": "multilabel", "val": {"map_macro": val}, "test": {"map_macro": test}}


def test_val_chooses_and_test_has_no_say():
    results = [result(0.5, 0.9), result(0.6, 0.1), result(0.2, 0.2), result(0.2, 0.8)]
    assert best_on_val(["a", "a", "b", "b"], results) == [1, 2]
