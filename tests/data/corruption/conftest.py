import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_sample_images


@pytest.fixture(scope="session")
def photos() -> np.ndarray:
    """Twelve real patches (12, 32, 32, 3) uint8 of scikit-learn's two photographs."""
    patches = []
    for picture in load_sample_images().images:
        for top, left in ((0, 0), (100, 80), (150, 250), (200, 400), (250, 500), (290, 150)):
            patch = Image.fromarray(picture[top : top + 128, left : left + 128])
            patches.append(np.asarray(patch.resize((32, 32), Image.Resampling.BILINEAR)))
    return np.stack(patches)
