"""The libraries still give the recorded numbers (`make parity`)."""

import numpy as np
import pytest

pytestmark = pytest.mark.parity


@pytest.mark.parametrize("name", ["pytorch_ood_scores", "torchmetrics_errors"])
def test_the_libraries_give_the_recorded_numbers(name, script, written_down):
    live, then = script(name)["computed"](), written_down(name)
    assert live.keys() == then.keys()
    for key, values in live.items():
        scale = np.abs(then[key]).max()
        np.testing.assert_allclose(values, then[key], rtol=1e-5, atol=1e-6 * scale, err_msg=key)
