"""The optimiser of the trunk's matrices, against PyTorch's own and against its formula on singular values."""

import pytest

torch = pytest.importorskip("torch")

from training.muon import COEFFICIENTS, STEPS, Muon, orthogonalised  # noqa: E402

SHAPES = ((24, 40), (40, 24), (32, 32))
BFLOAT16 = 0.03  # of the largest step; PyTorch's own rounds to 8 bits


@pytest.mark.parametrize("shape", SHAPES)
def test_singular_values_take_the_quintic_and_directions_stay(shape):
    """U S V^T becomes U p(S) V^T, p the polynomial applied five times, in single precision."""
    torch.manual_seed(0)
    matrix = torch.randn(shape)
    left, values, right = torch.linalg.svd(matrix.double(), full_matrices=False)
    values = values / values.norm()
    a, b, c = COEFFICIENTS
    for _ in range(STEPS):
        values = a * values + b * values**3 + c * values**5
    torch.testing.assert_close(orthogonalised(matrix).double(), (left * values) @ right, atol=1e-4, rtol=1e-4)
    assert 0.5 < values.min() and values.max() < 1.5


def test_moves_as_pytorchs_own_does():
    """Three steps with momentum and decay: the same up to the rounding of bfloat16; what has no gradient stays."""
    torch.manual_seed(0)
    begun = [torch.randn(shape) for shape in (*SHAPES, (8, 8))]
    gradients = [torch.randn(shape) for shape in SHAPES]
    ends = []
    for kind in (torch.optim.Muon, Muon):
        parameters = [torch.nn.Parameter(one.clone()) for one in begun]
        optimizer = kind(parameters, lr=0.05, weight_decay=0.1, momentum=0.9)
        for step in range(3):
            for parameter, gradient in zip(parameters, gradients, strict=False):
                parameter.grad = gradient * (1 + step) + parameter.detach()
            optimizer.step()
        ends.append([parameter.detach() for parameter in parameters])
    for reference, found, before in zip(*ends, begun, strict=True):
        assert (found - reference).abs().max() <= BFLOAT16 * (reference - before).abs().max()
    assert torch.equal(ends[1][-1], begun[-1])
