"""Files of runs that are damaged in any way: one run is lost, and named in one line."""

import copy
import json
import random
import shutil
from pathlib import Path

import numpy as np
import pytest

from sdd_eval.cli import exit_code
from sdd_eval.errors import InputError
from sdd_eval.report.runs import read_runs
from sdd_eval.store import INDEX, DamagedFile, StoredArrays, read_run

STUDY = Path(__file__).parent.parent / "fixtures/format_1/reports/format-1"
RUNS = sorted(path for path in STUDY.glob("runs/*/*.json"))
ACCURACY = next(path for path in RUNS if path.name.startswith("accuracy"))
#: Values that a damaged or hand-written file may hold in any place.
VALUES = (
    *(None, True, -1, 0, 0.5, 1e300, -1e300, 10**30, float("nan"), float("inf")),
    *("", "\ud800", "x" * 100_000, "a\x00b", "../../x", "a\nb"),
    *([], {}, [1], {"a": 1}, [[["a"]]], {"": {"": {}}}),
)
#: The longest message, in characters.
LINE = 700


def places(value, place=()):
    """Yield the keys that lead to every value inside of plain values."""
    yield place
    if isinstance(value, dict):
        for key in value:
            yield from places(value[key], (*place, key))
    elif isinstance(value, list):
        for index in range(min(len(value), 2)):
            yield from places(value[index], (*place, index))


def replaced(value, place, new):
    if not place:
        return new
    result = copy.deepcopy(value)
    parent = result
    for key in place[:-1]:
        parent = parent[key]
    parent[place[-1]] = new
    return result


@pytest.mark.parametrize("path", RUNS[::3], ids=lambda path: path.stem)
def test_a_wrong_value_anywhere_is_read_or_refused_in_one_line(path, tmp_path):
    generator, content = random.Random(path.stem), json.loads(path.read_text())
    target, refused = tmp_path / "run.json", 0
    cases = [(place, value) for place in places(content) for value in VALUES]
    for place, value in generator.sample(cases, 120):
        target.write_text(json.dumps(replaced(content, place, value)))
        try:
            read_run(target)
        except InputError as error:
            refused += 1
            message = str(error)
            message.encode()  # no lone surrogate
            assert len(message.splitlines()) == 1, (place, value)
            assert str(target) in message
            assert len(message) < LINE + len(str(target)), (place, value)
    assert 0 < refused < 120


NESTED = "[" * 100_000


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is not JSON: Input data was truncated"),
        (b"\xff\xfe\x00", "is not JSON"),
        (b'{"checkpoint": "\\ud800"}', "is not JSON"),
        (b"null", "Run must be a JSON object"),
        (b"1e999", "Number out of range"),
        (NESTED.encode(), "is nested too deeply"),
        (("{" + '"a":{' * 9_999).encode(), "is nested too deeply"),
    ],
)
def test_a_file_that_is_no_run_is_named_with_the_reason(content, message, tmp_path):
    (tmp_path / "run.json").write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_run(tmp_path / "run.json")


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (("measurements", 0, "value"), 1e300, "'accuracy' 1e\\+300"),
        (("measurements", 0, "low"), 1.0, "'accuracy' with the interval"),
        (("measurements", 0, "level"), 95, "an interval at level 95"),
        (("measurements", 0, "at"), {"a": [1]}, "'accuracy' at {'a': \\[1\\]}, of which one is no"),
        (("measurements", 0, "protocol"), "x" * 100_000, "protocol is 'xxx.* …, not"),
        (("n",), 10**15, "10{15} images with limit"),
        (("limit",), 0, "images with limit 0"),
        (("settings",), {"a": json.loads("[" * 60 + "]" * 60)}, "nested more than 30 times"),
        (("provenance", "data", "digits", "images"), -4, "-4 images of digits in its provenance"),
        (("provenance", "seconds"), -1.5, "-1.5 seconds in its provenance"),
        (("provenance", "card", "dataset"), [1], "a Recipe whose dataset is \\[1\\]"),
        (("provenance", "model", "classes"), "ten", "a ModelSpec whose classes is 'ten'"),
    ],
)
def test_values_that_no_evaluation_writes_are_refused(place, value, message, tmp_path):
    content = json.loads(ACCURACY.read_text())
    (tmp_path / "run.json").write_text(json.dumps(replaced(content, place, value)))
    with pytest.raises(InputError, match=message):
        read_run(tmp_path / "run.json")


@pytest.mark.parametrize("version", [99, 3, 0, True, "2", None])
def test_a_run_of_an_unknown_format_is_refused_whatever_else_it_holds(version, tmp_path):
    (tmp_path / "run.json").write_text(json.dumps({"format": version, "numbers": {"a": 1}}))
    with pytest.raises(
        InputError, match=r"run\.json has format \S+; this version reads format 1 or 2"
    ):
        read_run(tmp_path / "run.json")


def test_a_pipe_in_the_place_of_a_run_is_refused_without_waiting(tmp_path):
    import os

    os.mkfifo(tmp_path / "run.json")
    with pytest.raises(InputError, match=r"run\.json is not a file"):
        read_run(tmp_path / "run.json")


def huge(path):
    """Write an array whose header claims more memory than any machine has."""
    import io
    import zipfile

    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "<f8", "fortran_order": False, "shape": (10**15,)}
    )
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("0.npy", header.getvalue())
        index = io.BytesIO()
        entry = {"name": "labels", "axes": ["images"], "at": {}, "labels": {}}
        np.save(index, np.array(json.dumps({"arrays": [entry], "facts": {}})))
        file.writestr(f"{INDEX}.npy", index.getvalue())


def indexed(content):
    """Return a writer of a file of one array with an index of any content."""

    def write(path):
        text = content if isinstance(content, str) else json.dumps(content)
        np.savez(path, **{"0": np.zeros((2, 2)), INDEX: np.array(text)})

    return write


def single_array(path):
    with path.open("wb") as file:
        np.save(file, np.zeros(3))


ENTRY = {"name": "labels", "axes": ["images", "classes"], "at": {}, "labels": {}}


@pytest.mark.parametrize(
    "write",
    [
        huge,
        indexed("{"),
        indexed([1]),
        indexed({"arrays": 5, "facts": {}}),
        indexed({"arrays": [{"name": "labels"}], "facts": {}}),
        indexed({"arrays": [{**ENTRY, "axes": 5}], "facts": {}}),
        indexed({"arrays": [{**ENTRY, "axes": ["images"]}], "facts": {}}),
        indexed({"arrays": [ENTRY, ENTRY], "facts": {}}),
        indexed({"arrays": [ENTRY, {**ENTRY, "name": "b"}], "facts": {}}),
        indexed(NESTED),
        lambda path: path.write_bytes(b"PK\x03\x04"),
        single_array,
        lambda path: path.write_bytes(ACCURACY.with_suffix(".npz").read_bytes()[:200]),
    ],
)
def test_a_damaged_file_of_arrays_is_refused_by_name(write, tmp_path):
    path = tmp_path / "run.npz"
    write(path)
    with pytest.raises(InputError, match=r"run\.npz"):  # noqa: PT012
        for entry in StoredArrays(path, "accuracy").entries:
            entry.read()


@pytest.fixture
def study(tmp_path):
    """Return a study of two networks, some files of which are damaged."""
    shutil.copytree(STUDY, tmp_path / "s")
    one = min((tmp_path / "s/runs").iterdir())
    (one / "accuracy-cut.json").write_text('{"a":')
    (one / "accuracy-nested.json").write_text(NESTED)
    (arrays,) = one.glob("calibration*.npz")
    arrays.write_bytes(arrays.read_bytes()[:500])
    return tmp_path / "s"


def test_a_report_reads_the_other_runs_and_warns_of_damaged_ones(study):
    (study / "study.json").write_text("{")
    with pytest.warns(DamagedFile) as warned:
        runs = read_runs([study])
    assert len(runs.errors) == 3
    assert len(runs.runs) == len(RUNS)
    left_out = [str(one.message) for one in warned]
    assert [text.rpartition("; ")[2] for text in left_out] == [
        *["it is left out"] * 3,
        "figures leave it out",
    ]
    assert "study.json" in left_out[0]
    assert runs.without_arrays == (left_out[3].partition(";")[0],)
    of_calibration = [one.run for one in runs.runs if one.run.evaluator == "calibration"]
    assert [len(run.arrays) > 0 for run in of_calibration].count(False) == 1


def test_a_comparison_uses_the_other_runs_and_names_damaged_ones(study, capsys):
    names = sorted(path.name for path in (study / "runs").iterdir())
    flags = ["--study", "s", "--reports", str(study.parent), "--no-figures"]
    with pytest.warns(DamagedFile, match=r"accuracy-\w+.json is .*; it is left out"):
        assert exit_code(["compare", *names, *flags]) == 0
    output = capsys.readouterr().out
    assert "accuracy" in output
    (line,) = (line for line in output.splitlines() if line.startswith("not tested: calibration"))
    assert "cannot read" in line
