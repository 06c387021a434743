"""Properties of every installed plugin."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from sdd_eval import plugins, store
from sdd_eval.cli.flags import attribute_docs
from sdd_eval.data import catalogue
from sdd_eval.data.dataset import Status
from sdd_eval.data.images import ArrayImages, ImageSet
from sdd_eval.errors import InputError
from sdd_eval.evaluation import evaluate
from sdd_eval.evaluators.evaluator import Intervals
from sdd_eval.evaluators.settings import of_stage
from sdd_eval.models.build import build
from sdd_eval.records import ModelSpec, Recipe

#: Those of classifiers.
EVALUATORS = sorted({*plugins.names("evaluators")} - {"detection"})


@pytest.fixture(scope="module")
def digits_network():
    return build(ModelSpec("small_cnn", 10, (0.3,), (0.4,), 8))


@pytest.fixture(scope="module")
def runs(digits_network, tmp_path_factory):
    """Evaluate every evaluator on twenty digits in memory."""
    root = tmp_path_factory.mktemp("data")
    return {
        name: evaluate(digits_network, name, data="digits", limit=20, root=root)
        for name in EVALUATORS
    }


@pytest.mark.parametrize("name", EVALUATORS)
def test_an_evaluator_is_a_frozen_dataclass_named_as_its_plugin(name):
    kind = plugins.load("evaluators", name)
    assert kind.__dataclass_params__.frozen
    assert kind().name == name
    assert isinstance(kind().version, int)
    assert {f.name for f in dataclasses.fields(kind)} <= attribute_docs(kind).keys()


@pytest.mark.parametrize("name", EVALUATORS)
def test_every_number_of_an_evaluator_has_protocol_and_unit(name, runs):
    run = runs[name]
    assert run.measurements
    places = [(m.metric, repr(sorted(m.at.items()))) for m in run.measurements]
    assert len(set(places)) == len(places)
    for measured in run.measurements:
        assert measured.protocol.text, measured.metric
        assert measured.unit in ("fraction", "nats", "images", "number", "count"), measured
        assert isinstance(measured.value, float), measured
        if measured.unit == "fraction":
            assert 0 <= measured.value <= 1, measured


@pytest.mark.parametrize("name", EVALUATORS)
def test_the_first_axis_of_every_array_is_images(name, runs):
    run = runs[name]
    assert run.n == 20
    assert run.arrays
    for entry in run.arrays.entries:
        assert entry.axes[0] == "images"
        assert len(entry.axes) == entry.read().ndim
        assert len(entry.read()) == run.n, entry
        for axis, labels in entry.labels.items():
            assert len(labels) == entry.read().shape[entry.axes.index(axis)]


@pytest.mark.parametrize("name", EVALUATORS)
def test_scoring_needs_only_the_stored_arrays(name, runs, tmp_path):
    store.write_run(tmp_path / "run.json", runs[name])
    back = store.read_run(tmp_path / "run.json")
    again = tuple(plugins.load("evaluators", name)().score(back.arrays))
    assert again == runs[name].measurements == back.measurements


@pytest.mark.parametrize("name", EVALUATORS)
def test_a_scoring_setting_changes_only_the_metrics_that_use_it(name, runs):
    evaluator = plugins.load("evaluators", name)()
    for setting, value in of_stage(evaluator, "score").items():
        if isinstance(value, Intervals):
            levels = {m.level for m in runs[name].measurements if m.low is not None}
            assert levels == {value.level}
            continue
        shown = [m.at[setting] for m in runs[name].measurements if setting in m.at]
        assert not shown if value == () else value in shown, setting


@pytest.mark.parametrize("name", EVALUATORS)
def test_an_interval_contains_its_number_and_states_its_method(name, runs):
    stated = [m for m in runs[name].measurements if m.interval]
    for measured in stated:
        if measured.low is None:
            assert measured.interval.startswith("none: "), measured
            continue
        assert 0 < measured.level < 1
        assert measured.interval.endswith("same network, new images")
        assert measured.low <= measured.value <= measured.high, measured
        if measured.unit == "fraction":
            assert 0 <= measured.low <= measured.high <= 1, measured


@pytest.mark.parametrize("name", EVALUATORS)
def test_an_evaluator_gives_the_same_numbers_twice(name, runs, digits_network, tmp_path):
    again = evaluate(digits_network, name, data="digits", limit=20, root=tmp_path, batch_size=7)
    # float32 sums differ with the batch in the last bits; no count may
    for old, new in zip(runs[name].measurements, again.measurements, strict=True):
        assert old.metric == new.metric
        assert old.at.keys() == new.at.keys()
        assert new.value == pytest.approx(old.value, abs=1e-5)


@pytest.fixture(scope="module")
def large_images(tmp_path_factory):
    """A data root with a folder of images of 240 × 260 pixels in two classes."""
    from PIL import Image

    root = tmp_path_factory.mktemp("root")
    random = np.random.default_rng(0)
    for index in range(4):
        folder = root / "large" / ("cats", "dogs")[index % 2]
        folder.mkdir(parents=True, exist_ok=True)
        pixels = random.integers(0, 255, (260, 240, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{index}.png")
    return root


@pytest.mark.parametrize("name", EVALUATORS)
def test_an_evaluator_runs_over_a_streamed_folder_of_large_images(name, large_images):
    network = build(ModelSpec("small_cnn", 2, (0.5,) * 3, (0.2,) * 3, 96))
    images = catalogue.load_images("large", large_images, image_size=96, channels=3)
    assert not isinstance(images, ArrayImages)
    run = evaluate(
        network, name, data=images, limit=2, root=large_images, batch_size=2, spec=network.spec
    )
    assert run.n == 2
    assert run.measurements
    assert run.provenance.data["large"].origin == images.provenance


@pytest.mark.parametrize("name", plugins.names("detectors"))
def test_a_detector_scores_every_image_and_states_its_protocol(name, digits_network, tmp_path):
    from sdd_eval.evaluators.ood.detectors.detector import places
    from sdd_eval.evaluators.ood.ood import Ood

    detector = plugins.load("detectors", name)()
    assert detector.__dataclass_params__.frozen
    assert detector.name == name
    assert detector.protocol
    requested = Ood((name,), ("uniform",))
    run, again = (
        evaluate(digits_network, requested, data="digits", limit=20, root=tmp_path, batch_size=size)
        for size in (20, 7)
    )
    columns = len(places(detector))
    for at in ({"detector": name}, {"detector": name, "outliers": "uniform"}):
        scores, scores_again = (item.arrays.where(**at)["scores"] for item in (run, again))
        assert scores.dtype == np.float64
        assert scores.reshape(20, -1).shape == (20, columns)
        np.testing.assert_allclose(scores, scores_again, rtol=1e-4, atol=1e-5)
    rows = [m for m in run.measurements if m.metric == "auroc" and m.at["detector"] == name]
    assert len(rows) == 2 * columns  # the set, and the average


@pytest.mark.parametrize("name", plugins.names("datasets"))
def test_a_data_set_loads_or_names_the_command_that_gets_it(name, tmp_path):
    data = plugins.load("datasets", name)
    assert data.name == name
    assert data.summary
    status = data.status(tmp_path)
    assert isinstance(status, Status)
    if status.present:
        images = data.load(tmp_path)
        assert isinstance(images, ImageSet)
        assert len(images) > 0
        batch = next(images.batches(3))
        assert tuple(batch.shape) == (3, images.channels, images.image_size, images.image_size)
        assert str(batch.dtype) == "torch.uint8"
    else:
        load = getattr(data, "load_corrupted", data.load)
        with pytest.raises(InputError, match=r"sdd-eval data (get|add|corrupt)"):
            load(tmp_path)


@pytest.mark.parametrize("name", plugins.names("models"))
def test_a_network_maps_pixels_to_features_to_logits(name):
    import torch

    network = build(ModelSpec(name, 7, (0.5,) * 3, (0.2,) * 3, 32)).eval()
    pixels = torch.rand(2, 3, 32, 32)
    features = network.features(pixels)
    assert features.ndim == 2
    torch.testing.assert_close(network(pixels), network.classifier(features))
    assert network(pixels).shape == (2, 7)


@pytest.mark.parametrize("name", plugins.names("methods"))
def test_a_method_trains_with_the_sd_dropout_term_and_logs_its_terms(name, tmp_path):
    from sdd_eval.checkpoints.checkpoint import load
    from sdd_eval.training.train import train

    method = plugins.load("methods", name)
    assert method.__dataclass_params__.frozen
    assert {f.name for f in dataclasses.fields(method)} <= attribute_docs(method).keys()
    recipe = Recipe(
        method=name,
        sd_dropout=0.1,
        dataset="digits",
        arch="small_cnn",
        standardisation="digits",
        augmentation="crop",
        epochs=2,
    )
    card = train(recipe, tmp_path, data_root=tmp_path)
    network = load(tmp_path / card.name)
    assert not any(p.requires_grad for p in network.parameters())
    assert not network.training
    history = (tmp_path / card.name / "history.csv").read_text().splitlines()
    assert len(history) == 3
    assert "sd_dropout" in history[0]
    assert "nan" not in "".join(history)
    images = catalogue.load_images("digits", tmp_path)
    assert evaluate(network, "accuracy", data=images).measurements[0].value > 0.2


@pytest.mark.parametrize("name", plugins.names("figures"))
def test_a_figure_without_data_is_none(name):
    from sdd_eval.report.tables.results import tidy

    assert plugins.load("figures", name)(tidy([])) is None
