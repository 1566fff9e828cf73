"""What a clip must be to be trained on: what is wrong with one is cut off, mended or the reason to leave it out.

Every finding is a sentence for the data set's report. Lengths are in skeleton heights, so that the limits hold for a
mouse in metres and a giant in centimetres. numpy.
"""

from dataclasses import replace

import numpy as np

from backend.features import MODEL_FPS
from backend.motion import Motion, joint_positions, resample_motion, slice_motion
from backend.rotations import (
    matrix_to_quaternion,
    quaternion_angle,
    quaternion_conjugate,
    quaternion_multiply,
    quaternion_rotate,
    quaternion_to_matrix,
    rotvec_to_quaternion,
)
from backend.skeleton import skeleton_height

from .sources import SourceError

MIN_FRAMES = 12  # at MODEL_FPS
MIN_FPS, MAX_FPS = 8.0, 2000.0  # slower rates say nothing of how a body gets from pose to pose
# A frame's step that is longer than this and than its neighbours' is no movement but a jump.
ROOT_JUMP, JOINT_JUMP, BODY_JUMP = 0.4, 1.0, 0.3  # the root; any joint, all joints on average, against the root
JUMP_OVER_NEIGHBOURS = 6.0
MOST_JUMPS = 0.05  # of the frames: a clip with more is broken as a whole
STILL_STEP = 2e-4  # heights a frame (a centimetre a second): people who stand still sway more
STILL_TURN_RAD = np.radians(0.05)  # a frame
LONGEST_STILL, KEPT_STILL = 15, 9  # frames at an end that may stand still, and how many are left of more
MOST_STILL = 0.95  # of a clip
TOO_FAST = 0.8  # heights a frame, of the fastest joint, half of the time
HELD_STEP_DEG = 0.1  # the mean turn of the joints a frame in a pose that is held
FIRST_JUMP_DEG, FIRST_JUMP_OVER_NEXT = 8.0, 6.0  # the mean turn from it to the next pose, over the turns after that
REST_DEG = 15.0  # a pose in which half of the joints are this near to the rest pose is called so
MOST_HELD = 8  # frames
GROUND_HEIGHTS, RESTING_SPEED = 0.05, 0.1  # a joint this near to the ground and this slow (heights/s) rests on it
# A body that stands on another axis than Z rests there in half of the frames, plainly more often than along Z, and is
# longer along it.
UPRIGHT_SHARE, UPRIGHT_LEAD, LYING_EXTENT = 0.5, 0.3, 1.5


def checked_clips(motion: Motion, up_is_known: bool = False) -> list[tuple[Motion, list[str]]]:
    """The parts of a clip that can be trained on, at MODEL_FPS, each with what was changed or cut off.

    Args:
        up_is_known: the format says which axis is up.

    Raises:
        SourceError: nothing is left; the text says why.
    """
    check_numbers(motion)
    notes = []
    for step in (without_held_frames, without_first_pose, *(() if up_is_known else (upright,))):
        motion, note = step(motion)
        notes += [note] if note else []
    motion = resample_motion(motion, MODEL_FPS)
    if motion.frames < MIN_FRAMES:
        raise SourceError(f"{motion.frames} frames at {MODEL_FPS:.0f} fps, expected at least {MIN_FRAMES}.")
    clips, reasons = [], []
    for start, stop, cut in continuous_parts(motion):
        try:
            part, note = without_still_ends(slice_motion(motion, start, stop))
            check_movement(part)
        except SourceError as error:
            reasons.append(str(error))
        else:
            clips.append((part, notes + [text for text in (cut, note) if text]))
    if not clips:
        raise SourceError(
            reasons[0] if len(set(reasons)) == 1 else f"No part is left: {' '.join(sorted(set(reasons)))}"
        )
    return clips


def check_numbers(motion: Motion) -> None:
    """Raises SourceError where the rate or the numbers can't be right."""
    if not MIN_FPS <= motion.fps <= MAX_FPS:
        raise SourceError(f"{motion.fps:g} frames a second, expected {MIN_FPS:g} to {MAX_FPS:g}; is the rate right?")
    finite = np.isfinite(motion.rotations).all(axis=(1, 2)) & np.isfinite(motion.root_positions).all(axis=1)
    if motion.positions is not None:
        finite &= np.isfinite(motion.positions).all(axis=(1, 2))
    if not finite.all():
        first = int(np.flatnonzero(~finite)[0]) + 1
        raise SourceError(
            f"{int((~finite).sum())} of {len(finite)} frames hold no numbers (the first is frame {first})."
        )
    if skeleton_height(motion.skeleton) < 1e-6:
        raise SourceError("All joints lie in one point; the skeleton has no size.")


def without_held_frames(motion: Motion) -> tuple[Motion, str | None]:
    """A clip in which every pose is written several times, at the rate at which poses change."""
    moved = np.abs(np.diff(motion.rotations, axis=0)).max(axis=(1, 2)) > 1e-7
    moved |= np.abs(np.diff(motion.root_positions, axis=0)).max(axis=1) > 1e-7
    times = np.flatnonzero(moved)
    if len(times) < MIN_FRAMES or len(times) > 0.6 * len(moved):
        return motion, None
    strides = np.diff(times)
    held = int(np.bincount(strides).argmax())
    if not 2 <= held <= MOST_HELD or (strides % held > 0).mean() > 0.02 or motion.fps / held < MIN_FPS:
        return motion, None
    rows = np.arange((times[0] + 1) % held, motion.frames, held)
    positions = None if motion.positions is None else motion.positions[rows]
    thinned = Motion(motion.skeleton, motion.fps / held, motion.root_positions[rows], motion.rotations[rows], positions)
    return thinned, f"every pose was held for {held} frames: taken as {thinned.fps:g} instead of {motion.fps:g} fps"


def without_first_pose(motion: Motion) -> tuple[Motion, str | None]:
    """Without a pose at the start, mostly the T-pose, that is held for a frame or more and jumped away from."""
    steps = np.degrees(quaternion_angle(motion.rotations[1:], motion.rotations[:-1])).mean(axis=1)
    moving = np.flatnonzero(steps > HELD_STEP_DEG)
    first = int(moving[0]) if len(moving) else len(steps)
    after = steps[first + 1 : first + 13]
    if first > motion.frames // 2 or len(after) < 3:
        return motion, None
    if steps[first] < max(FIRST_JUMP_DEG, FIRST_JUMP_OVER_NEXT * float(np.median(after))):
        return motion, None
    rest = matrix_to_quaternion(motion.skeleton.rest[:, :3, :3])
    changes = quaternion_multiply(motion.rotations[first], quaternion_conjugate(rest))
    from_rest = float(np.degrees(np.median(quaternion_angle(changes, changes[:1] + 0 * changes))))
    pose = "the rest pose (T-pose)" if from_rest < REST_DEG else "a pose of its own"
    frames = "the first frame was" if first == 0 else f"the first {first + 1} frames were"
    return slice_motion(motion, first + 1, motion.frames), f"{frames} {pose}, from which the clip jumped away: cut"


def resting_share(positions, axis: int, sign: int, fps: float) -> float:
    """The share of frames in which something rests on the ground, if gravity pulled along one axis.

    Args:
        positions: `[T, J, 3]` skeleton heights.
    """
    heights = sign * positions[1:, :, axis]
    ground = np.percentile(heights.min(axis=1), 5)
    slow = np.linalg.norm(np.diff(positions, axis=0), axis=-1) * fps < RESTING_SPEED
    return float((slow & (np.abs(heights - ground) < GROUND_HEIGHTS)).any(axis=1).mean())


def upright(motion: Motion) -> tuple[Motion, str | None]:
    """The clip with Z up, where it plainly stands on another axis: it rests on a ground there and lies along Z.

    A body that hardly moves rests on everything; such clips stay as they are.
    """
    positions = joint_positions(motion) / skeleton_height(motion.skeleton)
    lying = resting_share(positions, 2, 1, motion.fps)
    extents = np.ptp(positions, axis=1).mean(axis=0)
    shares = {
        (axis, sign): resting_share(positions, axis, sign, motion.fps)
        for axis in (0, 1)
        for sign in (1, -1)
        if extents[axis] > LYING_EXTENT * extents[2]
    }
    best = max(shares, key=shares.get, default=None)
    if best is None or shares[best] < max(UPRIGHT_SHARE, lying + UPRIGHT_LEAD):
        return motion, None
    axis, sign = best
    turn = rotvec_to_quaternion(np.array([[sign, 0, 0] if axis == 1 else [0, -sign, 0]]) * np.pi / 2)[0]
    note = f"{'-' if sign < 0 else ''}{'XY'[axis]} was up: turned"
    return turned_motion(motion, turn), note


def turned_motion(motion: Motion, turn) -> Motion:
    """The whole motion turned in the world by a quaternion."""
    rest = motion.skeleton.rest.copy()
    matrix = quaternion_to_matrix(turn)
    rest[:, :3] = matrix @ rest[:, :3]
    positions = motion.positions
    return Motion(
        skeleton=replace(motion.skeleton, rest=rest),
        fps=motion.fps,
        root_positions=quaternion_rotate(turn + 0 * motion.rotations[:, 0], motion.root_positions),
        rotations=quaternion_multiply(turn + 0 * motion.rotations, motion.rotations),
        positions=None if positions is None else quaternion_rotate(turn + 0 * motion.rotations, positions),
    )


def jumps(positions) -> np.ndarray:
    """Which steps from a frame to the next are no movement, `[T - 1]` bool. positions: `[T, J, 3]` heights."""
    root = np.linalg.norm(np.diff(positions[:, 0], axis=0), axis=-1)
    body = np.linalg.norm(np.diff(positions - positions[:, :1], axis=0), axis=-1)
    found = np.zeros(len(root), bool)
    for steps, limit in ((root, ROOT_JUMP), (body.max(axis=1), JOINT_JUMP), (body.mean(axis=1), BODY_JUMP)):
        for row in np.flatnonzero(steps > limit):
            around = np.concatenate((steps[max(row - 6, 0) : row], steps[row + 1 : row + 7]))
            found[row] |= steps[row] > JUMP_OVER_NEIGHBOURS * np.median(around) if len(around) else True
    return found


def continuous_parts(motion: Motion) -> list[tuple[int, int, str | None]]:
    """(start, stop, what was cut) of the parts between jumps that are long enough.

    Raises:
        SourceError: too many jumps, or no part is long enough.
    """
    found = np.flatnonzero(jumps(joint_positions(motion) / skeleton_height(motion.skeleton)))
    if not len(found):
        return [(0, motion.frames, None)]
    where = f"{len(found)} jump{'s' if len(found) > 1 else ''} (the first at {(found[0] + 1) / MODEL_FPS:.2f} s)"
    if len(found) > MOST_JUMPS * motion.frames + 2:
        raise SourceError(f"{where} in {motion.frames} frames; the clip is broken.")
    ends = [0, *(found + 1), motion.frames]
    parts = [(a, b) for a, b in zip(ends, ends[1:], strict=False) if b - a >= MIN_FRAMES]
    if not parts:
        raise SourceError(f"{where} leave no part of {MIN_FRAMES} frames.")
    return [(a, b, f"{where}: frames {a} to {b - 1} of {motion.frames} kept as a clip") for a, b in parts]


def without_still_ends(motion: Motion) -> tuple[Motion, str | None]:
    """The clip at MODEL_FPS with the frames in which nothing moves at its ends cut to KEPT_STILL.

    Raises:
        SourceError: nothing moves in nearly all frames.
    """
    positions = joint_positions(motion) / skeleton_height(motion.skeleton)
    moves = np.linalg.norm(np.diff(positions, axis=0), axis=-1).max(axis=1) > STILL_STEP
    moves |= quaternion_angle(motion.rotations[1:], motion.rotations[:-1]).max(axis=1) > STILL_TURN_RAD
    moving = np.flatnonzero(moves)
    if len(moving) < (1 - MOST_STILL) * (motion.frames - 1):
        raise SourceError(f"Frozen: nothing moves in {motion.frames - 1 - len(moving)} of {motion.frames} frames.")
    before, after = int(moving[0]), motion.frames - 2 - int(moving[-1])
    start = before - KEPT_STILL if before > LONGEST_STILL else 0
    stop = motion.frames - (after - KEPT_STILL if after > LONGEST_STILL else 0)
    if (start, stop) == (0, motion.frames):
        return motion, None
    cut = " and ".join(
        f"{seconds:.1f} s at the {end}"
        for seconds, end in ((start / MODEL_FPS, "start"), ((motion.frames - stop) / MODEL_FPS, "end"))
        if seconds
    )
    return slice_motion(motion, start, stop), f"frozen for {cut}: cut"


def check_movement(motion: Motion) -> None:
    """Raises SourceError where a clip at MODEL_FPS is too short, or faster than any body."""
    if motion.frames < MIN_FRAMES:
        raise SourceError(f"{motion.frames} frames at {MODEL_FPS:.0f} fps, expected at least {MIN_FRAMES}.")
    positions = joint_positions(motion) / skeleton_height(motion.skeleton)
    speed = float(np.median(np.linalg.norm(np.diff(positions, axis=0), axis=-1).max(axis=1)))
    if speed > TOO_FAST:
        raise SourceError(
            f"Half of the time a joint moves {speed * MODEL_FPS:.0f} body heights a second; is the frame rate right?"
        )
