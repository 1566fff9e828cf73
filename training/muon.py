"""Muon: momentum whose update of a matrix is made orthogonal (Jordan et al., 2024, kellerjordan.github.io/posts/muon).

As `torch.optim.Muon`, but on a CPU it computes in float32: PyTorch's computes in bfloat16 everywhere, and a CPU without
instructions for that imitates them, which then takes most of a training step (`training/LOG.md`).
"""

import torch

COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # of the quintic whose slope at zero is steepest
STEPS = 5
SMALL = 1e-7


def orthogonalised(matrix: torch.Tensor) -> torch.Tensor:
    """Nearly the matrix `[A, B]` with all its singular values at one: they end between 0.5 and 1.5."""
    a, b, c = COEFFICIENTS
    kept = matrix.bfloat16() if matrix.is_cuda else matrix.float()
    tall = kept.shape[0] > kept.shape[1]
    if tall:
        kept = kept.T
    kept = kept / kept.norm().clamp(min=SMALL)  # no singular value is above one
    for _ in range(STEPS):
        gram = kept @ kept.T
        kept = torch.addmm(kept, torch.addmm(gram, gram, gram, beta=b, alpha=c), kept, beta=a)
    return (kept.T if tall else kept).to(matrix.dtype)


class Muon(torch.optim.Optimizer):
    """Takes matrices alone. Parameters `[A, B]` move by `lr` times the root of A / B, where A is larger."""

    def __init__(self, params, lr: float, weight_decay: float, momentum: float):
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure=None):
        """Moves all parameters that have a gradient."""
        loss = None if closure is None else torch.enable_grad()(closure)()
        for group in self.param_groups:
            momentum = group["momentum"]
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
                if not state:
                    state["momentum_buffer"] = torch.zeros_like(parameter.grad)
                mean = state["momentum_buffer"].lerp_(parameter.grad, 1 - momentum)
                update = orthogonalised(parameter.grad.lerp(mean, momentum))
                tallness = max(1.0, parameter.shape[0] / parameter.shape[1]) ** 0.5
                parameter.mul_(1 - group["lr"] * group["weight_decay"]).add_(update, alpha=-group["lr"] * tallness)
        return loss
