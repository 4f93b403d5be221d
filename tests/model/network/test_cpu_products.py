import pytest
import torch
import torch.nn.functional as F

from apollo_model.network import cpu_products as products
from apollo_model.network.cpu_products import NormedProduct, Product


@pytest.mark.parametrize("packs", [True, False])
@pytest.mark.parametrize("with_bias", [True, False])
@torch.no_grad()
def test_a_product_is_the_linear_layer(
    monkeypatch: pytest.MonkeyPatch, packs: bool, with_bias: bool
) -> None:
    if not packs:
        monkeypatch.setattr(products, "_can_pack", lambda weight: False)
    torch.manual_seed(0)
    rows, weight = torch.randn(100, 24), torch.randn(40, 24)
    bias = torch.randn(40) if with_bias else None
    expected = F.linear(rows.double(), weight.double(), None if bias is None else bias.double())
    product = Product(weight, bias)
    torch.testing.assert_close(product(rows).double(), expected, rtol=1e-5, atol=1e-4)
    torch.testing.assert_close(product.silu(rows).double(), F.silu(expected), rtol=1e-5, atol=1e-4)


def test_gradients_add_up_over_blocks() -> None:
    torch.manual_seed(0)
    rows, gradient = torch.randn(30, 8).double(), torch.randn(30, 5).double()
    norm, weight, bias = (
        torch.randn(*shape, dtype=torch.float64, requires_grad=True)
        for shape in ((8,), (5, 8, 1), (5,))
    )
    normed = rows.clone().requires_grad_()
    output = F.linear(F.rms_norm(normed, (8,), norm, 1e-5), weight.squeeze(-1), bias)
    expected = torch.autograd.grad(output, [normed, norm, weight, bias], gradient)
    with torch.no_grad():
        product = NormedProduct(norm, weight, bias)
        scale = (rows.square().mean(-1, keepdim=True) + 1e-5).rsqrt()
        slopes = [
            product.backward(gradient[part], (rows * scale)[part], scale[part])
            for part in (slice(0, 7), slice(7, 30))
        ]
        found = [torch.cat(slopes), *product.gradients()]
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)
