"""Rotations: round trips, exact small angles, gimbal lock, and slow textbook versions as the judge.

python -m pytest tests/plain/test_rotations.py
"""

import itertools
import math

import numpy as np
import pytest

from backend import rotations as r


def random_quaternions(count: int, seed: int = 0, dtype=np.float64) -> np.ndarray:
    """Unit quaternions spread evenly over all rotations, both signs."""
    q = np.random.default_rng(seed).normal(size=(count, 4))
    return (q / np.linalg.norm(q, axis=-1, keepdims=True)).astype(dtype)


def axis_matrix(axis: str, angle: float) -> np.ndarray:
    """The textbook matrix of a turn about x, y or z."""
    c, s = math.cos(angle), math.sin(angle)
    return {
        "X": np.array([[1, 0, 0], [0, c, -s], [0, s, c]]),
        "Y": np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]]),
        "Z": np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]),
    }[axis]


def rodrigues(v) -> np.ndarray:
    """The matrix of a rotation vector, by the series of the exponential."""
    cross = np.array([[0, -v[2], v[1]], [v[2], 0, -v[0]], [-v[1], v[0], 0]])
    out, term = np.eye(3), np.eye(3)
    for k in range(1, 40):
        term = term @ cross / k
        out = out + term
    return out


def test_a_product_of_quaternions_is_the_product_of_their_matrices():
    """First b, then a, as with matrices from the left."""
    a, b = random_quaternions(50, 1), random_quaternions(50, 2)
    product = r.quaternion_to_matrix(r.quaternion_multiply(a, b))
    np.testing.assert_allclose(product, r.quaternion_to_matrix(a) @ r.quaternion_to_matrix(b), atol=1e-12)


def test_rotating_a_vector_is_multiplying_by_the_matrix():
    """With leading axes that broadcast."""
    q, v = random_quaternions(6, 3).reshape(3, 2, 4), np.random.default_rng(4).normal(size=(2, 3))
    expected = np.einsum("tjab,jb->tja", r.quaternion_to_matrix(q), v)
    np.testing.assert_allclose(r.quaternion_rotate(q, v), expected, atol=1e-12)


@pytest.mark.parametrize("dtype,tolerance", [(np.float64, 1e-12), (np.float32, 1e-5)])
def test_every_form_and_back_is_the_same_rotation(dtype, tolerance):
    """Matrix, six numbers and rotation vector; the type of float is kept."""
    q = random_quaternions(500, 5, dtype)
    matrix = r.quaternion_to_matrix(q)
    forms = {
        "matrix": r.matrix_to_quaternion(matrix),
        "sixd": r.matrix_to_quaternion(r.sixd_to_matrix(r.matrix_to_sixd(matrix))),
        "rotvec": r.rotvec_to_quaternion(r.quaternion_to_rotvec(q)),
        "rotvec of matrix": r.matrix_to_quaternion(r.rotvec_to_matrix(r.matrix_to_rotvec(matrix))),
    }
    for name, back in forms.items():
        assert back.dtype == dtype, name
        assert np.abs((back * q).sum(axis=-1)).min() > 1 - tolerance, name
        np.testing.assert_allclose(r.quaternion_to_matrix(back), matrix, atol=20 * tolerance, err_msg=name)


def test_half_turns_survive_the_way_through_matrices():
    """Where the trace form of Shepperd's method would divide by zero."""
    for axis in np.concatenate((np.eye(3), random_quaternions(20, 6)[:, 1:])):
        axis = axis / np.linalg.norm(axis)
        q = np.concatenate(([0.0], axis))
        assert abs(r.matrix_to_quaternion(r.quaternion_to_matrix(q)) @ q) > 1 - 1e-12


def test_the_exponential_is_that_of_the_series():
    """Over a whole turn of angles, tiny ones included."""
    axis = np.array([0.48, -0.6, 0.64])
    for angle in (0.0, 1e-12, 1e-7, 1e-3, 1.0, 3.1, math.pi, 5.0):
        np.testing.assert_allclose(r.rotvec_to_matrix(angle * axis), rodrigues(angle * axis), atol=1e-12)


def test_the_logarithm_goes_the_shorter_way():
    """A turn of 200 degrees is one of 160 about the opposite axis."""
    v = r.quaternion_to_rotvec(r.rotvec_to_quaternion(np.radians([0.0, 0.0, 200.0])))
    np.testing.assert_allclose(np.degrees(v), [0, 0, -160], atol=1e-9)


def test_tiny_angles_are_measured_exactly():
    """An arc cosine would lose them below 1e-8."""
    q = random_quaternions(1, 7)[0]
    for angle in (1e-10, 1e-6, 0.5, 3.0):
        turned = r.quaternion_multiply(q, r.rotvec_to_quaternion(np.array([angle, 0.0, 0.0])))
        assert r.quaternion_angle(q, turned) == pytest.approx(angle, rel=1e-5)
        assert r.quaternion_angle(q, -turned) == pytest.approx(angle, rel=1e-5)


def test_slerp_starts_ends_and_halves_the_angle():
    """Also towards a quaternion of the opposite sign."""
    a, b = random_quaternions(30, 8), -random_quaternions(30, 9)
    for t, share in ((0.0, 0.0), (0.5, 0.5), (1.0, 1.0)):
        between = r.quaternion_slerp(a, b, np.full((30, 1), t))
        np.testing.assert_allclose(r.quaternion_angle(a, between), share * r.quaternion_angle(a, b), atol=1e-9)


def test_six_numbers_need_not_be_perpendicular():
    """Whatever a network puts out becomes a rotation that keeps the first column's direction."""
    s = np.random.default_rng(10).normal(size=(40, 6))
    m = r.sixd_to_matrix(s)
    np.testing.assert_allclose(m @ m.swapaxes(-1, -2), np.tile(np.eye(3), (40, 1, 1)), atol=1e-9)
    np.testing.assert_allclose(np.linalg.det(m), 1.0, atol=1e-9)
    np.testing.assert_allclose(m[:, :, 0], s[:, :3] / np.linalg.norm(s[:, :3], axis=-1, keepdims=True), atol=1e-9)


def test_continuous_quaternions_have_no_sign_jumps():
    """The rotations stay what they were."""
    v = np.linspace(0, 12, 200)[:, None] * np.array([0.0, 0.6, 0.8])
    q = r.rotvec_to_quaternion(v) * np.random.default_rng(11).choice([-1.0, 1.0], size=(200, 1))
    smooth = r.quaternion_continuous(q)
    assert (smooth[1:] * smooth[:-1]).sum(axis=-1).min() > 0.9
    np.testing.assert_allclose(np.abs((smooth * q).sum(axis=-1)), 1.0, atol=1e-12)


def test_yaw_turns_about_z():
    """A quarter turn takes x to y and leaves z."""
    quarter = np.array(math.pi / 2)
    turned = r.quaternion_rotate(r.yaw_to_quaternion(quarter), np.array([1.0, 0, 2]))
    np.testing.assert_allclose(turned, [0, 1, 2], atol=1e-12)
    np.testing.assert_allclose(r.yaw_to_matrix(quarter), axis_matrix("Z", math.pi / 2), atol=1e-12)


@pytest.mark.parametrize("order", r.EULER_ORDERS)
def test_euler_angles_turn_about_the_parents_axes_in_blenders_order(order):
    """ "XYZ" turns about x first: the matrix of z stands leftmost."""
    for angles in np.random.default_rng(12).uniform(-3, 3, size=(20, 3)):
        expected = np.eye(3)
        for axis in order:
            expected = axis_matrix(axis, angles["XYZ".index(axis)]) @ expected
        np.testing.assert_allclose(r.quaternion_to_matrix(r.euler_to_quaternion(angles, order)), expected, atol=1e-12)


@pytest.mark.parametrize("order", r.EULER_ORDERS)
def test_euler_angles_come_back_as_they_were_when_told_where(order):
    """Many turns and the far solution included: the curve of an animator isn't changed."""
    angles = np.random.default_rng(13).uniform(-12, 12, size=(300, 3))
    back = r.quaternion_to_euler(r.euler_to_quaternion(angles, order), order, angles)
    np.testing.assert_allclose(back, angles, atol=1e-7)


@pytest.mark.parametrize("order", r.EULER_ORDERS)
def test_gimbal_lock_is_exact_and_keeps_the_first_angle(order):
    """At 90 degrees of the second axis only a sum of the others is known."""
    middle = "XYZ".index(order[1])
    for first, third, sign in itertools.product((-1.0, 0.4), (0.7, 2.0), (-1, 1)):
        angles = np.empty(3)
        angles["XYZ".index(order[0])], angles[middle], angles["XYZ".index(order[2])] = first, sign * math.pi / 2, third
        q = r.euler_to_quaternion(angles, order)
        back = r.quaternion_to_euler(q, order, angles)
        assert np.isfinite(back).all()
        assert r.quaternion_angle(r.euler_to_quaternion(back, order), q) < 1e-6
        np.testing.assert_allclose(back, angles, atol=1e-6)


def test_arguments_are_never_written_to():
    """All conversions leave what they are given alone."""
    q = random_quaternions(5, 14)
    before = q.copy()
    q.flags.writeable = False
    r.quaternion_to_rotvec(-q)
    r.quaternion_continuous(q)
    r.quaternion_to_euler(q, "XYZ")
    r.quaternion_slerp(q, q[::-1], np.full((5, 1), 0.3))
    np.testing.assert_array_equal(q, before)
