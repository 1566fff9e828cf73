"""The engine on torch: any device that torch reaches."""

import torch
import torch.nn.functional as F

from .numpy_engine import turned_pairs

name = "torch"
learns = True  # it has gradients of weights: `descend`
LONGEST_GRADIENT = 1.0  # longer ones are cut
stack = torch.stack
concat = torch.cat
where = torch.where
exp = torch.exp
sqrt = torch.sqrt
sin = torch.sin
cos = torch.cos
arctan2 = torch.atan2
linear = F.linear


def cross(a, b):
    """Cross product over the last axis."""
    return torch.linalg.cross(a, b, dim=-1)


def to_numpy(array):
    """The tensor as a numpy array on the host."""
    return array.detach().cpu().numpy()


def asarray(values, like):
    """`values` as a tensor of `like`'s type on `like`'s device."""
    return torch.as_tensor(values, dtype=like.dtype, device=like.device)


def take(array, indices, axis):
    """Rows of `array` along `axis`."""
    return array.index_select(axis, torch.as_tensor(indices, device=array.device))


def rms_norm(x, gain):
    """Root-mean-square normalisation over the last axis (Zhang & Sennrich, 2019)."""
    return F.rms_norm(x, (x.shape[-1],), gain, 1e-6)


class _ReluSquared(torch.autograd.Function):
    """With a way back of its own: PyTorch's, over `pow`, takes five times as long on CPUs."""

    @staticmethod
    def forward(context, x):
        y = F.relu(x)
        context.save_for_backward(y)
        return y * y

    @staticmethod
    def backward(context, gradient):
        (y,) = context.saved_tensors
        return (2.0 * gradient).mul_(y)


def relu_squared(x):
    """`max(x, 0) ** 2` (So et al., Primer, 2021)."""
    return _ReluSquared.apply(x)


class _Rotary(torch.autograd.Function):
    """With a way back of its own, the turn by the opposite angle: halves that are cut out cost zeros and sums."""

    @staticmethod
    def forward(context, x, cosine, sine):
        context.save_for_backward(cosine, sine)
        return turned_pairs(x, cosine, sine, torch.cat)

    @staticmethod
    def backward(context, gradient):
        cosine, sine = context.saved_tensors
        return turned_pairs(gradient, cosine, -sine, torch.cat), None, None


def rotary(x, cosine, sine):
    """See the numpy engine."""
    return _Rotary.apply(x, cosine, sine)


def unbind(array, axis):
    """See the numpy engine; the way back is one copy."""
    return array.unbind(axis)


def softmax(x):
    """Softmax over the last axis."""
    return torch.softmax(x, dim=-1)


def attention(query, key, value, bias=None):
    """Scaled dot-product attention over `[..., N, K]`; `bias` is added to the scores `[..., N, N]`."""
    return F.scaled_dot_product_attention(query, key, value, attn_mask=bias)


def device_names():
    """The devices that may be there, the best first."""
    cards = [f"cuda:{index}" for index in range(torch.cuda.device_count())] if torch.cuda.is_available() else []
    return cards + (["mps"] if torch.backends.mps.is_available() else []) + ["cpu"]


def choose_device(name=None):
    """The device and what to call it in words; without a name the first that there may be.

    Raises:
        ValueError: that device isn't to be had. It is tried by a product: a torch may lack code for a card it names.
    """
    name = name or device_names()[0]
    try:
        ones = torch.ones(8, 8, device=name)
        (ones @ ones).cpu()
    except (RuntimeError, AssertionError) as error:
        why = str(error).strip().splitlines()[0].rstrip(".") if str(error).strip() else type(error).__name__
        raise ValueError(f"torch {torch.__version__} can't use the device '{name}': {why}.") from error
    device = torch.device(name)
    if device.type == "cuda":
        return device, f"{torch.cuda.get_device_name(device)}, torch {torch.__version__}"
    return device, f"{'CPU' if device.type == 'cpu' else device.type.upper()}, torch {torch.__version__}"


def double_device(device):
    """The device to compute on in double precision: Apple's GPUs have none."""
    return torch.device("cpu") if device.type == "mps" else device


def from_numpy(array, device):
    """A numpy array as a tensor on the device."""
    return torch.as_tensor(array, device=device)


def release_memory():
    """Gives cached GPU memory back to other programs."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def value_and_gradients(function, arrays):
    """See `engines.value_and_gradients`."""
    with torch.enable_grad():
        inputs = tuple(array.detach().requires_grad_() for array in arrays)
        value, kept = function(inputs)
        gradients = torch.autograd.grad(value, inputs, allow_unused=True, materialize_grads=True)
    return float(value.detach()), tuple(array.detach() for array in kept), gradients


def descend(start, loss, rate, pull: float, average: float, device):
    """Gradient steps (AdamW) on named arrays, without end; yields their running average after every step.

    Args:
        start: name to numpy array. loss: of a dict of tensors like it, a scalar tensor. rate: gives that of each step.
        pull: towards zero, as a share of the rate. average: how much of it stays at each step.
    """
    values = {name: from_numpy(array, device).clone().requires_grad_() for name, array in start.items()}
    averages = {name: value.detach().clone() for name, value in values.items()}
    optimizer = torch.optim.AdamW(values.values(), lr=0.0, betas=(0.9, 0.98), weight_decay=pull)
    step = 0
    while True:
        for group in optimizer.param_groups:
            group["lr"] = rate()
        optimizer.zero_grad(set_to_none=True)
        loss(values).backward()
        torch.nn.utils.clip_grad_norm_(values.values(), LONGEST_GRADIENT)
        optimizer.step()
        stays = min(average, (1 + step) / (10 + step))
        with torch.no_grad():
            for name, value in values.items():
                averages[name].lerp_(value, 1 - stays)
        step += 1
        yield averages
