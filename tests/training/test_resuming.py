"""A training killed at any moment resumes to the weights of an uninterrupted one."""

import dataclasses
import json
import resource
import signal

import numpy as np
import pytest
import torch

from sdd_eval import records
from sdd_eval.errors import InputError
from sdd_eval.training.train import train

CHILD = """
import json, os, pathlib, signal, sys
import numpy as np, torch
from sdd_eval.data.images import ArrayImages
from sdd_eval.records import Recipe, decode
from sdd_eval.training.data.training_data import TrainingData
from sdd_eval.training.train import train

folder, moment, recipe = pathlib.Path(sys.argv[1]), sys.argv[2], json.loads(sys.argv[3])
data = np.load(folder / "data.npz")
sets = [
    ArrayImages("tiny", data[s + "_images"], data[s + "_labels"], str(data[s + "_print"]), "")
    for s in ("train", "test")
]
signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background ignores it
die = lambda: os.kill(os.getpid(), signal.SIGINT if moment == "sigint" else signal.SIGKILL)

class CountedSgd(torch.optim.SGD):
    steps = 0
    def step(self, *args):
        super().step(*args)
        CountedSgd.steps += 1
        if moment in ("batch", "sigint") and CountedSgd.steps == 7:  # 5 steps an epoch
            die()

torch.optim.SGD = CountedSgd
save, replace, unlink, saves = torch.save, os.replace, pathlib.Path.unlink, []

def killing_save(content, file):
    saves.append(1)
    if moment == "state" and len(saves) == 2:
        file.write(b"PK half a state")
        file.flush()
        die()
    save(content, file)

def killing_replace(source, target):
    if pathlib.Path(target).name == moment:
        die()
    replace(source, target)

def killing_unlink(path, **options):
    if path.name == "state.pt" and moment == "clearing up":
        die()
    unlink(path, **options)

torch.save, os.replace, pathlib.Path.unlink = killing_save, killing_replace, killing_unlink
try:
    train(
        decode(Recipe, recipe), folder, name="tiny", device="cpu", threads=1,
        data=lambda: TrainingData(*sets, (0.4,), (0.25,)),
    )
except KeyboardInterrupt:
    sys.exit(130)
"""
INTERRUPTED = 130


@pytest.fixture(scope="module")
def reference(data, tmp_path_factory):
    """Return recipe and weights of an uninterrupted training."""
    recipe = records.Recipe(
        dataset="tiny", arch="small_cnn", epochs=3, batch_size=20, lr=0.05, sd_dropout=0.5
    )
    folder = tmp_path_factory.mktemp("reference") / "tiny"
    train(recipe, folder.parent, name=folder.name, data=lambda: data, device="cpu", threads=1)
    return recipe, (folder / "weights.safetensors").read_bytes()


def interrupted(folder, data, recipe, moment, start_process):
    """Run a training in a process that exits at a given moment; return its exit code."""
    arrays = {}
    for name, images in (("train", data.train), ("test", data.test)):
        arrays[f"{name}_images"], arrays[f"{name}_labels"] = images.images, images.labels
        arrays[f"{name}_print"] = np.array(images.fingerprint)
    np.savez(folder / "data.npz", **arrays)
    process = start_process(CHILD, folder, moment, json.dumps(records.encode(recipe)))
    process.join(timeout=120)
    return process.exitcode


@pytest.mark.parametrize(
    ("moment", "epochs_before"),
    [
        ("batch", 1),
        ("state", 1),
        ("weights.safetensors", 3),
        ("card.json", 3),
        ("clearing up", 3),
        ("sigint", 1),
    ],
)
def test_a_training_killed_at_any_moment_resumes_to_the_same_weights(
    moment, epochs_before, reference, data, tmp_path, start_process
):
    recipe, weights = reference
    folder = tmp_path / "tiny"
    code = interrupted(tmp_path, data, recipe, moment, start_process)
    assert code == (INTERRUPTED if moment == "sigint" else -signal.SIGKILL)
    assert (folder / "card.json").exists() == (moment == "clearing up")
    state = folder / "state.pt"
    epochs = torch.load(state, weights_only=True)["epoch"] if state.exists() else 0
    assert epochs == epochs_before

    epochs_done = []
    card = train(
        recipe,
        folder.parent,
        name=folder.name,
        data=lambda: data,
        device="cpu",
        threads=1,
        progress=Epochs(epochs_done),
    )
    assert (folder / "weights.safetensors").read_bytes() == weights
    assert len(epochs_done) == 3 - epochs_before
    assert sorted(path.name for path in folder.iterdir()) == [
        "card.json",
        "history.csv",
        "weights.safetensors",
    ]
    assert len((folder / "history.csv").read_text().splitlines()) == 4
    assert card.provenance.reproducible.startswith("bit for bit")


class Epochs:
    """Records the trained epochs."""

    def __init__(self, done):
        self.done = done

    def start(self, label, total):
        pass

    def advance(self, units=1, note=""):
        if note:
            self.done.append(note)


class Interrupter(Epochs):
    """Progress that raises KeyboardInterrupt after a number of images."""

    def __init__(self, images):
        self.left = images

    def advance(self, units=1, note=""):
        self.left -= units
        if self.left < 0:
            raise KeyboardInterrupt


def after_one_epoch(data, recipe, folder, **options):
    with pytest.raises(KeyboardInterrupt):
        train(
            recipe,
            folder.parent,
            name=folder.name,
            data=lambda: data,
            device="cpu",
            progress=Interrupter(110),
            **options,
        )
    assert (folder / "state.pt").exists()


def test_resuming_restores_the_number_of_threads(reference, data, tmp_path):
    recipe, weights = reference
    folder = tmp_path / "tiny"
    after_one_epoch(data, recipe, folder, threads=1)
    card = train(
        recipe, folder.parent, name=folder.name, data=lambda: data, device="cpu", threads=2
    )
    assert card.provenance.threads == 1
    assert (folder / "weights.safetensors").read_bytes() == weights


def test_resuming_with_another_recipe_or_other_images_is_refused(reference, data, tmp_path):
    recipe, _ = reference
    folder = tmp_path / "tiny"
    after_one_epoch(data, recipe, folder)
    with pytest.raises(InputError, match="epochs is 3 there, 5 here"):
        train(
            dataclasses.replace(recipe, epochs=5),
            folder.parent,
            name=folder.name,
            data=lambda: data,
            device="cpu",
        )
    other = dataclasses.replace(data, train=data.test)
    with pytest.raises(InputError, match="begun on other images of tiny"):
        train(recipe, folder.parent, name=folder.name, data=lambda: other, device="cpu")
    card = train(
        recipe, folder.parent, name=folder.name, data=lambda: other, device="cpu", overwrite=True
    )
    assert card.provenance.data_fingerprint == other.train.fingerprint
    assert len((folder / "history.csv").read_text().splitlines()) == 1 + recipe.epochs


def test_a_damaged_state_is_refused_and_overwrite_starts_again(reference, data, tmp_path):
    recipe, weights = reference
    folder = tmp_path / "tiny"
    after_one_epoch(data, recipe, folder, threads=1)
    (folder / "state.pt").write_bytes((folder / "state.pt").read_bytes()[:1000])
    with pytest.raises(InputError, match="is not a readable training state"):
        train(recipe, folder.parent, name=folder.name, data=lambda: data, device="cpu")
    train(
        recipe,
        folder.parent,
        name=folder.name,
        data=lambda: data,
        device="cpu",
        threads=1,
        overwrite=True,
    )
    assert (folder / "weights.safetensors").read_bytes() == weights


def test_a_full_disk_gives_one_line_and_leaves_the_epoch_before(reference, data, tmp_path):
    recipe, weights = reference
    folder = tmp_path / "tiny"
    after_one_epoch(data, recipe, folder, threads=1)
    before = (folder / "state.pt").read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    signals = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) // 2, limits[1]))
    try:
        with pytest.raises(InputError, match=r"cannot write .*state\.pt: File too large"):
            train(
                recipe,
                folder.parent,
                name=folder.name,
                data=lambda: data,
                device="cpu",
                threads=1,
            )
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, signals)
    assert not list(folder.glob(".*.part"))
    assert (folder / "state.pt").read_bytes() == before
    train(recipe, folder.parent, name=folder.name, data=lambda: data, device="cpu", threads=1)
    assert (folder / "weights.safetensors").read_bytes() == weights
