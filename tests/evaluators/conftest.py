"""Small networks and images, and the subjects that contain them."""

import numpy as np
import pytest
import torch

from sdd_eval.data.images import ArrayImages
from sdd_eval.evaluators.subject import Subject
from sdd_eval.records import ModelSpec

SIDE = 6


class Standardised(torch.nn.Module):
    """A network of a standardisation and a body."""

    def __init__(self, body, mean, std):
        super().__init__()
        self.body = body
        self.mean = torch.tensor(mean).view(-1, 1, 1)
        self.std = torch.tensor(std).view(-1, 1, 1)

    def forward(self, pixels):
        return self.body((pixels - self.mean) / self.std)


@pytest.fixture
def images_of():
    """Return random images of a number of classes (0: unlabelled) and channels."""

    def make(n, classes=4, channels=3, seed=0, name="noise", side=SIDE):
        random = np.random.default_rng((seed, n))
        pixels = random.integers(0, 256, (n, channels, side, side), dtype=np.uint8)
        labels = random.integers(0, classes, n) if classes else None
        return ArrayImages(name, pixels, labels, f"{name}-{seed}-{n}", "made here")

    return make


@pytest.fixture
def network():
    """Return a small convolutional network with frozen weights and scaled logits."""

    def make(classes=4, channels=3, scale=1.0, seed=0):
        torch.manual_seed(seed)
        last = torch.nn.Linear(8 * SIDE * SIDE, classes)
        last.weight.data *= 6 * scale
        last.bias.data *= scale
        body = torch.nn.Sequential(
            torch.nn.Conv2d(channels, 8, 3, padding=1),
            torch.nn.Tanh(),
            torch.nn.Flatten(),
            last,
        )
        whole = Standardised(body, [0.5] * channels, [0.25] * channels)
        return whole.eval().requires_grad_(False)

    return make


@pytest.fixture
def linear_network():
    """Logits = weight (classes, values) · pixels."""

    def make(weight):
        layer = torch.nn.Linear(weight.shape[1], weight.shape[0], bias=False)
        layer.weight.data = weight
        return torch.nn.Sequential(torch.nn.Flatten(), layer).eval().requires_grad_(False)

    return make


@pytest.fixture
def subject_of():
    """Return a subject with a network and images."""

    def make(model, data, classes=4, **more):
        channels = data.channels
        spec = ModelSpec("tiny", classes, (0.5,) * channels, (0.25,) * channels, data.image_size)
        return Subject(model, spec, data, **more)

    return make


class Listener:
    """Progress that records the calls."""

    def __init__(self):
        self.pieces = []

    def start(self, label, total):
        self.pieces.append([label, total, 0])

    def advance(self, units=1, note=""):
        self.pieces[-1][2] += units


@pytest.fixture
def listener():
    return Listener()


@pytest.fixture
def value_of():
    """Return the only value of a metric whose `at` contains the given items."""

    def find(measurements, metric, **at):
        result = [
            measurement.value
            for measurement in measurements
            if measurement.metric == metric and at.items() <= dict(measurement.at).items()
        ]
        (value,) = result
        return value

    return find


@pytest.fixture
def contents():
    """Return all arrays by name and coordinates."""

    def of(arrays):
        return {
            (entry.name, repr(sorted(entry.at.items()))): entry.read() for entry in arrays.entries
        }

    return of
