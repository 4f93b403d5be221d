"""The plain form that the benchmark of a training step compares with."""

from pathlib import Path

import numpy as np
import torch

from apollo_model.network import Apollo
from benchmarks.published import PublishedApollo

VECTORS = Path(__file__).parents[2] / "vectors"


def test_gives_the_published_output_and_the_same_gradients() -> None:
    with np.load(VECTORS / "apollo_dim32_layers2.npz") as content:
        values = {name: torch.from_numpy(content[name]) for name in content.files}
    own = Apollo(feature_dim=32, layers=2)
    prefix = "state/"
    own.load_state_dict(
        {name.removeprefix(prefix): value for name, value in values.items() if prefix in name}
    )
    plain = PublishedApollo(own)
    output = plain(values["input"])
    assert (output - values["output"]).abs().max() < 1e-6
    output.square().sum().backward()
    own(values["input"]).square().sum().backward()
    expected = dict(plain.named_parameters())
    for name, parameter in own.named_parameters():
        error = (parameter.grad - expected[name].grad).norm() / expected[name].grad.norm()
        assert error < 1e-4, name
