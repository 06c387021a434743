"""Invalid input gives a one-line error and exit code 2, without traceback or data loss."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import warnings

import numpy as np
import pytest
import torch
from working_folder import NAME, change_card, picture, runs

from sdd_eval import evaluation
from sdd_eval.cli import exit_code, main
from sdd_eval.models.network import Network

TRAIN = "train --dataset digits --arch small_cnn --standardisation digits --name refused"


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("calibraton x", "unknown command 'calibraton'; did you mean 'calibration'?"),
        ("mask_varience x", "unknown command 'mask_varience'; did you mean 'mask-variance'?"),
        (f"calibration {NAME[:-1]}1", f"did you mean '{NAME}'?"),
        ("calibration", "no checkpoint is named"),
        (f"calibration {NAME} --bons 3", "--bons"),
        (f"calibration {NAME} --bins three", "three"),
        (f"calibration {NAME} --bins 0", "bins"),
        (f"accuracy {NAME} --limit 0", "--limit is 0"),
        (f"accuracy {NAME} --batch-size 0", "--batch-size is 0"),
        (f"accuracy {NAME} --study ../up", "--study '../up' is not a valid name"),
        ("train --dataset digits --name ../up", "--name '../up' is not a valid name"),
        ("data corrupt digits --threads 0", "--threads is 0"),
        (f"odin {NAME} --outliers digits", "is the in-distribution test set"),
        (f"accuracy {NAME} --device tpu9", "--device is 'tpu9'"),
        (f"accuracy {NAME} --device meta", "--device is meta, which cannot be used"),
        (f"accuracy {NAME} --threads 0", "--threads is 0"),
        (f"accuracy {NAME} --threads 2000", "--threads is 2000; it must be at most 1,024: more"),
        (
            f"accuracy {NAME} --resamples 10000000",
            "it must be at most 1,000,000: more change",
        ),
        (f"calibration {NAME} --bins 20000", "it must be at most 10,000: with more bins than"),
        (f"ood {NAME} --detectors knnn", "unknown detector 'knnn'; did you mean 'knn'?"),
        (
            "train --dataset digits --hidden-layers 200",
            "--hidden-layers is 200; it must be at",
        ),
        ("train --dataset digits --workers -1", "--workers is -1; it must be 0 or more"),
        (f"accuracy {NAME} --dataset digitz", "unknown data set 'digitz'; did you mean 'digits'?"),
        (f"accuracy {NAME} --dataset cifar100", "sdd-eval data get cifar100"),
        (f"accuracy {NAME} --dataset uniform", "has no labels"),
        (f"fgsm {NAME} --epsilon -0.1", "-0.1"),
        (f"fgsm {NAME} --variants autors", "autors"),
        (f"odin {NAME} --temperature 0", "temperature"),
        (f"odin {NAME} --outliers isun", "sdd-eval data get isun"),
        (f"odin {NAME} --outliers uniform uniform", "names a set twice"),
        (f"corruption {NAME} --corrupted cifar100_c", "cifar100_c"),
        ("train --dataset digits --arch resnet19", "did you mean 'resnet18'?"),
        ("train --dataset digits --method cee", "unknown method 'cee'; did you mean 'ce'?"),
        ("train --dataset digits --standardisation imagenet", "use --standardisation digits"),
        ("train --dataset digits --sd-dropout -1", "--sd-dropout is -1.0; it must be 0 or more"),
        ("train --dataset digits --drop-rate 1.0", "--drop-rate is 1.0; it must be 0 or more and"),
        ("train --dataset digits --temperature 0", "--temperature is 0.0; it must be above 0"),
        ("train --dataset digits --epochs 0", "--epochs is 0; it must be 1 or more"),
        ("train --dataset digits --weight-decay 1e300", "1e+300; it must be at most 1e+38: larger"),
        (f"accuracy {NAME} --seed -1", "--seed is -1; it must be 0 or more"),
        ("data corrupt digits --seed -1", "--seed is -1; it must be 0 or more"),
        ("train --dataset digits --smoothing 0.2", "--smoothing"),
        (
            "train --dataset digits --method cs-kd --smoothing=0.1",
            "--smoothing is an option of method ls, not of cs_kd, whose options are: --kd-weight,",
        ),
        ("train --dataset digits --kd-weight 1", "not of ce, whose options are: none"),
        ("train --dataset digits --method ddgsd --augmentation none", "which leaves them equal"),
        (f"{TRAIN} --batch-size 5000", "batch_size is 5000, but digits has only 1000 training"),
        (f"{TRAIN} --lr 1e30 --epochs 1", "of epoch 1; try a lower lr"),
        ("train --dataset digits --method ls --smoothing 1", "--smoothing is 1.0"),
        (
            "train --dataset digits --method cs-kd --kd-weight -1",
            "--kd-weight is -1.0; it must be 0",
        ),
        (
            "train --dataset digits --method dml --kd-temperature 0",
            "--kd-temperature is 0.0; it must",
        ),
        ("train --dataset digits --method dropout --rate 1", "rate is 1.0; it must be 0 or more"),
        ("train --dataset digits --method ddgsd --sdd both", "both"),
        ("train --dataset cifar100 --arch resnet8", "sdd-eval data get cifar100"),
        ("report nothing-here", "nothing-here"),
        ("data get nothing-here", "unknown data set 'nothing-here'"),
        ("data add", "sdd-eval data add NAME PATH"),
        ("data add dtd no/such/path", "no/such/path does not exist"),
        ("data corrupt", "no data set is named"),
        ("data lost", "unknown data command 'lost'; did you mean 'list'?"),
        ("show nothing", "unknown checkpoint 'nothing'"),
    ],
)
def test_a_mistake_is_one_line_that_names_it(command, message, refused):
    assert message in refused(command)


def test_an_unknown_checkpoint_is_refused_before_the_first_one_is_evaluated(here, refused):
    assert "unknown checkpoint 'nothing'" in refused(f"accuracy {NAME} nothing")
    assert runs(here) == []


def test_a_folder_that_contains_the_data_root_is_not_linked_into_it(here, refused):
    for number in range(2):
        picture(here / f"images/{'ab'[number]}/{number}.png")
    message = refused(f"data add new {here / 'images'} --data-root {here / 'images/a'}")
    assert "contains the data root; choose another --data-root" in message
    assert [path.name for path in (here / "images/a").iterdir()] == ["0.png"]


def test_a_refused_training_leaves_no_folder(here, refused):
    refused(f"{TRAIN} --batch-size 5000")
    assert [path.name for path in (here / "checkpoints").iterdir()] == [NAME]


def test_the_error_about_device_memory_suggests_a_batch_size(here, refused, monkeypatch):
    def exhausted(self, pixels):
        raise torch.OutOfMemoryError("CUDA out of memory.\nTried to allocate 2.00 GiB")

    monkeypatch.setattr(Network, "features", exhausted)
    message = refused(f"accuracy {NAME} --batch-size 64")
    assert "too little memory for batch_size 64; try 32" in message
    assert runs(here) == []


@pytest.mark.parametrize("mistake", ["--sd-dropout -1", "--method bytot", "--device tpu"])
def test_only_the_first_of_several_processes_reports_a_mistake(
    mistake, refused, monkeypatch, capsys
):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "0")
    assert refused(f"{TRAIN} {mistake}")
    monkeypatch.setenv("RANK", "1")
    assert exit_code([*TRAIN.split(), *mistake.split()]) == 2
    assert capsys.readouterr().err == ""


def test_weights_that_were_cut_are_refused(here, refused):
    weights = here / "checkpoints" / NAME / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    assert "weights.safetensors" in refused(f"accuracy {NAME}")
    assert runs(here) == []


def test_weights_with_a_changed_byte_are_refused_even_if_a_run_exists(here, refused):
    assert exit_code(["accuracy", NAME]) == 0
    weights = here / "checkpoints" / NAME / "weights.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    assert "weights.safetensors" in refused(f"accuracy {NAME}")


def test_a_card_that_does_not_fit_its_weights_is_refused(here, refused):
    change_card(here, lambda model: model.update(classes=11))
    assert "classifier" in refused(f"accuracy {NAME}")


def test_a_card_that_is_not_valid_json_is_refused(here, refused):
    (here / "checkpoints" / NAME / "card.json").write_text("{")
    assert "card.json is not JSON" in refused(f"accuracy {NAME}")


def test_a_card_that_does_not_fit_its_weights_is_refused_even_if_a_run_exists(here, refused):
    assert exit_code(["accuracy", NAME]) == 0
    change_card(here, lambda model: model.update(classes=11))
    assert "classifier" in refused(f"accuracy {NAME}")


def test_images_of_more_classes_than_the_network_has_are_refused(here, refused):
    for index in range(12):
        picture(here / "data" / "many" / f"class{index:02}" / "0.png")
    assert "12 classes, the network predicts 10" in refused(f"accuracy {NAME} --dataset many")


def test_images_of_another_size_are_refused(here, refused):
    random = np.random.default_rng(0)
    import scipy.io

    (here / "data" / "svhn").mkdir()
    content = {
        "X": random.integers(0, 255, (32, 32, 3, 10), dtype=np.uint8),
        "y": np.arange(1, 11, dtype=np.uint8)[:, None],
    }
    scipy.io.savemat(here / "data" / "svhn" / "test_32x32.mat", content)
    message = refused(f"odin {NAME} --outliers svhn")
    assert "3-channel images of 32 pixels" in message
    assert "1 channels and 8 pixels" in message


def test_an_empty_folder_of_outliers_is_refused(here, refused):
    (here / "data" / "empty").mkdir()
    assert "empty" in refused(f"odin {NAME} --outliers empty")


def test_a_broken_image_is_named(here, refused):
    picture(here / "data" / "some" / "a.png")
    (here / "data" / "some" / "b.png").write_bytes(b"\x89PNG but not for long")
    assert "b.png" in refused(f"odin {NAME} --outliers some")
    assert runs(here) == []


def test_a_file_where_the_reports_should_go_is_refused(here, refused):
    (here / "reports").write_text("in the way")
    assert "cannot write reports" in refused(f"accuracy {NAME}")
    assert (here / "reports").read_text() == "in the way"


def test_a_file_where_the_checkpoint_should_go_is_refused(here, refused):
    (here / "taken").write_text("in the way")
    flags = "--dataset digits --arch small_cnn --standardisation digits --checkpoints taken"
    assert "cannot write taken" in refused(f"train {flags}")


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_ctrl_c_and_a_schedulers_signal_exit_with_130_and_one_line(here, name, monkeypatch, capsys):
    def interrupt(*_, **__):
        os.kill(os.getpid(), getattr(signal, name))
        time.sleep(9)

    monkeypatch.setattr(evaluation, "evaluate_checkpoint", interrupt)
    monkeypatch.setattr(warnings, "formatwarning", warnings.formatwarning)  # main() replaces it
    handlers = {item: signal.getsignal(item) for item in (signal.SIGINT, signal.SIGTERM)}
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in the background
    try:
        with warnings.catch_warnings(), pytest.raises(SystemExit) as end:
            main(["accuracy", NAME])
    finally:
        for item, handler in handlers.items():
            signal.signal(item, handler)
    assert end.value.code == 130
    message = capsys.readouterr().err
    assert message == "sdd-eval: interrupted; run the same command again to resume\n"


def test_python_m_sdd_eval_runs_the_command(here):
    command = [sys.executable, "-m", "sdd_eval", "--version"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("sdd-eval 0.")


def test_a_damaged_checkpoint_does_not_keep_others_from_being_evaluated(here, capsys):
    for name in ("damaged", "intact"):
        shutil.copytree(here / "checkpoints" / NAME, here / "checkpoints" / name)
    (here / "checkpoints/damaged/weights.safetensors").write_bytes(b"x")
    assert exit_code(["accuracy", NAME, "damaged", "intact", "--limit", "20", "--json"]) == 2
    captured = capsys.readouterr()
    assert [run["checkpoint"] for run in json.loads(captured.out)] == [NAME, "intact"]
    (line,) = [line for line in captured.err.splitlines() if line.startswith("sdd-eval: ")]
    assert line.startswith("sdd-eval: damaged: ")
