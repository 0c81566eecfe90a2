"""What a run keeps of what it was asked."""

from pathlib import Path
from typing import Any

import pytest

from rnnray import run_folder
from rnnray.errors import UserError


def test_a_submitted_job_says_that_results_in_its_working_directory_will_be_lost(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for parent in ("ray/session/runtime_resources/working_dir_files/_ray_pkg_1/runs", "runs"):
        with run_folder.lock(str(tmp_path / parent / "first")):
            pass
    (line,) = capsys.readouterr().out.splitlines()
    assert "_ray_pkg_1/runs/first: is in the job's copy of its working directory" in line
    assert "use an absolute path or a URI" in line


def test_a_run_may_be_given_more_epochs_and_not_fewer(tmp_path: Path) -> None:
    def keep(**asked: int) -> Any:
        return run_folder.save_or_compare(
            str(tmp_path), "config.yaml", asked, "a run", growing=("epochs",)
        )

    assert keep(epochs=2, seed=1) is None
    assert keep(epochs=4, seed=1) == {"epochs": 2, "seed": 1}
    assert keep(epochs=4, seed=1) == {"epochs": 4, "seed": 1}
    with pytest.raises(UserError, match=r"epochs \(4 there, 2 now\); .*\(epochs may be raised\)"):
        keep(epochs=2, seed=1)
    with pytest.raises(UserError, match=r"configuration: seed \(1 there, 2 now\); "):
        keep(epochs=5, seed=2)
    assert keep(epochs=4, seed=1) == {"epochs": 4, "seed": 1}


def test_a_run_of_an_earlier_version_goes_on_where_new_fields_have_their_defaults(
    tmp_path: Path,
) -> None:
    def keep(asked: dict[str, Any]) -> Any:
        defaults = {"seed": 42, "model": {"units": 128, "size": 0}}
        return run_folder.save_or_compare(
            str(tmp_path), "config.yaml", asked, "a run", defaults=defaults
        )

    assert (
        run_folder.save_or_compare(str(tmp_path), "config.yaml", {"model": {"units": 8}}, "a run")
        is None
    )
    filled = {"seed": 42, "model": {"units": 8, "size": 0}}
    assert keep(filled) == filled
    with pytest.raises(UserError, match=r"configuration: model\.size \(0 there, 32 now\)"):
        keep({"seed": 42, "model": {"units": 8, "size": 32}})


DATA = {
    "classes": ["ant", "bee", "cow", "dog"],
    "training_drawings": 40,
    "file_bytes": {"a.parquet": 100, "b.parquet": 200},
}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"classes": ["dog", "cow", "bee", "ant"]},
            r"on other data: classes.0000 \('ant' there, 'dog' now\), classes.0001 .* and 1 more; ",
        ),
        ({"classes": ["ant", "bee", "cow"]}, r"classes.0003 \('dog' there, None now\); use"),
        ({"training_drawings": 41}, r"training_drawings \(40 there, 41 now\); use"),
        (
            {"file_bytes": {"a.parquet": 100, "b.parquet": 201}},
            r"file_bytes.b.parquet \(200 there, 201 now\); use another --name",
        ),
    ],
)
def test_a_run_does_not_go_on_with_other_data_and_says_what_changed(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    def keep(data: dict[str, Any], epochs: int) -> Any:
        return run_folder.save_or_compare(
            str(tmp_path), "run.yaml", {"epochs": epochs}, "a run", data=data, growing=("epochs",)
        )

    assert keep(DATA, 1) is None
    with pytest.raises(UserError, match=message):
        keep(DATA | changes, 2)
    assert keep(DATA, 1) == {"epochs": 1}  # what was refused left nothing


def test_a_run_that_never_said_what_its_data_are_says_it_from_now_on(tmp_path: Path) -> None:
    run_folder.save_or_compare(str(tmp_path), "run.yaml", {"seed": 1}, "a run")
    run_folder.save_or_compare(str(tmp_path), "run.yaml", {"seed": 1}, "a run", data=DATA)
    with pytest.raises(UserError, match="on other data"):
        run_folder.save_or_compare(
            str(tmp_path), "run.yaml", {"seed": 1}, "a run", data={"classes": []}
        )


def test_very_many_files_are_known_by_a_digest() -> None:
    files = {f"{number}.parquet": number for number in range(5000)}
    first, again = run_folder.condensed(files), run_folder.condensed(files | {"7.parquet": 8})
    assert first["count"] == again["count"] == 5000
    assert first != again
