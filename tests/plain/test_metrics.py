"""The figures that are reported: pinned by motions whose figures are known beforehand, and by slow second versions.

python -m pytest tests/plain/test_metrics.py
"""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from backend.motion import Motion, joint_positions
from backend.rotations import quaternion_multiply, rotvec_to_quaternion
from backend.skeleton import Skeleton, skeleton_height
from training import metrics

REPOSITORY = Path(__file__).resolve().parents[2]
# Two legs and a spine: the longest way along bones is 1.7 * 1.45 units, so that figures are in the units given.
LENGTH = 1.7 * 1.45 / 2
PARENTS = np.array([-1, 0, 0, 0])
PLACES = np.array([[0, 0, 0], [0.1, 0, -1], [-0.1, 0, -1], [0, 0, 0.5]])
PLACES[1:3] *= LENGTH / np.linalg.norm(PLACES[1])


def motion(frames=90, fps=30.0, scale=1.0, seed=0, turn_deg=20.0) -> Motion:
    """A smooth random motion of a body of 1.7 m times `scale`."""
    rest = np.tile(np.eye(4), (4, 1, 1))
    rest[:, :3, 3] = scale * PLACES
    generator = np.random.default_rng(seed)
    time = np.arange(frames)[:, None, None] / fps
    waves = np.sin(2 * time * generator.uniform(0.5, 2, size=(4, 3)) + generator.uniform(0, 6, size=(4, 3)))
    rotations = rotvec_to_quaternion(np.radians(turn_deg) * waves)
    path = scale * np.concatenate((0.5 * time[:, 0], 0.1 * np.sin(time[:, 0]), 1 + 0 * time[:, 0]), axis=1)
    return Motion(Skeleton(PARENTS, rest), fps, path, rotations)


def turned(source: Motion, degrees: float, joints=slice(None)) -> Motion:
    """The same with some joints turned about the world's x."""
    rotations = source.rotations.copy()
    turn = rotvec_to_quaternion(np.radians([degrees, 0.0, 0.0]))
    rotations[:, joints] = quaternion_multiply(turn[None, None], rotations[:, joints])
    return replace(source, rotations=rotations)


def test_the_test_body_is_as_high_as_reports_say():
    """So that the numbers below need no scale."""
    assert skeleton_height(motion().skeleton) == pytest.approx(1.7)


def test_a_motion_has_no_error_against_itself():
    """Every row of both tables at its ideal."""
    clip = motion()
    row = metrics.reconstruction_figures(clip, clip, chunk=32)
    assert row.pop("seam_ratio") == pytest.approx(1)
    assert all(abs(value) < 1e-5 for value in row.values())
    row = metrics.variation_figures(clip, clip)
    assert row["jerk_ratio"] == row["peak_jerk_ratio"] == row["contact_overlap"] == 1
    nothing = ("change_deg", "start_pose_cm", "end_pose_cm", "aligned_over_random")
    assert [row[name] for name in nothing] == pytest.approx([0, 0, 0, 0], abs=1e-9)


def test_a_shift_shows_only_where_positions_are_not_aligned():
    """30 mm and 40 mm to the side are 50 mm."""
    clip = motion()
    moved = replace(clip, root_positions=clip.root_positions + np.array([0.03, 0.04, 0]))
    assert metrics.joint_error_mm(clip, moved, aligned=False) == pytest.approx(50)
    assert metrics.joint_error_mm(clip, moved) == pytest.approx(0, abs=1e-9)
    assert metrics.end_pose_errors_cm(clip, moved) == pytest.approx((5, 5))


def test_lengths_are_reported_for_a_body_of_1_7_m():
    """The same motion in centimetres, or of a giant, has the same figures."""
    for scale in (0.01, 100.0):
        small, large = (motion(scale=s, seed=seed) for s, seed in ((1.0, 1), (scale, 1)))
        other_small, other_large = motion(seed=2), motion(scale=scale, seed=2)
        assert metrics.joint_error_mm(small, other_small) == pytest.approx(metrics.joint_error_mm(large, other_large))
        np.testing.assert_allclose(metrics.jerk_curve(small), metrics.jerk_curve(large), atol=1e-12)


def test_joint_error_in_heights_is_that_in_mm():
    """By definition, at 1.7 m."""
    a, b = motion(seed=1), motion(seed=2)
    assert metrics.joint_error_heights(a, b) == pytest.approx(metrics.joint_error_mm(a, b) / 1700)


def test_rotation_errors_tell_world_from_local():
    """The root turned alone turns no other joint in the world, and all its children against it."""
    clip = motion()
    other = turned(clip, 8, [0])
    assert metrics.rotation_error_deg(clip, other) == pytest.approx(2)
    assert metrics.rotation_error_deg(clip, other, local=True) == pytest.approx(8)
    assert metrics.change_deg(clip, other) == pytest.approx(2)
    assert metrics.change_deg(clip, other, np.array([True, False, False, False])) == pytest.approx(8)


def test_acceleration_is_counted_in_frames_of_30_fps():
    """A fall of half g t squared: g / 900 a frame squared; a clip at 60 fps tells the same."""
    for fps in (30.0, 60.0):
        clip = motion(fps=fps)
        fall = np.zeros((90, 3))
        fall[:, 2] = -0.5 * 9.81 * (np.arange(90) / fps) ** 2
        falling = replace(clip, root_positions=clip.root_positions + fall)
        assert metrics.acceleration_error_mm(clip, falling) == pytest.approx(9810 / 900, rel=1e-6)


def test_jerk_is_flowmdms():
    """Third differences, summed over axes, the largest over joints: against loops."""
    clip = motion(frames=12)
    places = joint_positions(clip)
    curve = metrics.jerk_curve(clip)
    for t in range(9):
        third = places[t + 3] - 3 * places[t + 2] + 3 * places[t + 1] - places[t]
        assert curve[t] == pytest.approx(max(sum(abs(axis) for axis in joint) for joint in third))


def bumped(clip: Motion, frames, size=0.02) -> Motion:
    """A jump of the root in single frames."""
    path = clip.root_positions.copy()
    path[frames, 2] += size
    return replace(clip, root_positions=path)


def test_the_seam_is_seen_at_chunk_borders_and_only_there():
    """Jumps at 32 and 64 raise it, jumps at 48 and 80 lower it."""
    clip = motion(frames=96)
    assert metrics.seam_ratio(clip, clip, 32) == pytest.approx(1)
    assert metrics.seam_ratio(clip, bumped(clip, [32, 64]), 32) > 5
    assert metrics.seam_ratio(clip, bumped(clip, [16, 48, 80]), 32) < 1
    assert metrics.seam(motion(frames=20), 32) == 1


def test_area_under_jerk_is_that_of_the_average_transition():
    """Twice the jump, twice the area above the level; nothing for a clip of even jerk."""
    still = motion(frames=96, turn_deg=0.0)
    still = replace(still, root_positions=0 * still.root_positions)
    one, two = (metrics.area_under_jerk(still, bumped(still, [32, 64], size), 32) for size in (0.01, 0.02))
    assert one == pytest.approx(0.01 * (1 + 3 + 3 + 1))
    assert two == pytest.approx(2 * one)
    assert metrics.area_under_jerk(still, still, 32) == 0


def test_area_under_jerk_of_many_clips_is_that_of_their_mean_transition():
    """One clip that jumps at its borders and one that doesn't: half the area; the sources' own comes first."""
    still = motion(frames=96, turn_deg=0.0)
    still = replace(still, root_positions=0 * still.root_positions)
    jumps = metrics.jerk_curve(bumped(still, [32, 64], 0.01))
    quiet = metrics.jerk_curve(still)
    source, other = metrics.pooled_area_under_jerk([(quiet, jumps), (quiet, quiet)], 32)
    assert source == 0 and other == pytest.approx(0.01 * (1 + 3 + 3 + 1) / 2)
    assert metrics.pooled_area_under_jerk([(quiet[:10], quiet[:10])], 32) is None


def test_jerk_ratios_are_mean_and_peak():
    """A change of tempo: half the jerk of a motion whose sizes are half."""
    clip = motion(turn_deg=0.0)
    half = replace(clip, root_positions=0.5 * clip.root_positions)
    mean, peak = metrics.jerk_ratios(half, clip)
    assert mean == pytest.approx(2, rel=1e-3) and peak == pytest.approx(2, rel=1e-3)


def test_skate_is_the_speed_of_joints_in_contact():
    """2 cm a row at 30 fps are 60 cm/s; rows next to a contact don't count."""
    clip = motion(frames=30, turn_deg=0.0)
    path = np.zeros((30, 3))
    path[:, 0] = 0.02 * np.arange(30)
    path[20:, 0] += 5.0
    clip = replace(clip, root_positions=path)
    contacts = np.zeros((30, 4), bool)
    contacts[5:15, 1] = contacts[20:25, 2] = True
    assert metrics.skate_cm_s(clip, contacts) == pytest.approx(60)
    assert metrics.skate_cm_s(clip, 0 * contacts) == 0


def test_distances_of_poses_are_ganimators():
    """A half turn about z changes the sign of two of the six numbers from 1 to -1: the distance is sqrt 8."""
    clip = motion(turn_deg=0.0)
    rotations = clip.rotations.copy()
    rotations[:, 3] = [0, 0, 0, 1]
    other = replace(clip, rotations=rotations)
    assert metrics.aligned_distance(clip, other) == pytest.approx(np.sqrt(8))
    assert metrics.inter_diversity([clip, other, clip]) == pytest.approx(np.sqrt(8))
    assert metrics.inter_diversity([clip]) == 0
    assert metrics.frame_distances(clip, other, angular=True) == pytest.approx(180 / 4)


def test_random_pairs_are_all_pairs():
    """Against loops; a frame is not paired with itself."""
    clip = motion(frames=10)
    poses = metrics.pose_features(clip)
    pairs = [np.linalg.norm(poses[i] - poses[j]) for i in range(10) for j in range(10) if i != j]
    assert metrics.random_pair_distance(clip) == pytest.approx(np.mean(pairs), rel=1e-6)


def test_coverage_and_diversity_of_a_copy():
    """All windows are found, at no distance, also where the sample is cut anew."""
    clip = motion(frames=120)
    own = metrics.frame_distances(clip, clip)
    assert metrics.coverage(own) == 1
    assert metrics.local_diversity(own) == pytest.approx(0, abs=1e-5)
    assert metrics.global_diversity(own) == pytest.approx(0, abs=1e-5)
    order = np.concatenate((np.arange(60, 120), np.arange(0, 60)))
    recut = replace(clip, root_positions=clip.root_positions[order], rotations=clip.rotations[order])
    distances = metrics.frame_distances(clip, recut)
    assert metrics.coverage(distances, threshold=1e-4) < 1
    assert metrics.global_diversity(distances) == pytest.approx(0, abs=1e-5)
    assert metrics.local_diversity(distances) > 0


def test_coverage_counts_the_sources_windows():
    """A sample that shows the first half of the source covers its windows and no others."""
    clip = motion(frames=120, turn_deg=60)
    half = replace(clip, root_positions=clip.root_positions[:60], rotations=clip.rotations[:60])
    found = metrics.coverage(metrics.frame_distances(clip, half), threshold=1e-4)
    assert found == pytest.approx(31 / 91)


def test_the_cheapest_cut_is_that_of_trying_all():
    """Dynamic programming against every way to cut a short sample."""
    distances = np.random.default_rng(3).uniform(1, 2, size=(9, 11))
    shortest = 3

    def cheapest(end):
        if end == 0:
            return 0.0
        best = np.inf
        for start in range(0, end - shortest + 1):
            length = end - start
            for row in range(0, 9 - length + 1):
                part = sum(distances[row + k, start + k] for k in range(length))
                best = min(best, cheapest(start) + part)
        return best

    assert metrics.global_diversity(distances, shortest) == pytest.approx(cheapest(11) / 11)


def test_the_row_of_samples_is_its_figures():
    """A copy covers all at no distance; a joint turned 180 degrees is sqrt 8 away, and 45 degrees the mean of four."""
    clip = motion(turn_deg=10.0)
    copy = metrics.diversity_figures(clip, [clip, clip])
    assert copy["coverage"] == copy["coverage_deg"] == 1
    assert [copy[name] for name in ("local", "global", "inter", "aligned_over_random")] == pytest.approx(
        [0] * 4, abs=1e-5
    )
    assert copy["spread"] == pytest.approx(metrics.random_pair_distance(clip))
    still = motion(turn_deg=0.0)
    rotations = still.rotations.copy()
    rotations[:, 3] = [0, 0, 0, 1]
    row = metrics.diversity_figures(still, [still, replace(still, rotations=rotations)])
    assert row["coverage"] == row["coverage_deg"] == 0.5
    assert [row[name] for name in ("local", "global", "inter")] == pytest.approx([2**0.5, 2**0.5, 8**0.5])
    assert row["local_deg"] == pytest.approx(45 / 2, abs=1e-3) and row["aligned_over_random"] == 0


def test_turns_against_the_parents_make_the_turns_in_the_world():
    """There and back."""
    clip = motion(seed=5)
    world = metrics.world_rotations(clip.skeleton.parents, metrics.local_rotations(clip))
    np.testing.assert_allclose(world, clip.rotations, atol=1e-12)


def test_moving_joints_are_those_that_turn():
    """The one leg that swings."""
    clip = motion(turn_deg=0.0)
    rotations = clip.rotations.copy()
    rotations[:, 2] = rotvec_to_quaternion(np.sin(np.arange(90) / 9)[:, None] * np.array([0.7, 0, 0]))
    found = metrics.moving_joints(replace(clip, rotations=rotations))
    np.testing.assert_array_equal(found, [False, False, True, False])


def test_joint_ranges_hold_their_own_data_and_nothing_far_beyond():
    """A leg turned 60 degrees further is outside in all frames: one joint of three."""
    clips = [motion(seed=4), motion(seed=4, turn_deg=10)]
    ranges = metrics.joint_ranges(clips)
    assert metrics.share_outside_ranges(clips[0], ranges) == 0
    beyond = turned(motion(seed=4, turn_deg=1), 60, [2])
    assert metrics.share_outside_ranges(beyond, ranges) == pytest.approx(1 / 3)


def test_short_clips_have_figures():
    """Two frames are a motion."""
    clip = motion(frames=2)
    other = turned(clip, 5)
    for row in (metrics.reconstruction_figures(clip, other, 32), metrics.variation_figures(clip, other)):
        assert np.isfinite(list(row.values())).all()
    own = metrics.frame_distances(clip, clip)
    assert metrics.coverage(own) == 1 and metrics.global_diversity(own) < 1e-5


def test_metrics_need_no_torch():
    """They run in Blender's own Python, for the demo's report."""
    code = "import sys, training.metrics; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, timeout=120).returncode == 0
