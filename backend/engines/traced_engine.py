"""The engine on numpy with gradients: what is computed from `Traced` arrays can be followed back to them.

Reverse-mode differentiation over a tape (Griewank & Walther, Evaluating Derivatives, 2008), of the functions that the
decoder and the pose are made of. Weights and skeletons stay plain arrays, of which no gradients are kept.
"""

import numpy as np

from .numpy_engine import asarray, softmax
from .numpy_engine import linear as plain_linear
from .numpy_engine import rotary as plain_rotary

__all__ = ["asarray"]
name = "traced"


class Traced:
    """An array whose way through a computation is kept.

    Attributes:
        value: numpy array. gradient: of what `value_and_gradients` follows back, None where nothing arrived yet.
    """

    __array_ufunc__ = None  # so that numpy leaves `array * traced` to us

    def __init__(self, value, tape, back=None):
        self.value, self.tape, self.back = value, tape, back
        self.gradient, self.own = None, False
        tape.append(self)

    shape = property(lambda self: self.value.shape)
    ndim = property(lambda self: self.value.ndim)
    dtype = property(lambda self: self.value.dtype)

    def receive(self, gradient) -> None:
        """Adds to the gradient, summed over the axes along which the value was broadcast."""
        if gradient.shape != self.value.shape:
            gradient = summed_to(gradient, self.value.shape)
        if self.gradient is None:
            self.gradient = gradient
        elif self.own:
            self.gradient += gradient
        else:
            self.gradient, self.own = self.gradient + gradient, True

    def receive_at(self, index, gradient) -> None:
        """Adds to a part of the gradient."""
        if not self.own:
            self.gradient = np.zeros_like(self.value) if self.gradient is None else self.gradient.copy()
            self.own = True
        self.gradient[index] += gradient

    def __add__(self, other):
        if not isinstance(other, Traced):
            return Traced(self.value + other, self.tape, self.receive)

        def back(gradient):
            self.receive(gradient)
            other.receive(gradient)

        return Traced(self.value + other.value, self.tape, back)

    __radd__ = __add__

    def __neg__(self):
        return self * -1.0

    def __sub__(self, other):
        if isinstance(other, Traced):
            return self + -other
        return Traced(self.value - other, self.tape, self.receive)

    def __rsub__(self, other):
        return -self + other

    def __mul__(self, other):
        if not isinstance(other, Traced):
            return Traced(self.value * other, self.tape, lambda gradient: self.receive(gradient * other))
        if other is self:
            return Traced(self.value**2, self.tape, lambda gradient: self.receive(2.0 * gradient * self.value))

        def back(gradient):
            self.receive(gradient * other.value)
            other.receive(gradient * self.value)

        return Traced(self.value * other.value, self.tape, back)

    __rmul__ = __mul__

    def __truediv__(self, other):
        return self * other**-1.0 if isinstance(other, Traced) else self * (1.0 / other)

    def __pow__(self, power: float):
        value = self.value**power
        slope = power * self.value ** (power - 1.0)
        return Traced(value, self.tape, lambda gradient: self.receive(gradient * slope))

    def __matmul__(self, other):
        def back(gradient):
            self.receive(gradient @ other.swapaxes(-1, -2))

        return Traced(self.value @ other, self.tape, back)

    def __rmatmul__(self, other):
        def back(gradient):
            self.receive(other.swapaxes(-1, -2) @ gradient)

        return Traced(other @ self.value, self.tape, back)

    def __getitem__(self, index):
        return Traced(self.value[index], self.tape, lambda gradient: self.receive_at(index, gradient))

    def reshape(self, *shape):
        """As numpy's."""
        old = self.shape
        return Traced(self.value.reshape(*shape), self.tape, lambda gradient: self.receive(gradient.reshape(old)))

    def swapaxes(self, first: int, second: int):
        """As numpy's."""
        value = self.value.swapaxes(first, second)
        return Traced(value, self.tape, lambda gradient: self.receive(gradient.swapaxes(first, second)))

    def sum(self, axis=None):
        """As numpy's."""

        def back(gradient):
            gradient = gradient if axis is None else np.expand_dims(gradient, axis)
            self.receive(np.broadcast_to(gradient, self.shape))

        return Traced(np.asarray(self.value.sum(axis=axis)), self.tape, back)


def summed_to(gradient, shape):
    """A gradient summed over the axes along which an array of `shape` was broadcast."""
    extra = gradient.ndim - len(shape)
    gradient = gradient.sum(axis=tuple(range(extra))) if extra else gradient
    spread = tuple(axis for axis, size in enumerate(shape) if size == 1 and gradient.shape[axis] > 1)
    return gradient.sum(axis=spread, keepdims=True) if spread else gradient


def concat(arrays, axis):
    """As numpy's, of traced arrays and others."""
    ends = np.cumsum([array.shape[axis] for array in arrays])[:-1]

    def back(gradient):
        _share(arrays, np.split(gradient, ends, axis))

    return _joined(np.concatenate, arrays, axis, back)


def stack(arrays, axis):
    """As numpy's, of traced arrays and others."""
    return _joined(np.stack, arrays, axis, lambda gradient: _share(arrays, np.moveaxis(gradient, axis, 0)))


def _joined(join, arrays, axis, back):
    tape = next(array.tape for array in arrays if isinstance(array, Traced))
    return Traced(join([plain(array) for array in arrays], axis), tape, back)


def _share(arrays, gradients):
    for array, gradient in zip(arrays, gradients, strict=True):
        if isinstance(array, Traced):
            array.receive(gradient)


def cross(a, b):
    """Cross product of two traced arrays over the last axis."""

    def back(gradient):
        a.receive(np.cross(b.value, gradient))
        b.receive(np.cross(gradient, a.value))

    return Traced(np.cross(a.value, b.value), a.tape, back)


def linear(x, weight, bias=None):
    """See the numpy engine; `x` may be a plain array."""
    if not isinstance(x, Traced):
        return plain_linear(x, weight, bias)
    return Traced(
        plain_linear(x.value, weight, bias), x.tape, lambda gradient: x.receive(plain_linear(gradient, weight.T))
    )


def rms_norm(x, gain):
    """See the numpy engine."""
    size = x.shape[-1]
    inverse = (np.einsum("...d,...d->...", x.value, x.value)[..., None] / size + 1e-6) ** -0.5
    normed = x.value * inverse

    def back(gradient):
        gradient = gradient * gain
        along = np.einsum("...d,...d->...", gradient, normed)[..., None] / size
        x.receive((gradient - along * normed) * inverse)

    return Traced(normed * gain, x.tape, back)


def relu_squared(x):
    """See the numpy engine."""
    y = np.maximum(x.value, 0)
    return Traced(y * y, x.tape, lambda gradient: x.receive(2.0 * gradient * y))


def rotary(x, cosine, sine):
    """See the numpy engine."""
    return Traced(
        plain_rotary(x.value, cosine, sine), x.tape, lambda gradient: x.receive(plain_rotary(gradient, cosine, -sine))
    )


def unbind(array, axis):
    """See the numpy engine."""
    at = (slice(None),) * axis
    return tuple(array[(*at, row)] for row in range(array.shape[axis]))


def attention(query, key, value, bias=None):
    """See the numpy engine."""
    scale = query.shape[-1] ** -0.5
    scores = (query.value * scale) @ key.value.swapaxes(-1, -2)
    shares = softmax(scores if bias is None else scores + bias)

    def back(gradient):
        value.receive(shares.swapaxes(-1, -2) @ gradient)
        pull = gradient @ value.value.swapaxes(-1, -2)
        pull = shares * (pull - (pull * shares).sum(axis=-1, keepdims=True)) * scale
        query.receive(pull @ key.value)
        key.receive(pull.swapaxes(-1, -2) @ query.value)

    return Traced(shares @ value.value, query.tape, back)


def plain(array):
    """The numpy array of a traced one; others as they are."""
    return array.value if isinstance(array, Traced) else array


def value_and_gradients(function, arrays):
    """What `function` gives of some arrays, and how it changes with each.

    Args:
        function: of a tuple like `arrays` to (a number, a tuple of arrays to keep).

    Returns:
        (the number, the kept arrays, a tuple of gradients like `arrays`).
    """
    tape = []
    inputs = tuple(Traced(array, tape) for array in arrays)
    value, kept = function(inputs)
    value.gradient = np.ones_like(value.value)
    while len(tape) > len(inputs):
        step = tape.pop()  # what it holds is free for the next
        if step.gradient is not None:
            step.back(step.gradient)
    gradients = tuple(np.zeros_like(one.value) if one.gradient is None else one.gradient for one in inputs)
    return float(value.value), tuple(plain(one) for one in kept), gradients
