"""The writer of corrupted sets: layout, interruption and resuming."""

import hashlib
import json
import os
import signal

import numpy as np
import pytest

from sdd_eval.data.corruption import writer
from sdd_eval.data.corruption.generated import GeneratedCorruptions
from sdd_eval.data.corruption.writer import write_corrupted
from sdd_eval.data.images import ArrayImages
from sdd_eval.errors import InputError

CHOSEN = ("gaussian_noise", "frost", "jpeg_compression")


def images_of(count=30, name="little", seed=0):
    pixels = np.random.default_rng(seed).integers(0, 256, (count, 3, 8, 8), dtype=np.uint8)
    labels = np.arange(count) % 4
    return ArrayImages(name, pixels, labels, hashlib.sha256(pixels).hexdigest(), "made here")


def labels_file(folder, labels):
    """Return the contents of `labels.npy` for images with these labels."""
    pixels = np.zeros((len(labels), 1, 2, 2), np.uint8)
    images = ArrayImages("labelled", pixels, np.asarray(labels), "f" * 64, "made here")
    write_corrupted(images, folder, corruptions=CHOSEN[:1])
    return np.load(folder / "labels.npy")


def test_labels_are_bytes_unless_there_are_more_than_256_classes(tmp_path):
    few = labels_file(tmp_path / "few", [255, 0, 7])
    assert few.dtype == np.uint8
    assert few.tolist() == [255, 0, 7] * 5
    many = labels_file(tmp_path / "many", [256, 0, 7])
    assert many.dtype == np.int64
    assert many.tolist() == [256, 0, 7] * 5


class Counting:
    """A listener that counts and calls a function at a given count."""

    def __init__(self, at=None, act=None):
        self.total, self.done, self.at, self.act = 0, 0, at, act

    def start(self, label, total):
        self.total += total

    def advance(self, units=1, note=""):
        self.done += units
        if self.at is not None and self.done >= self.at:
            self.act()


class Stopped(Exception):
    pass


def stop():
    raise Stopped


@pytest.fixture
def small_blocks(monkeypatch):
    """Seven images of 8 × 8 are a block, so that a file has many."""
    monkeypatch.setattr(writer, "_BLOCK", 7 * 192)


def contents(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_the_layout_is_cifar_cs_with_a_record(tmp_path, small_blocks):
    images, progress = images_of(), Counting()
    note = write_corrupted(images, tmp_path, corruptions=CHOSEN, seed=5, progress=progress)
    assert sorted(contents(tmp_path)) == sorted(
        [*(f"{name}.npy" for name in CHOSEN), "labels.npy", "regenerated.json"]
    )
    assert np.array_equal(np.load(tmp_path / "labels.npy"), np.tile(images.labels, 5))
    assert progress.done == progress.total == 3 * 5 * 30
    on_the_fly = GeneratedCorruptions(images, seed=5)
    for corruption in CHOSEN:
        rows = np.load(tmp_path / f"{corruption}.npy")
        assert rows.shape == (150, 8, 8, 3)
        assert rows.dtype == np.uint8
        for severity in range(1, 6):
            (batch,) = on_the_fly.cell(corruption, severity).batches(30)
            written = rows[(severity - 1) * 30 : severity * 30]
            assert np.array_equal(written.transpose(0, 3, 1, 2), batch.numpy())
        digest = hashlib.sha256((tmp_path / f"{corruption}.npy").read_bytes()).hexdigest()
        assert note.files[f"{corruption}.npy"] == digest
    stored = json.loads((tmp_path / "regenerated.json").read_text())
    assert stored["seed"] == 5
    assert stored["frost"] == "synthetic"
    assert stored["source"]["name"] == "little"
    assert stored["source"]["origin"] == "made here"
    assert stored["source"]["fingerprint"] == images.fingerprint


def test_two_processes_write_the_same_bytes_as_one(tmp_path, small_blocks):
    photo = np.random.default_rng(0).integers(0, 256, (220, 220, 3), dtype=np.uint8)
    for workers in (1, 2):
        folder = tmp_path / str(workers)
        write_corrupted(
            images_of(), folder, corruptions=CHOSEN, frost_photos=[photo], workers=workers
        )
    assert contents(tmp_path / "1") == contents(tmp_path / "2")
    assert json.loads((tmp_path / "2" / "regenerated.json").read_text())["frost"] == "photographs"


@pytest.mark.parametrize("at", [1, 37, 150, 151, 310, 449, 450])
def test_an_interrupted_writer_resumes_to_the_same_bytes(tmp_path, small_blocks, at):
    write_corrupted(images_of(), tmp_path / "whole", corruptions=CHOSEN)
    with pytest.raises(Stopped):
        write_corrupted(
            images_of(), tmp_path / "part", corruptions=CHOSEN, progress=Counting(at, stop)
        )
    for path in (tmp_path / "part").glob("[!.l]*.npy"):
        assert len(np.load(path)) == 150
    progress = Counting()
    write_corrupted(images_of(), tmp_path / "part", corruptions=CHOSEN, progress=progress)
    assert contents(tmp_path / "part") == contents(tmp_path / "whole")
    assert progress.done == progress.total


KILLED = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, {tests!r})
import test_writer as tests
tests.writer._BLOCK = 7 * 192
listener = tests.Counting({at}, lambda: os.kill(os.getpid(), signal.SIGKILL))
tests.write_corrupted(
    tests.images_of(), Path({folder!r}), corruptions=tests.CHOSEN, progress=listener
)
"""


def test_sigkill_loses_no_complete_block(tmp_path, small_blocks, start_process):
    script = KILLED.format(tests=os.path.dirname(__file__), at=200, folder=str(tmp_path / "part"))
    killed = start_process(script)
    killed.join(timeout=120)
    assert killed.exitcode == -signal.SIGKILL
    assert (tmp_path / "part" / "gaussian_noise.npy").exists()
    assert not (tmp_path / "part" / "frost.npy").exists()
    assert (tmp_path / "part" / ".frost.npy.part").exists()
    write_corrupted(images_of(), tmp_path / "whole", corruptions=CHOSEN)
    write_corrupted(images_of(), tmp_path / "part", corruptions=CHOSEN)
    left = {k: v for k, v in contents(tmp_path / "part").items() if not k.endswith(".lock")}
    assert left == contents(tmp_path / "whole")


def test_complete_rows_are_not_rendered_again(tmp_path, small_blocks, monkeypatch):
    images = images_of()
    with pytest.raises(Stopped):
        write_corrupted(images, tmp_path, corruptions=CHOSEN, progress=Counting(200, stop))
    rendered = []
    jobs = writer._jobs

    def noting(*arguments):
        for job in jobs(*arguments):
            rendered.append(len(job["images"]))
            yield job

    monkeypatch.setattr(writer, "_jobs", noting)
    write_corrupted(images, tmp_path, corruptions=CHOSEN)
    assert 0 < sum(rendered) < 3 * 150 - 180
    rendered.clear()
    write_corrupted(images, tmp_path, corruptions=CHOSEN)
    assert rendered == []


def test_an_incomplete_row_and_a_foreign_partial_file_are_repaired(tmp_path, small_blocks):
    write_corrupted(images_of(), tmp_path / "whole", corruptions=CHOSEN[:1])
    part = tmp_path / "part" / ".gaussian_noise.npy.part"
    part.parent.mkdir()
    whole_bytes = (tmp_path / "whole" / "gaussian_noise.npy").read_bytes()
    for torn in (whole_bytes[:5000], whole_bytes[:50], b"x" * 9000, whole_bytes):
        part.write_bytes(torn)
        write_corrupted(images_of(), part.parent, corruptions=CHOSEN[:1])
        assert (part.parent / "gaussian_noise.npy").read_bytes() == whole_bytes
        (part.parent / "gaussian_noise.npy").unlink()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": 1}, "made with seed 0, not 1"),
        ({"images": images_of(seed=1)}, "made with source's content"),
        ({"images": images_of(name="other")}, "made with source little, not other"),
        ({"frost_photos": [np.zeros((300, 300, 3), np.uint8)]}, "frost synthetic"),
    ],
)
def test_a_folder_written_with_other_inputs_is_refused(tmp_path, change, message):
    write_corrupted(images_of(), tmp_path, corruptions=CHOSEN[:1])
    before = contents(tmp_path)
    settings = {"images": images_of(), "corruptions": CHOSEN, **change}
    with pytest.raises(InputError, match=message):
        write_corrupted(settings.pop("images"), tmp_path, **settings)
    assert contents(tmp_path) == before


def test_a_folder_of_another_recipe_version_is_refused(tmp_path):
    write_corrupted(images_of(), tmp_path, corruptions=CHOSEN[:1])
    marker = tmp_path / "regenerated.json"
    stored = json.loads(marker.read_text())
    marker.write_text(json.dumps({**stored, "recipe": 0}))
    with pytest.raises(InputError, match="recipe version 0"):
        write_corrupted(images_of(), tmp_path, corruptions=CHOSEN)


def test_official_files_are_never_overwritten(tmp_path):
    np.save(tmp_path / "fog.npy", np.zeros((5, 8, 8, 3), np.uint8))
    before = contents(tmp_path)
    with pytest.raises(InputError, match=r"fog\.npy but no regenerated\.json"):
        write_corrupted(images_of(), tmp_path, corruptions=CHOSEN)
    assert contents(tmp_path) == before


def test_a_truncated_file_is_refused(tmp_path):
    write_corrupted(images_of(), tmp_path, corruptions=CHOSEN[:1])
    path = tmp_path / "gaussian_noise.npy"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(InputError, match=r"gaussian_noise\.npy has the wrong size"):
        write_corrupted(images_of(), tmp_path, corruptions=CHOSEN)


def test_unknown_corruptions_and_images_without_labels_are_refused(tmp_path):
    with pytest.raises(InputError, match="unknown corruption 'rain'"):
        write_corrupted(images_of(), tmp_path, corruptions=("fog", "rain"))
    pixels = np.zeros((2, 3, 8, 8), np.uint8)
    with pytest.raises(InputError, match="has no labels"):
        write_corrupted(ArrayImages("bare", pixels, None, "f", "made here"), tmp_path)
    assert contents(tmp_path) == {}


FULL = """
import resource, sys
from pathlib import Path
sys.path.insert(0, {tests!r})
import test_writer as tests
resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000))
try:
    tests.write_corrupted(tests.images_of(), Path({folder!r}), corruptions=tests.CHOSEN)
except tests.InputError as error:
    print(error)
"""


def test_a_full_disk_is_a_one_line_error_without_data_loss(tmp_path, start_process):
    folder = tmp_path / "full"
    script = FULL.format(tests=os.path.dirname(__file__), folder=str(folder))
    ended = start_process(script, output=str(tmp_path / "output"))
    ended.join(timeout=120)
    assert ended.exitcode == 0
    (line,) = (tmp_path / "output").read_text().splitlines()
    assert line.startswith(f"cannot write {folder / 'gaussian_noise.npy'}")
    write_corrupted(images_of(), folder, corruptions=CHOSEN)
    write_corrupted(images_of(), tmp_path / "whole", corruptions=CHOSEN)
    assert contents(folder) == contents(tmp_path / "whole")


def test_a_file_where_the_folder_should_be_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot write"):
        write_corrupted(images_of(), tmp_path / "file", corruptions=CHOSEN)


def test_a_failed_rename_is_a_one_line_error_and_the_next_call_resumes(tmp_path, monkeypatch):
    def failing(source, target):
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(writer.os, "replace", failing)
        with pytest.raises(InputError, match="cannot write"):
            write_corrupted(images_of(), tmp_path, corruptions=CHOSEN[:1])
    write_corrupted(images_of(), tmp_path, corruptions=CHOSEN[:1])
    assert len(np.load(tmp_path / "gaussian_noise.npy")) == 150
