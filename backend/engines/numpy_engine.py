"""The engine on numpy: what Blender ships is enough."""

import numpy as np

name = "numpy"
learns = False  # it has no gradients of weights
stack = np.stack
concat = np.concatenate
where = np.where
exp = np.exp
sqrt = np.sqrt
sin = np.sin
cos = np.cos
arctan2 = np.arctan2
cross = np.cross


def to_numpy(array):
    """The array itself."""
    return np.asarray(array)


def asarray(values, like):
    """`values` as an array of `like`'s floating type."""
    return np.asarray(values, dtype=like.dtype)


def take(array, indices, axis):
    """Rows of `array` along `axis`."""
    return np.take(array, indices, axis=axis)


def linear(x, weight, bias=None):
    """`x [..., I]` times `weight [O, I]` transposed, plus `bias [O]`: `[..., O]`."""
    # One flat product: numpy would otherwise call the matrix library once per leading index.
    y = (x.reshape(-1, x.shape[-1]) @ weight.T).reshape(*x.shape[:-1], weight.shape[0])
    if bias is not None:
        y += bias
    return y


def rms_norm(x, gain):
    """Root-mean-square normalisation over the last axis (Zhang & Sennrich, 2019)."""
    scale = np.einsum("...d,...d->...", x, x)[..., None]
    scale *= 1.0 / x.shape[-1]
    scale += 1e-6
    np.sqrt(scale, out=scale)
    y = x / scale
    y *= gain
    return y


def relu_squared(x):
    """`max(x, 0) ** 2` (So et al., Primer, 2021)."""
    y = np.maximum(x, 0)
    y *= y
    return y


def turned_pairs(x, cosine, sine, join):
    """Pairs of a first and a second half of the last axis, `[..., K]`, turned by angles whose cosines and sines
    broadcast to `[..., K/2]`; `join` is the library's concatenation."""
    half = x.shape[-1] // 2
    a, b = x[..., :half], x[..., half:]
    return join((a * cosine - b * sine, a * sine + b * cosine), -1)


def rotary(x, cosine, sine):
    """Turns pairs of features by their token's angle (Su et al., RoFormer, 2021); see `turned_pairs`."""
    return turned_pairs(x, cosine, sine, np.concatenate)


def unbind(array, axis):
    """The slices of an array along an axis."""
    return tuple(np.moveaxis(array, axis, 0))


def softmax(x):
    """Softmax over the last axis."""
    y = x - x.max(axis=-1, keepdims=True)
    np.exp(y, out=y)
    y /= y.sum(axis=-1, keepdims=True)
    return y


def attention(query, key, value, bias=None):
    """Scaled dot-product attention over `[..., N, K]`; `bias` is added to the scores `[..., N, N]`."""
    scores = (query * query.shape[-1] ** -0.5) @ np.swapaxes(key, -1, -2)
    if bias is not None:
        scores = scores + bias
    return softmax(scores) @ value


def device_names():
    """The devices that may be there, the best first."""
    return ["cpu"]


def choose_device(name=None):
    """The device and its words; numpy has one.

    Raises:
        ValueError: another is asked for.
    """
    if name not in (None, "cpu"):
        raise ValueError(f"The numpy engine runs on the CPU, not on '{name}'. Choose the torch engine for a GPU.")
    return "cpu", "CPU, numpy"


def double_device(device):
    """The device to compute on in double precision."""
    return device


def from_numpy(array, device):
    """The array itself."""
    return np.asarray(array)


def release_memory():
    """Nothing is held back."""
