"""Rotations: quaternions (w, x, y, z), matrices, rotation vectors, six numbers, Euler angles.

Pure functions over any leading axes, on numpy and on torch. Matrices act on column vectors from the left. Rotation
vectors are axis times angle in radians. The six numbers are the first two columns of the matrix, column after column
(Zhou et al., On the Continuity of Rotation Representations, 2019).
"""

import numpy as np

from .engines import engine_of

EULER_ORDERS = ("XYZ", "XZY", "YXZ", "YZX", "ZXY", "ZYX")
SMALL_ANGLE = 1e-6  # below it, series instead of a division by the angle


def quaternion_multiply(a, b):
    """Hamilton product `a b`: first `b`, then `a`. `[..., 4]`."""
    aw, ax, ay, az = a[..., 0], a[..., 1], a[..., 2], a[..., 3]
    bw, bx, by, bz = b[..., 0], b[..., 1], b[..., 2], b[..., 3]
    return engine_of(a).stack(
        (
            aw * bw - ax * bx - ay * by - az * bz,
            aw * bx + ax * bw + ay * bz - az * by,
            aw * by - ax * bz + ay * bw + az * bx,
            aw * bz + ax * by - ay * bx + az * bw,
        ),
        -1,
    )


def quaternion_conjugate(q):
    """The inverse of a unit quaternion. `[..., 4]`."""
    return q * engine_of(q).asarray([1.0, -1.0, -1.0, -1.0], q)


def quaternion_normalize(q):
    """`q` scaled to unit length. `[..., 4]`."""
    return q / (q * q).sum(axis=-1)[..., None] ** 0.5


def quaternion_rotate(q, v):
    """Vectors `v [..., 3]` turned by `q [..., 4]`."""
    cross = engine_of(q).cross
    u = q[..., 1:]
    u, v = (u + 0 * v, v + 0 * u)  # the same leading axes, for torch's cross product
    t = 2.0 * cross(u, v)
    return v + q[..., :1] * t + cross(u, t)


def quaternion_to_matrix(q):
    """`[..., 4]` to `[..., 3, 3]`."""
    w, x, y, z = q[..., 0], q[..., 1], q[..., 2], q[..., 3]
    rows = (
        1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y),
        2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x),
        2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y),
    )  # fmt: skip
    return engine_of(q).stack(rows, -1).reshape(*q.shape[:-1], 3, 3)


def matrix_to_quaternion(m):
    """`[..., 3, 3]` to unit quaternions with w >= 0, `[..., 4]`; the largest of four forms is used (Shepperd, 1978)."""
    xp = engine_of(m)
    m00, m11, m22 = m[..., 0, 0], m[..., 1, 1], m[..., 2, 2]
    a, b, c = m[..., 2, 1] - m[..., 1, 2], m[..., 0, 2] - m[..., 2, 0], m[..., 1, 0] - m[..., 0, 1]
    d, e, f = m[..., 1, 0] + m[..., 0, 1], m[..., 0, 2] + m[..., 2, 0], m[..., 2, 1] + m[..., 1, 2]
    four = (1 + m00 + m11 + m22, 1 + m00 - m11 - m22, 1 - m00 + m11 - m22, 1 - m00 - m11 + m22)
    forms = xp.stack(
        (
            xp.stack((four[0], a, b, c), -1),
            xp.stack((a, four[1], d, e), -1),
            xp.stack((b, d, four[2], f), -1),
            xp.stack((c, e, f, four[3]), -1),
        ),
        -2,
    )
    q = forms[..., 0, :]
    best = four[0]
    for index in (1, 2, 3):
        larger = four[index] > best
        q = xp.where(larger[..., None], forms[..., index, :], q)
        best = xp.where(larger, four[index], best)
    q = quaternion_normalize(q)
    return xp.where(q[..., :1] < 0, -q, q)


def matrix_to_sixd(m):
    """`[..., 3, 3]` to the first two columns, `[..., 6]`."""
    return engine_of(m).concat((m[..., :, 0], m[..., :, 1]), -1)


def sixd_to_matrix(s):
    """`[..., 6]`, any two independent columns, to the rotation that Gram-Schmidt gives, `[..., 3, 3]`."""
    xp = engine_of(s)
    x, y = s[..., :3], s[..., 3:]
    x = x / ((x * x).sum(axis=-1)[..., None] + 1e-12) ** 0.5
    y = y - (x * y).sum(axis=-1)[..., None] * x
    y = y / ((y * y).sum(axis=-1)[..., None] + 1e-12) ** 0.5
    return xp.stack((x, y, xp.cross(x, y)), -1)


def quaternion_to_rotvec(q):
    """Log map: `[..., 4]` to rotation vectors of the shorter way round, `[..., 3]`, radians."""
    xp = engine_of(q)
    q = xp.where(q[..., :1] < 0, -q, q)
    v = q[..., 1:]
    sine = (v * v).sum(axis=-1)[..., None] ** 0.5
    angle = 2.0 * xp.arctan2(sine, q[..., :1])
    small = sine < SMALL_ANGLE
    return v * xp.where(small, 2.0 + 0 * sine, angle / xp.where(small, 1.0 + 0 * sine, sine))


def rotvec_to_quaternion(v):
    """Exponential map: `[..., 3]`, radians, to unit quaternions `[..., 4]`."""
    xp = engine_of(v)
    angle = (v * v).sum(axis=-1)[..., None] ** 0.5
    small = angle < SMALL_ANGLE
    scale = xp.where(small, 0.5 + 0 * angle, xp.sin(0.5 * angle) / xp.where(small, 1.0 + 0 * angle, angle))
    return xp.concat((xp.cos(0.5 * angle), scale * v), -1)


def rotvec_to_matrix(v):
    """Exponential map: `[..., 3]`, radians, to `[..., 3, 3]`."""
    return quaternion_to_matrix(rotvec_to_quaternion(v))


def matrix_to_rotvec(m):
    """Log map: `[..., 3, 3]` to `[..., 3]`, radians."""
    return quaternion_to_rotvec(matrix_to_quaternion(m))


def quaternion_angle(a, b):
    """Geodesic distance of two rotations in radians, exact for small angles too. `[..., 4]` to `[...]`."""
    xp = engine_of(a)
    d = quaternion_multiply(quaternion_conjugate(a), b)
    return 2.0 * xp.arctan2((d[..., 1:] ** 2).sum(axis=-1) ** 0.5, abs(d[..., 0]))


def matrix_angle(a, b):
    """Geodesic distance of two rotations in radians. `[..., 3, 3]` to `[...]`."""
    return quaternion_angle(matrix_to_quaternion(a), matrix_to_quaternion(b))


def quaternion_slerp(a, b, t):
    """From `a` to `b` by the shorter way; `t` broadcasts against `[..., 4]` (give it a last axis of 1)."""
    return quaternion_multiply(
        a, rotvec_to_quaternion(t * quaternion_to_rotvec(quaternion_multiply(quaternion_conjugate(a), b)))
    )


def quaternion_continuous(q):
    """The same rotations with signs chosen so that neighbours along axis 0 are near. numpy, `[T, ..., 4]`."""
    same = (q[1:] * q[:-1]).sum(axis=-1) >= 0
    signs = np.concatenate((np.ones_like(q[:1, ..., 0]), np.cumprod(np.where(same, 1.0, -1.0), axis=0)))
    return q * signs[..., None].astype(q.dtype)


def yaw_to_quaternion(angle_rad):
    """A turn about Z, up. `[...]` to `[..., 4]`."""
    xp = engine_of(angle_rad)
    zero = 0 * angle_rad
    return xp.stack((xp.cos(0.5 * angle_rad), zero, zero, xp.sin(0.5 * angle_rad)), -1)


def yaw_to_matrix(angle_rad):
    """A turn about Z, up. `[...]` to `[..., 3, 3]`."""
    return quaternion_to_matrix(yaw_to_quaternion(angle_rad))


def euler_to_quaternion(angles_rad, order: str):
    """Euler angles as Blender keeps them to quaternions. numpy, `[..., 3]` (x, y, z) to `[..., 4]`.

    `order` "XYZ" turns about X first, then Y, then Z of the parent's axes, as Blender's rotation modes say.
    """
    half = 0.5 * np.asarray(angles_rad, dtype=np.float64)
    q = None
    for axis in ("XYZ".index(letter) for letter in order):
        turn = np.zeros((*half.shape[:-1], 4))
        turn[..., 0] = np.cos(half[..., axis])
        turn[..., 1 + axis] = np.sin(half[..., axis])
        q = turn if q is None else quaternion_multiply(turn, q)
    return q


def quaternion_to_euler(q, order: str, near_rad=None):
    """Quaternions to Euler angles as Blender keeps them. numpy, `[..., 4]` to `[..., 3]` (x, y, z), radians.

    Of the two solutions, and of their full turns, the one nearest to `near_rad [..., 3]` is taken (zero without it), so
    that curves don't flip. Exact also close to gimbal lock, where the first angle stays at `near_rad`'s.
    """
    m = quaternion_to_matrix(np.asarray(q, dtype=np.float64))
    i, j, k = ("XYZ".index(letter) for letter in order)
    parity = 1.0 if (j - i) % 3 == 1 else -1.0
    near = np.zeros(m.shape[:-2] + (3,)) if near_rad is None else np.asarray(near_rad, dtype=np.float64)
    cosine = np.hypot(m[..., i, i], m[..., j, i])
    locked = cosine < 1e-7
    first = np.arctan2(parity * m[..., k, j], m[..., k, k])
    first = np.where(locked, near[..., i], first)
    # With the first angle known, the last follows from the turned-back matrix, which also holds at gimbal lock.
    s, c = np.sin(first), np.cos(first)
    third = np.arctan2(
        parity * (parity * s * m[..., i, k] - c * m[..., i, j]), c * m[..., j, j] - parity * s * m[..., j, k]
    )
    second = np.arctan2(-parity * m[..., k, i], cosine)
    best = None
    for a, b, g in ((first, second, third), (first + np.pi, np.pi - second, third + np.pi)):
        angles = np.empty_like(near)
        angles[..., i], angles[..., j], angles[..., k] = a, b, g
        angles = angles - 2 * np.pi * np.round((angles - near) / (2 * np.pi))
        if best is None:
            best = angles
        else:
            nearer = ((angles - near) ** 2).sum(axis=-1) < ((best - near) ** 2).sum(axis=-1)
            best = np.where((nearer & ~locked)[..., None], angles, best)
    return best
