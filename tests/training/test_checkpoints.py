import dataclasses
import hashlib
import json
import os
import sys
from collections import Counter

import pytest
import torch

from sdd_eval import plugins, store
from sdd_eval.checkpoints.checkpoint import load, write_weights
from sdd_eval.checkpoints.folder import read_card
from sdd_eval.checkpoints.history import gradient_study
from sdd_eval.checkpoints.state import read_state
from sdd_eval.cli import exit_code
from sdd_eval.errors import InputError
from sdd_eval.evaluation import Request, evaluate_checkpoint
from sdd_eval.models.build import build
from sdd_eval.models.foreign import source_sha256
from sdd_eval.records import Card, ModelSpec, Recipe, encode

SPEC = ModelSpec("small_cnn", 10, (0.4,), (0.2,), 8)


@pytest.fixture
def folder(tmp_path):
    """Return a checkpoint with initial weights."""
    torch.manual_seed(0)
    save(tmp_path, SPEC, build(SPEC))
    return tmp_path


def save(folder, spec, network):
    card = Card("fresh", spec, None, {}, write_weights(folder, network))
    store.write_record(folder / "card.json", card)


def with_card(folder, **changes):
    card = dataclasses.replace(read_card(folder), **changes)
    store.write_record(folder / "card.json", card)


def test_a_loaded_network_equals_the_written_one(tmp_path):
    network = build(SPEC)
    with torch.no_grad():
        network(torch.rand(4, 1, 8, 8))  # moves the running statistics, which travel too
    network.eval()
    save(tmp_path, SPEC, network)
    pixels = torch.rand(3, 1, 8, 8)
    assert torch.equal(load(tmp_path)(pixels), network(pixels))


def test_loading_does_not_change_the_random_state(folder):
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    load(folder)
    assert torch.equal(torch.rand(2), expected)


def test_an_evaluation_reads_and_hashes_the_card_and_the_weights_once(
    folder, tmp_path, monkeypatch
):
    opened, hashed = Counter(), Counter()
    files = [str(folder / name) for name in ("card.json", "weights.safetensors")]
    weights = (folder / "weights.safetensors").read_bytes()
    plain_sha256 = hashlib.sha256

    def counted_sha256(content=b"", **options):
        hashed["weights"] += content == weights
        return plain_sha256(content, **options)

    def count(event, arguments):
        if event == "open" and str(arguments[0]) in files:
            opened[str(arguments[0])] += 1

    monkeypatch.setattr(hashlib, "sha256", counted_sha256)
    sys.addaudithook(count)  # sees every file that Python opens; it cannot be removed
    command = ["accuracy", str(folder), "--dataset", "digits", "--limit", "20"]
    assert exit_code([*command, "--cache", "off", "--reports", str(tmp_path / "reports")]) == 0
    assert [opened[file] for file in files] == [1, 1]
    assert hashed["weights"] == 1


def test_a_folder_without_a_card_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"is not a checkpoint: it has no card\.json"):
        load(tmp_path / "nowhere")


def test_a_card_of_a_later_format_is_refused(folder):
    with_card(folder, format=2)
    with pytest.raises(InputError, match="has format 2; this version reads format 1"):
        load(folder)


def test_a_card_that_is_not_json_is_refused(folder):
    (folder / "card.json").write_text("{")
    with pytest.raises(InputError, match="is not JSON"):
        load(folder)


def damaged(card, **changes):
    """Return the text of a card with other values."""
    return json.dumps({**card, **changes}).encode("utf-8", "surrogatepass")


DAMAGE = {
    "classes 10^9": lambda c: damaged(c, model={**c["model"], "classes": 10**9}),
    "classes 10^40": lambda c: damaged(c, model={**c["model"], "classes": 10**40}),
    "classes 10^400": lambda c: damaged(c, model={**c["model"], "classes": 10**400}),
    "a text for a number": lambda c: damaged(c, model={**c["model"], "classes": "ten"}),
    "a number for a mapping": lambda c: damaged(c, model=3),
    "an image of 10^9 pixels": lambda c: damaged(c, model={**c["model"], "image_size": 10**9}),
    "a width of 10^12": lambda c: damaged(c, model={**c["model"], "options": {"width": 10**12}}),
    "a width of 2^24": lambda c: damaged(c, model={**c["model"], "options": {"width": 2**24}}),
    "layers without end": lambda c: damaged(
        c, model={**c["model"], "options": {"hidden_layers": 10**9}}
    ),
    "a std of 1e300": lambda c: damaged(c, model={**c["model"], "std": [1e300]}),
    "a mean of -1e300": lambda c: damaged(c, model={**c["model"], "mean": [-1e300]}),
    "an infinite number": lambda c: damaged(c, model={**c["model"], "std": [1]}).replace(
        b"[1]", b"[1e999]"
    ),
    "deep nesting": lambda c: b"[" * 100_000 + b"]" * 100_000,
    "deep options": lambda c: damaged(c, model={**c["model"], "options": {"x": 0}}).replace(
        b'"x": 0', b'"x": ' + b"[" * 50_000 + b"]" * 50_000
    ),
    "a lone surrogate": lambda c: damaged(c, model={**c["model"], "arch": "\ud800"}),
    "bytes that are not UTF-8": lambda c: b'{"name": "\xff"}',
    "zeros": lambda c: bytes(100),
    "nothing": lambda c: b"",
    "null": lambda c: b"null",
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_card_costs_one_line_and_no_memory(folder, damage, capsys):
    card = json.loads((folder / "card.json").read_text())
    (folder / "card.json").write_bytes(DAMAGE[damage](card))
    assert exit_code(["accuracy", str(folder), "--dataset", "digits", "--limit", "20"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert len(error) < 1000


STATES = {
    "an epoch beyond the last": {"epoch": 10**9},
    "an epoch before the first": {"epoch": -1},
    "a text for a number": {"threads": "two"},
    "a number for a sequence": {"devices": 3},
    "a history of numbers": {"history": (1, 2)},
    "an unknown value": {"colour": "red"},
}


@pytest.mark.parametrize("damage", STATES)
def test_a_damaged_training_state_is_refused(tmp_path, damage):
    content = {"recipe": encode(Recipe()), "fingerprint": "f", "threads": 1, "devices": ()}
    torch.save({**content, "epoch": 3}, tmp_path / "state.pt")
    assert read_state(tmp_path, Recipe).epoch == 3
    torch.save({**content, **STATES[damage]}, tmp_path / "state.pt")
    with pytest.raises(InputError, match="not a readable training state; use --overwrite"):
        read_state(tmp_path, Recipe)


@pytest.mark.parametrize("text", ["nan", "1e999", "x"])
def test_a_gradient_study_holds_finite_numbers_only(tmp_path, text):
    (tmp_path / "history.csv").write_text(f"epoch,kl_cosine\n1,{text}\n")
    with pytest.raises(InputError, match=r"cannot read .*history\.csv"):
        gradient_study(tmp_path / "history.csv")


def test_the_error_about_missing_weights_names_the_file(folder):
    (folder / "weights.safetensors").unlink()
    with pytest.raises(InputError, match=r"cannot read .*weights\.safetensors"):
        load(folder)


def test_weights_that_are_a_pipe_are_not_waited_for(folder):
    (folder / "weights.safetensors").unlink()
    os.mkfifo(folder / "weights.safetensors")
    with pytest.raises(InputError, match="not a regular file"):
        load(folder)


@pytest.mark.parametrize("damage", ["truncated", "flipped"])
def test_damaged_weights_are_refused(folder, damage):
    path = folder / "weights.safetensors"
    content = bytearray(path.read_bytes())
    if damage == "truncated":
        del content[-100:]
    else:
        content[-100] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match="truncated or changed") as caught:
        load(folder)
    assert "\n" not in str(caught.value)


def test_weights_that_are_not_safetensors_are_refused_even_with_the_right_hash(folder):
    (folder / "weights.safetensors").write_bytes(b"not weights")
    with_card(folder, weights_sha256=hashlib.sha256(b"not weights").hexdigest())
    with pytest.raises(InputError, match="is not a safetensors file"):
        load(folder)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"classes": 11}, r"2 of another shape: .*weight \(10, 96\) in the file, \(11, 96\)"),
        ({"arch": "resnet8"}, r"the weights: \d+ missing: backbone\.conv1\.weight \(16, 1"),
        (
            {"options": {"hidden_layers": 1}},
            r"4 missing: classifier\.0\.weight .*; 2 left over: classifier\.",
        ),
        (
            {"mean": (0.4,) * 3, "std": (0.2,) * 3},
            r"\(24, 1, 3, 3\) in the file, \(24, 3, 3, 3\) in",
        ),
        ({"arch": "resnet88"}, "unknown arch"),
    ],
)
def test_a_card_that_does_not_match_its_weights_is_refused(folder, changes, message):
    with_card(folder, model=dataclasses.replace(SPEC, **changes))
    with pytest.raises(InputError, match=message) as caught:
        load(folder)
    assert "\n" not in str(caught.value)


def test_unexpected_weights_are_named(folder):
    network = build(SPEC)
    network.spare = torch.nn.Linear(1, 1)
    save(folder, SPEC, network)
    with pytest.raises(
        InputError, match=r"2 left over: spare\.bias \(1,\), spare\.weight \(1, 1\)"
    ):
        load(folder)


def test_a_card_with_an_unknown_field_is_refused(folder):
    card = json.loads((folder / "card.json").read_text())
    (folder / "card.json").write_text(json.dumps({**card, "colour": "red"}))
    with pytest.raises(InputError, match="no field 'colour'"):
        load(folder)


FACTORY = """
from torch import nn

def net(num_classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 12), nn.ReLU(), nn.Linear(12, num_classes))
"""


@pytest.fixture
def with_code(tmp_path):
    """Return a checkpoint whose network is built by a factory in a file."""
    code = tmp_path / "net.py"
    code.write_text(FACTORY)
    spec = dataclasses.replace(SPEC, arch=f"{code}:net")
    network = build(spec, trust_code=True)
    folder = tmp_path / "checkpoints" / "mine"
    provenance = {"code_sha256": source_sha256(spec.arch), "dataset": "digits"}
    card = Card("mine", spec, None, {}, write_weights(folder, network), provenance)
    store.write_record(folder / "card.json", card)
    return folder, code, network


def test_a_card_that_names_code_is_refused_unless_trusted(with_code):
    folder, code, network = with_code
    pixels = torch.rand(3, 1, 8, 8)
    loaded = load(folder, trust_code=True)
    assert torch.equal(loaded(pixels), network.eval()(pixels))
    code.write_text("raise SystemExit('it ran')")
    with pytest.raises(InputError, match=r"net\.py:net' runs code of its own; give --trust-code"):
        load(folder)


def test_code_that_changed_since_the_card_was_written_is_refused(with_code):
    folder, code, _ = with_code
    code.write_text("raise SystemExit('it ran')")
    with pytest.raises(InputError, match="has changed since the card was written"):
        load(folder, trust_code=True)


def test_code_is_refused_even_if_a_run_exists(with_code, tmp_path):
    folder, _, _ = with_code
    evaluator = plugins.load("evaluators", "accuracy")()
    request = Request(evaluator, tmp_path / "study", tmp_path, limit=20, trust_code=True)
    assert evaluate_checkpoint(folder, request).run.n == 20
    with pytest.raises(InputError, match="give --trust-code"):
        evaluate_checkpoint(folder, dataclasses.replace(request, trust_code=False))


def test_commands_with_a_network_refuse_untrusted_code(with_code, monkeypatch, tmp_path, capsys):
    folder, _, _ = with_code
    monkeypatch.chdir(tmp_path)
    for name in sorted({*plugins.names("evaluators")} - {"detection"}):
        assert exit_code([name, str(folder), "--limit", "20"]) == 2, name
        assert "--trust-code" in capsys.readouterr().err
    trained = ["train", "--dataset", "digits", "--standardisation", "digits", "--epochs", "1"]
    trained += ["--augmentation", "none", "--name", "own", "--arch", "net.py:net"]
    assert exit_code(trained) == 2
    assert "--trust-code" in capsys.readouterr().err
    assert exit_code([*trained, "--trust-code"]) == 0
    assert exit_code(["accuracy", "own", "--trust-code"]) == 0
    assert exit_code(["show", "own"]) == 0  # runs nothing
