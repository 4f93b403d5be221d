"""The written-out passes against autograd's, on single layers and on whole networks."""

import pytest
import torch
from torch import Tensor, nn

from apollo_model.network import Apollo, apollo
from apollo_model.network import frame_blocks as blocks


def layer(causal: bool = False) -> nn.Module:
    torch.manual_seed(0)
    return Apollo(feature_dim=32, layers=1, causal=causal).net[0]


def features(frames: int = 9, dtype: torch.dtype = torch.float64) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(2, frames, 80, 32, dtype=dtype, generator=generator, requires_grad=True)


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Switch the written-out passes off until the patch is undone."""
    monkeypatch.setattr(apollo, "written_out_serves", lambda *tensors: False)
    return monkeypatch


def gradients(network: nn.Module, inputs: Tensor, output: Tensor) -> list[Tensor]:
    weights = torch.linspace(-1, 1, output.numel(), dtype=output.dtype).view_as(output).sin()
    return list(torch.autograd.grad((output * weights).sum(), [inputs, *network.parameters()]))


def worst(found: list[Tensor], expected: list[Tensor]) -> float:
    """Return the largest relative error; where nothing is expected, nothing must be found."""
    pairs = zip(found, expected, strict=True)
    return max(float((one - other).norm() / other.norm().clamp(min=1e-30)) for one, other in pairs)


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("frames_in_block", [4, 1000])
def test_gradients_are_those_of_autograd(
    monkeypatch: pytest.MonkeyPatch, causal: bool, checkpointing: bool, frames_in_block: int
) -> None:
    monkeypatch.setattr(blocks, "MOST_TRAINING_BYTES", frames_in_block * 80 * 32 * 8 * 8)
    own, inputs = layer(causal).double(), features()
    expected = own._plain(inputs, None)
    output = own(inputs, None, checkpointing)
    assert type(output.grad_fn).__name__ == "ConvolutionFunctionBackward"
    torch.testing.assert_close(output, expected, rtol=1e-12, atol=1e-12)
    assert worst(gradients(own, inputs, output), gradients(own, inputs, expected)) < 1e-12


@pytest.mark.parametrize("residual", [False, True])
def test_a_network_has_the_plain_gradients_in_float32(
    plain: pytest.MonkeyPatch, residual: bool
) -> None:
    torch.manual_seed(0)
    network = Apollo(feature_dim=32, layers=1, residual=residual)
    audio = 0.1 * torch.randn(1, 2, 4410, requires_grad=True)
    expected = gradients(network, audio, network(audio))
    plain.undo()
    found = gradients(network, audio, network(audio))
    assert worst(found, expected) < 1e-5
    network.activation_checkpointing = True
    assert worst(gradients(network, audio, network(audio)), expected) < 1e-5


def test_second_derivatives_are_those_of_autograd() -> None:
    own, inputs = layer().double(), features(frames=3)

    def second(output: Tensor) -> list[Tensor]:
        (slope,) = torch.autograd.grad(output.sin().sum(), inputs, create_graph=True)
        return gradients(own, inputs, slope)

    found, expected = second(own(inputs, None)), second(own._plain(inputs, None))
    assert worst(found, expected) < 1e-10


def test_the_backward_pass_can_run_twice() -> None:
    own, inputs = layer(), features(dtype=torch.float32)
    output = own(inputs, None).square().sum()
    first = torch.autograd.grad(output, inputs, retain_graph=True)
    assert torch.equal(first[0], torch.autograd.grad(output, inputs)[0])


def test_checkpointing_keeps_only_the_inputs() -> None:
    own, inputs = layer(), features(dtype=torch.float32)
    sizes = {}
    for checkpointing in (False, True):
        kept: dict[int, int] = {}

        def keep(tensor: Tensor, kept: dict[int, int] = kept) -> Tensor:
            kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            output = own(inputs, None, checkpointing)
        parameters = sum(parameter.nbytes for parameter in own.parameters())
        sizes[checkpointing] = (sum(kept.values()) - parameters) / inputs.nbytes
        assert output.requires_grad
    assert sizes[True] < 6  # features before attention, between and before each convolution
    assert sizes[False] > 40


@pytest.mark.parametrize("checkpointing", [False, True])
def test_autocast_takes_the_plain_form_and_trains(checkpointing: bool) -> None:
    torch.manual_seed(0)
    network = Apollo(feature_dim=16, layers=1)
    network.activation_checkpointing = checkpointing
    audio = 0.1 * torch.randn(1, 1, 4410)
    exact = torch.autograd.grad(network(audio).square().sum(), list(network.parameters()))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = network(audio).square().sum()
    quick = torch.autograd.grad(loss, list(network.parameters()))
    flat = [torch.cat([value.flatten() for value in side]) for side in (quick, exact)]
    assert 0 < (flat[0] - flat[1]).norm() / flat[1].norm() < 0.1


def test_checkpointing_of_the_plain_form_changes_nothing(plain: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    network = Apollo(feature_dim=16, layers=2)
    audio = 0.1 * torch.randn(1, 1, 4410, requires_grad=True)
    expected = gradients(network, audio, network(audio))
    network.activation_checkpointing = True
    assert worst(gradients(network, audio, network(audio)), expected) < 1e-6


def test_frozen_parameters_get_no_gradient() -> None:
    own, inputs = layer(), features(dtype=torch.float32)
    own.requires_grad_(False)
    own(inputs, None).square().sum().backward()
    assert inputs.grad is not None
    assert all(parameter.grad is None for parameter in own.parameters())


def test_a_compiler_takes_the_plain_form() -> None:
    own, inputs = layer(), features(frames=2, dtype=torch.float32)
    compiled = torch.compile(own, backend="eager", fullgraph=True)
    output = compiled(inputs, None)
    assert type(output.grad_fn).__name__ != "ConvolutionFunctionBackward"
    expected = gradients(own, inputs, own(inputs, None))
    assert worst(gradients(own, inputs, output), expected) < 1e-5


def test_distributed_training_gets_every_gradient_through_its_hooks() -> None:
    torch.manual_seed(0)
    network = Apollo(feature_dim=16, layers=1)
    audio = 0.1 * torch.randn(1, 1, 4410)
    network(audio).square().sum().backward()
    expected = [parameter.grad for parameter in network.parameters()]
    network.zero_grad(set_to_none=True)
    store = torch.distributed.HashStore()
    torch.distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
    try:
        replica = nn.parallel.DistributedDataParallel(network)
        reduced = []

        def hook(
            _state: object, bucket: torch.distributed.GradBucket
        ) -> torch.futures.Future[Tensor]:
            reduced.append(bucket.buffer().numel())
            done: torch.futures.Future[Tensor] = torch.futures.Future()
            done.set_result(2 * bucket.buffer())
            return done

        replica.register_comm_hook(None, hook)
        replica(audio).square().sum().backward()
    finally:
        torch.distributed.destroy_process_group()
    assert sum(reduced) == sum(parameter.numel() for parameter in network.parameters())
    for parameter, gradient in zip(network.parameters(), expected, strict=True):
        torch.testing.assert_close(parameter.grad, 2 * gradient)
