"""Each detector equals its plain definition in NumPy, in float64, image by image."""

import dataclasses

import numpy as np
import pytest
import torch

from sdd_eval.errors import InputError
from sdd_eval.evaluators import batch as training_file
from sdd_eval.evaluators.batch import Batch
from sdd_eval.evaluators.ood.detectors.feature_scores import Knn, Mahalanobis, React, Vim, threshold
from sdd_eval.evaluators.ood.detectors.logit_scores import Energy, Entropy, MaxLogit, Msp
from sdd_eval.evaluators.ood.detectors.odin import Odin, OdinGrid
from sdd_eval.evaluators.ood.ood import training_images
from sdd_eval.models.build import build
from sdd_eval.records import ModelSpec

WIDTH, CLASSES = 10, 4


@pytest.fixture
def model():
    """A network with ten features, one of them always 0, and four logits."""
    torch.manual_seed(0)
    first, last = torch.nn.Linear(3 * 6 * 6, WIDTH), torch.nn.Linear(WIDTH, CLASSES)
    first.weight.data *= 8
    first.weight.data[3], first.bias.data[3] = 0, -1
    body = torch.nn.Sequential(torch.nn.Flatten(), first, torch.nn.ReLU(), last)
    return body.eval().requires_grad_(False)


@pytest.fixture
def seen(model, subject_of, images_of, monkeypatch):
    """Return the network's outputs for 230 training images in batches of 64."""
    monkeypatch.setattr(training_file, "ROWS", 64)
    subject = subject_of(model, images_of(5), batch_size=50, limit=3)
    return training_images(subject, images_of(230, seed=1, name="training"))


@pytest.fixture
def batch(model, images_of):
    """Twenty images, with their features and logits as plain float64 arrays."""
    pixels = next(images_of(20, seed=2).batches(20)).float() / 255
    return Batch(model, pixels)


def features_of(model, pixels):
    return model[:-1](pixels).double().numpy()


def plain(batch):
    """Features and logits by the network itself."""
    features = batch.model[:-1](batch.pixels)
    return features.double().numpy(), batch.model[-1](features).double().numpy()


def scored(detector, training, batch):
    scores = detector.fit(training).scores(batch)
    assert scores.dtype == torch.float64
    return scores.numpy()


def softmax(logits):
    powers = np.exp(logits - logits.max())
    return powers / powers.sum()


def test_detectors_of_logits_are_their_formulas(batch):
    _, logits = plain(batch)
    expected = {
        Msp(): [softmax(row).max() for row in logits],
        MaxLogit(): [row.max() for row in logits],
        Energy(): [np.log(np.exp(row).sum()) for row in logits],
        Entropy(): [(softmax(row) * np.log(softmax(row))).sum() for row in logits],
    }
    for detector, wanted in expected.items():
        scores = detector.scores(batch)
        assert scores.dtype == torch.float64
        np.testing.assert_allclose(scores.numpy(), wanted, rtol=1e-12, err_msg=detector.name)


def test_saturated_logits_give_finite_scores():
    logits = torch.nn.Linear(1, 3)
    logits.weight.data, logits.bias.data = torch.zeros(3, 1), torch.tensor([1e4, 0.0, -1e4])
    body = torch.nn.Sequential(torch.nn.Flatten(), logits)
    sure = Batch(body.eval().requires_grad_(False), torch.zeros(1, 1, 1, 1))
    result = {item.name: float(item.scores(sure)) for item in (Msp(), Energy(), Entropy())}
    assert result == {"msp": 1.0, "energy": 1e4, "entropy": 0.0}


def test_all_training_images_are_read_once_under_any_limit(seen, model, images_of):
    images = images_of(230, seed=1, name="training")
    pixels = next(images.batches(230)).float() / 255
    np.testing.assert_allclose(seen.features, features_of(model, pixels), rtol=1e-6)
    np.testing.assert_allclose(seen.logits, model(pixels), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(seen.labels, images.labels)
    assert [rows.start for rows, _ in seen.pieces()] == [0, 64, 128, 192]


def test_mahalanobis_is_the_distance_to_the_nearest_class_by_the_pseudo_inverse(seen, batch):
    features, labels = seen.features.double().numpy(), seen.labels.numpy()
    means = [features[labels == c].mean(axis=0) for c in range(CLASSES)]
    scatter = np.zeros((WIDTH, WIDTH))
    for feature, label in zip(features, labels, strict=True):
        scatter += np.outer(feature - means[label], feature - means[label]) / len(features)
    inverse = np.linalg.pinv(scatter, rcond=1e-10, hermitian=True)
    expected = [-min((f - m) @ inverse @ (f - m) for m in means) for f in plain(batch)[0]]
    np.testing.assert_allclose(scored(Mahalanobis(), seen, batch), expected, rtol=1e-9)
    assert Mahalanobis().fit(seen).counts == {"dropped_eigenvalues": 1}


def test_a_class_without_training_images_is_never_the_nearest(seen, batch):
    labels = torch.where(seen.labels == 1, 3, seen.labels)  # nobody is 1; its mean is no origin
    fitted = Mahalanobis().fit(dataclasses.replace(seen, labels=labels))
    assert len(fitted.means) == CLASSES - 1
    assert torch.isfinite(fitted.scores(batch)).all()


def test_knn_is_the_distance_to_the_kth_of_all_sorted_distances(seen, batch):
    def normalised(features):
        return features / np.linalg.norm(features, axis=1, keepdims=True)

    train, own = normalised(seen.features.double().numpy()), normalised(plain(batch)[0])
    distances = np.sort(np.linalg.norm(own[:, None] - train[None], axis=2), axis=1)
    result = scored(Knn(), seen, batch)
    np.testing.assert_allclose(result, -distances[:, [49, 199]], rtol=1e-12)
    assert [folder["k"] for folder in Knn().places] == [50, 200]


def test_a_training_image_has_a_distance_of_exactly_zero_to_itself(seen, model, images_of):
    images = images_of(230, seed=1, name="training")
    itself = Batch(model, next(images.batches(50)).float() / 255)
    result = scored(Knn(k=(1,)), seen, itself)
    assert np.abs(result).max() < 1e-6  # float32 features may differ in the last bit


def test_a_zero_feature_has_cosine_distance_one_to_all_others(seen):
    features = seen.features.clone()
    features[7] = 0
    some = dataclasses.replace(seen, features=features)
    dead = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.ReLU(), torch.nn.Linear(WIDTH, CLASSES))
    nothing = Batch(dead.eval().requires_grad_(False), torch.zeros(2, 1, 1, WIDTH))
    np.testing.assert_allclose(scored(Knn(k=(1, 2)), some, nothing), [[0, -1], [0, -1]])


def test_vim_is_energy_less_alpha_times_the_residual(seen, batch, model):
    weight, bias = (item.double().numpy() for item in model[-1].parameters())
    origin = -np.linalg.pinv(weight) @ bias
    apart = seen.features.double().numpy() - origin
    _, vectors = np.linalg.eig(apart.T @ apart)
    values = np.linalg.eig(apart.T @ apart)[0].real
    outside = vectors.real[:, np.argsort(values)[::-1][WIDTH // 2 :]]
    residuals = np.linalg.norm(apart @ outside, axis=1)
    alpha = seen.logits.double().max(dim=1).values.mean().item() / residuals.mean()
    features, logits = plain(batch)
    own = np.linalg.norm((features - origin) @ outside, axis=1)
    expected = np.log(np.exp(logits).sum(axis=1)) - alpha * own
    np.testing.assert_allclose(scored(Vim(), seen, batch), expected, rtol=1e-9)


def test_react_is_the_energy_of_clipped_activations(seen, batch, model):
    weight, bias = (item.double().numpy() for item in model[-1].parameters())
    above = np.percentile(seen.features.double().numpy(), 90)
    assert threshold(seen) == pytest.approx(above, rel=1e-12)
    logits = np.minimum(plain(batch)[0], above) @ weight.T + bias
    assert (plain(batch)[0] > above).any()
    expected = np.log(np.exp(logits).sum(axis=1))
    np.testing.assert_allclose(scored(React(), seen, batch), expected, rtol=1e-12)


def test_every_cell_of_odins_grid_equals_odin(batch):
    grid = OdinGrid()
    result = grid.scores(batch)
    assert result.shape == (20, 20)
    for column, (temperature, epsilon) in enumerate(grid.cells):
        alone = Odin(temperature, epsilon).scores(batch)
        assert torch.equal(result[:, column], alone), (temperature, epsilon)


def test_logits_and_features_cost_one_forward_pass(batch):
    passes = []
    batch.model.register_forward_hook(lambda *_: passes.append(1))
    for item in (Msp(), MaxLogit(), Energy(), Entropy()):
        item.scores(batch)
    assert batch.features.shape == (20, WIDTH)
    assert len(passes) == 1


def test_the_feature_is_the_input_of_the_last_linear_layer_after_hidden_layers_too():
    spec = ModelSpec("small_cnn", 5, (0.5,), (0.2,), 8, {"hidden_layers": 1})
    network = build(spec).eval().requires_grad_(False)
    batch = Batch(network, torch.rand(3, 1, 8, 8))
    hidden = network.classifier[:-1](network.features(batch.pixels))
    assert torch.equal(batch.features, hidden.double())
    assert torch.equal(batch.logits, network(batch.pixels).double())


@pytest.mark.parametrize(
    "tail",
    [
        [],
        [torch.nn.Linear(WIDTH, CLASSES), torch.nn.Softplus()],
        [torch.nn.Unflatten(1, (WIDTH, 1, 1)), torch.nn.Conv2d(WIDTH, 4, 1), torch.nn.Flatten()],
    ],
)
def test_a_network_that_does_not_end_in_a_linear_layer_has_logits_and_no_features(tail):
    layers = [torch.nn.Flatten(), torch.nn.Linear(12, WIDTH), torch.nn.ReLU(), *tail]
    batch = Batch(torch.nn.Sequential(*layers).eval(), torch.rand(2, 3, 2, 2))
    assert batch.logits.shape[0] == 2
    with pytest.raises(InputError, match="must end in a linear layer"):
        _ = batch.features


def test_a_classifier_of_another_kind_is_named(subject_of, images_of):
    network = build(ModelSpec("small_cnn", 4, (0.5,) * 3, (0.2,) * 3, 6)).eval()
    network.classifier = torch.nn.Bilinear(2, 2, 4)
    with pytest.raises(InputError, match="its classifier is a Bilinear"):
        training_images(subject_of(network, images_of(5)), images_of(5))


@pytest.mark.parametrize(
    ("detector", "change", "message"),
    [
        (Knn(k=(50, 231)), {}, "neighbours 50, 231; training has 230 training images"),
        (Knn(k=(0,)), {}, "neighbours 0"),
        (Mahalanobis(), {"labels": None}, "training set of training has no labels"),
        (Mahalanobis(), {"features": torch.ones(230, WIDTH)}, "do not vary within classes"),
        (Vim(), {"bias": torch.zeros(4).double(), "features": torch.eye(WIDTH)[:5]}, "no residual"),
    ],
)
def test_detectors_that_cannot_be_fitted_give_a_one_line_error(detector, change, message, seen):
    with pytest.raises(InputError, match=message):
        detector.fit(dataclasses.replace(seen, **change))
