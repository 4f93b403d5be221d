"""Training on a CPU: the layers' forward and backward passes written out, block by block.

Autograd keeps every intermediate result and passes over all of them in turn, which takes longer
than the products themselves. Here a few frames go through a whole layer while they are in the
cache, only what costs a large product is kept for the backward pass, and the rest is computed
again. With `keep` False not even that is kept: each layer keeps its inputs (activation
checkpointing), and one of its two large products is computed twice.

A norm's weight is multiplied into the weight of the product behind it. Rows are (frames * bands,
N). All functions can be differentiated twice: the second derivative takes the plain form.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from apollo_model.network.cpu_products import NormedProduct, PlainProduct
from apollo_model.network.frame_blocks import training_block_frames

NORM_EPS = 1e-5

Plain = Callable[[Tensor], Tensor]
_silu_backward = torch.ops.aten.silu_backward.grad_input


def written_out_serves(features: Tensor, weight: Tensor) -> bool:
    """Return whether these functions can stand in for the plain form, and gain something."""
    return (
        torch.is_grad_enabled()
        and (features.requires_grad or weight.requires_grad)
        and features.device.type == "cpu"
        and features.dtype == weight.dtype
        and features.dtype in (torch.float32, torch.float64)
        and not torch.is_autocast_enabled("cpu")
        and not torch.compiler.is_compiling()
        and not torch.jit.is_tracing()  # type: ignore[attr-defined]
    )


class RoformerFunction(torch.autograd.Function):
    """Attention over the bands and the gated network behind it, on (frames, bands, N).

    Arguments: the plain form; whether to keep intermediate results; complex rotations
    (bands, N / 16); the features; and the parameters of the input norm, the projection to queries,
    keys and values, the output, the second norm, and the gated network's two products.
    """

    @staticmethod
    def forward(
        ctx: Any, plain: Plain, keep: bool, turn: Tensor, features: Tensor, *parameters: Tensor
    ) -> Tensor:
        """Return the layer's output, and keep what the backward pass needs."""
        attention = _Attention(turn, *parameters[:3])
        gated = _Gated(*parameters[3:])
        out = torch.empty_like(features)
        count = training_block_frames(features)
        kept: list[Tensor] = []
        for rows, result in zip(features.split(count), out.split(count), strict=True):
            middle, own = attention.forward(rows.flatten(0, 1))
            changed, wide = gated.forward(middle)
            result.copy_(changed.view_as(result))
            kept += (middle, *own, wide) if keep else (middle,)
        ctx.plain, ctx.count, ctx.blocks = plain, count, len(features.split(count))
        ctx.save_for_backward(turn, features, *parameters, *kept)
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        """Return the gradients of the features and the parameters."""
        turn, features, *rest = ctx.saved_tensors
        parameters, kept = rest[:6], rest[6:]
        if torch.is_grad_enabled():
            return None, None, None, *_differentiate(ctx, features, parameters, gradients[0])
        attention = _Attention(turn, *parameters[:3])
        gated = _Gated(*parameters[3:])
        out = torch.empty_like(features)
        blocks = (t.split(ctx.count) for t in (features, gradients[0], out))
        each = len(kept) // ctx.blocks
        for number, (rows, gradient, result) in enumerate(zip(*blocks, strict=True)):
            middle, *own = kept[number * each : (number + 1) * each]
            wide = own.pop() if own else None
            slope = gated.backward(gradient.flatten(0, 1), middle, wide)
            slope = attention.backward(slope, rows.flatten(0, 1), own)
            result.copy_(slope.view_as(result))
        return None, None, None, out, *attention.gradients(), *gated.gradients()


class ConvolutionFunction(torch.autograd.Function):
    """Depthwise convolution over time, then a pointwise network, on (items, frames, bands, N).

    Arguments: the plain form; whether to keep intermediate results; how many of the kernel's
    frames lie in the past; the features; and the parameters of the convolution (weight, bias), of
    the norm and of both products (weight, bias each).
    """

    @staticmethod
    def forward(
        ctx: Any, plain: Plain, keep: bool, past: int, features: Tensor, *parameters: Tensor
    ) -> Tensor:
        """Return the layer's output, and keep what the backward pass needs."""
        convolved = _convolve(features, parameters[0], parameters[1], past)
        pointwise = _Pointwise(*parameters[2:])
        out = torch.empty_like(features)
        count = training_block_frames(features.flatten(0, 1))
        blocks = (t.flatten(0, 1).split(count) for t in (features, convolved, out))
        kept: list[Tensor] = [convolved] if keep else []
        for rows, own, result in zip(*blocks, strict=True):
            changed, wide = pointwise.forward(own.flatten(0, 1), keep)
            torch.add(rows, changed.view_as(rows), out=result)
            kept += [wide] if keep else []
        ctx.plain, ctx.count, ctx.past = plain, count, past
        ctx.save_for_backward(features, *parameters, *kept)
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        """Return the gradients of the features and the parameters."""
        features, *rest = ctx.saved_tensors
        parameters, kept = rest[:7], rest[7:]
        if torch.is_grad_enabled():
            return None, None, None, *_differentiate(ctx, features, parameters, gradients[0])
        kernel, bias = parameters[:2]
        convolved = kept[0] if kept else _convolve(features, kernel, bias, ctx.past)
        pointwise = _Pointwise(*parameters[2:])
        slopes = torch.empty_like(features)
        blocks = (t.flatten(0, 1).split(ctx.count) for t in (convolved, gradients[0], slopes))
        for number, (own, gradient, result) in enumerate(zip(*blocks, strict=True)):
            wide = kept[number + 1] if kept else None
            slope = pointwise.backward(gradient.flatten(0, 1), own.flatten(0, 1), wide)
            result.copy_(slope.view_as(result))
        slope, *kernels = _convolve_backward(slopes, features, kernel, ctx.past)
        slope = slope + gradients[0]
        return None, None, None, slope, *kernels, *pointwise.gradients()


def _differentiate(
    ctx: Any, features: Tensor, parameters: Sequence[Tensor], gradient: Tensor
) -> tuple[Tensor | None, ...]:
    """Return the gradients by autograd, with a graph of their own."""
    inputs = (features, *parameters)
    wanted = [tensor for tensor in inputs if tensor.requires_grad]
    found = iter(torch.autograd.grad(ctx.plain(features), wanted, gradient, create_graph=True))
    return tuple(next(found) if tensor.requires_grad else None for tensor in inputs)


def _normalise(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Return rows divided by their root mean square, and the factors that did it."""
    length = torch.linalg.vector_norm(rows, dim=-1, keepdim=True)
    scale = length.square_().div_(rows.shape[-1]).add_(NORM_EPS).rsqrt_()
    return rows * scale, scale


class _Gated:
    """rows + down(silu(silu(a)) * silu(b)), where (a, b) = up(norm(rows))."""

    def __init__(self, norm: Tensor, up: Tensor, down: Tensor) -> None:
        self._up = NormedProduct(norm, up)
        self._down = PlainProduct(down)

    def forward(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        wide = self._up.apply(_normalise(rows)[0])  # (rows, 8N)
        first, second = wide.chunk(2, -1)
        gate = F.silu(F.silu(first), inplace=True)
        return self._down.apply(gate.mul_(F.silu(second))).add_(rows), wide

    def backward(self, gradient: Tensor, rows: Tensor, wide: Tensor | None) -> Tensor:
        normed, scale = _normalise(rows)
        if wide is None:
            wide = self._up.apply(normed)
        first, second = wide.chunk(2, -1)
        once = F.silu(first)
        gate, value = F.silu(once), F.silu(second)
        slope = self._down.backward(gradient, gate * value)
        slopes = torch.empty_like(wide)
        of_first, of_second = slopes.chunk(2, -1)
        _silu_backward(gate.mul_(slope), second, grad_input=of_second)
        _silu_backward(value.mul_(slope), once, grad_input=value)
        _silu_backward(value, first, grad_input=of_first)
        return self._up.backward(slopes, normed, scale).add_(gradient)

    def gradients(self) -> list[Tensor]:
        return [*self._up.gradients(), *self._down.gradients()]


class _Pointwise:
    """second(silu(first(norm(rows)))), each product with a bias."""

    def __init__(
        self, norm: Tensor, first: Tensor, bias: Tensor, second: Tensor, other: Tensor
    ) -> None:
        self._first = NormedProduct(norm, first, bias)
        self._second = PlainProduct(second, other)

    def forward(self, rows: Tensor, keep: bool) -> tuple[Tensor, Tensor]:
        normed, _ = _normalise(rows)
        if not keep:
            wide = self._first.apply.silu(normed)
            return self._second.apply(wide), wide
        wide = self._first.apply(normed)  # (rows, 4N)
        return self._second.apply(F.silu(wide)), wide

    def backward(self, gradient: Tensor, rows: Tensor, wide: Tensor | None) -> Tensor:
        normed, scale = _normalise(rows)
        if wide is None:
            wide = self._first.apply(normed)
        slope = self._second.backward(gradient, F.silu(wide))
        _silu_backward(slope, wide, grad_input=slope)
        return self._first.backward(slope, normed, scale)

    def gradients(self) -> list[Tensor]:
        return [*self._first.gradients(), *self._second.gradients()]


class _Attention:
    """rows + output(attention over the bands of each frame of norm(rows)).

    Heads lie as (frames * 8, N / 8, bands): products with 80 columns are faster than those with
    as few as a small network's heads have.
    """

    def __init__(self, turn: Tensor, norm: Tensor, projection: Tensor, output: Tensor) -> None:
        self._bands, self._width = turn.shape[0], 2 * turn.shape[1]
        self._heads = output.shape[0] // self._width
        scaled = turn * self._width**-0.5  # of the queries
        self._turn = torch.stack((scaled, turn), 1).unsqueeze(1)  # (bands, 1, 2, N / 16)
        self._projection = NormedProduct(norm, projection)
        self._output = PlainProduct(output)

    def forward(self, rows: Tensor) -> tuple[Tensor, list[Tensor]]:
        projected = self._project(_normalise(rows)[0])
        weights, heads = self._attend(projected)
        return self._output.apply(heads).add_(rows), [projected, weights, heads]

    def backward(self, gradient: Tensor, rows: Tensor, kept: Sequence[Tensor]) -> Tensor:
        normed, scale = _normalise(rows)
        if kept:
            projected, weights, heads = kept
        else:
            projected = self._project(normed)
            weights, heads = self._attend(projected)
        query, key, value = projected
        slope = self._output.backward(gradient, heads)
        slope = slope.view(-1, self._bands, self._heads, self._width)
        slope = slope.permute(0, 2, 3, 1).flatten(0, 1).contiguous()
        slopes = torch.empty_like(projected)
        torch.bmm(slope, weights, out=slopes[2])
        scores = torch.bmm(slope.mT, value)
        scores = torch._softmax_backward_data(scores, weights, -1, scores.dtype)
        torch.bmm(key, scores.mT, out=slopes[0])
        torch.bmm(query, scores, out=slopes[1])
        of_projection = self._unproject(slopes)
        return self._projection.backward(of_projection, normed, scale).add_(gradient)

    def gradients(self) -> list[Tensor]:
        return [*self._projection.gradients(), *self._output.gradients()]

    def _project(self, normed: Tensor) -> Tensor:
        """Return turned queries, turned keys and values, (3, F * 8, N / 8, bands)."""
        projected = self._projection.apply(normed)
        projected = projected.view(-1, self._bands, self._heads, 3, self._width)
        _pairs(projected).mul_(self._turn)
        return projected.permute(3, 0, 2, 4, 1).flatten(1, 2).contiguous()

    def _unproject(self, slopes: Tensor) -> Tensor:
        """Return the gradient of the projection, (F * bands, 3N), of those of `_project`."""
        slopes = slopes.view(3, -1, self._heads, self._width, self._bands)
        slopes = slopes.permute(1, 4, 2, 0, 3).contiguous()  # (F, bands, 8, 3, N / 8)
        _pairs(slopes).mul_(self._turn.conj())
        return slopes.view(-1, 3 * self._heads * self._width)

    def _attend(self, projected: Tensor) -> tuple[Tensor, Tensor]:
        """Return each band's weights of all bands, and the heads' results, (F * bands, N)."""
        query, key, value = projected
        weights = torch.bmm(query.mT, key).softmax(-1)  # (F * 8, bands, bands)
        heads = torch.bmm(value, weights.mT).view(-1, self._heads, self._width, self._bands)
        return weights, heads.permute(0, 3, 1, 2).reshape(-1, self._heads * self._width)


def _pairs(projected: Tensor) -> Tensor:
    """Return queries and keys as complex numbers, a view (F, bands, 8, 2, N / 16)."""
    return torch.view_as_complex(projected[..., :2, :].unflatten(-1, (-1, 2)))


def _convolve(features: Tensor, kernel: Tensor, bias: Tensor, past: int) -> Tensor:
    """Convolve (items, frames, bands, N) over time with `past` zeros in front, as many frames."""
    padded, padding = _pad(features, kernel, past)
    convolved = F.conv2d(padded, kernel.unsqueeze(-1), bias, padding=padding, groups=len(kernel))
    return convolved.permute(0, 2, 3, 1).contiguous()


def _convolve_backward(
    slopes: Tensor, features: Tensor, kernel: Tensor, past: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradients of the features, the kernel and the bias."""
    padded, padding = _pad(features, kernel, past)
    of_padded, of_kernel, of_bias = torch.ops.aten.convolution_backward(
        slopes.permute(0, 3, 1, 2),
        padded,
        kernel.unsqueeze(-1),
        [len(kernel)],
        stride=[1, 1],
        padding=padding,
        dilation=[1, 1],
        transposed=False,
        output_padding=[0, 0],
        groups=len(kernel),
        output_mask=[True, True, True],
    )
    of_features = of_padded.permute(0, 2, 3, 1)[:, -features.shape[1] :]
    return of_features, of_kernel.flatten().view_as(kernel), of_bias


def _pad(features: Tensor, kernel: Tensor, past: int) -> tuple[Tensor, list[int]]:
    """Return features as a 2-D convolution takes them, and the padding that is left to it."""
    padding = [past, 0]
    if 2 * past != kernel.shape[-1] - 1:  # zeros in front alone
        features, padding = F.pad(features, (0, 0, 0, 0, past, 0)), [0, 0]
    return features.permute(0, 3, 1, 2), padding  # channels-last, so nothing is copied
