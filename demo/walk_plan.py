"""The demo's performance as numbers: a walk that turns to someone, stops and waves, posed at any frame.

An animator's plan: where the feet land and when, how the hips ride over them, what leads and what drags. Bones turn by
their *change* from the rest pose, in the body's axes (X left, -Y forward, Z up) and then about Z by the heading.
Angles in degrees until they become quaternions; positive pitch leans forward or points the toes down, positive yaw
turns left, positive roll leans left.
"""

from dataclasses import dataclass

import numpy as np

from backend.rotations import quaternion_conjugate, quaternion_multiply, quaternion_rotate, quaternion_slerp

FPS = 24
FIRST_FRAME, LAST_FRAME = 1, 152
STEP = 12  # frames from one contact to the next
PUSH = 3.0  # frames that the rear toe stays down after the other heel has landed
TOE_OUT = 6.0
TRACK_M = 0.075  # half the distance between the lines on which the feet land
ANKLE_M = 0.085  # the ankle's height over a flat foot
SIDES = {"L": 1.0, "R": -1.0}


@dataclass(frozen=True)
class Footstep:
    """One foot on the floor.

    Attributes:
        side: "L" or "R". contact, leave: frames of heel strike and toe-off; infinite where it stays.
        place: `[2]` metres, below the ankle of the flat foot. yaw: where the foot points. heading: where the body goes.
        length: of the step that ended here, metres.
    """

    side: str
    contact: float
    leave: float
    place: np.ndarray
    yaw: float
    heading: float
    length: float


# Contact by contact: step length in metres and the heading. The left foot lands on the first frame.
ROUTE = (
    (0.66, 0.0),
    (0.66, 0.0),
    (0.66, 0.0),
    (0.66, 0.0),
    (0.65, 4.0),
    (0.58, 27.0),
    (0.53, 58.0),
    (0.56, 84.0),
    (0.60, 95.0),
    (0.42, 97.0),
    (0.04, 97.0),
)
FIRST_CONTACT = FIRST_FRAME - STEP
STOP_CONTACT = FIRST_CONTACT + STEP * (len(ROUTE) - 1)
WAVE_FRAMES = (101, 106, 111, 116, 121, 126, 131, 136)  # the hand's extremes, out and in by turns
LOWER_FRAME = 138


def turn(axis: str, degrees: float) -> np.ndarray:
    """A quaternion about one of the body's axes."""
    half = np.radians(degrees) / 2
    quaternion = np.zeros(4)
    quaternion[0], quaternion[1 + "XYZ".index(axis)] = np.cos(half), np.sin(half)
    return quaternion


def chain(*turns) -> np.ndarray:
    """The product of quaternions; the last one acts first."""
    product = turns[0]
    for quaternion in turns[1:]:
        product = quaternion_multiply(product, quaternion)
    return product


def body(pitch: float = 0.0, yaw: float = 0.0, roll: float = 0.0) -> np.ndarray:
    """A change of a part of the trunk: rolled, pitched, then turned."""
    return chain(turn("Z", yaw), turn("X", pitch), turn("Y", roll))


def through(times, values, time: float):
    """A smooth curve through values, level at both ends and outside (cubic Hermite, Catmull-Rom slopes)."""
    times, values = np.asarray(times, dtype=float), np.asarray(values, dtype=float)
    if time <= times[0]:
        return values[0]
    if time >= times[-1]:
        return values[-1]
    slopes = np.zeros_like(values)
    spans = (times[2:] - times[:-2]).reshape(-1, *[1] * (values.ndim - 1))
    slopes[1:-1] = (values[2:] - values[:-2]) / spans
    index = int(np.searchsorted(times, time, side="right")) - 1
    span = times[index + 1] - times[index]
    u = (time - times[index]) / span
    return (
        (1 + 2 * u) * (1 - u) ** 2 * values[index]
        + u * (1 - u) ** 2 * span * slopes[index]
        + u * u * (3 - 2 * u) * values[index + 1]
        - u * u * (1 - u) * span * slopes[index + 1]
    )


def ease(time: float, start: float, stop: float) -> float:
    """From 0 at `start` to 1 at `stop`, slow in and out."""
    u = np.clip((time - start) / (stop - start), 0.0, 1.0)
    return float(u * u * (3 - 2 * u))


def heading_vectors(degrees: float) -> tuple[np.ndarray, np.ndarray]:
    """Forward and left on the floor, `[2]` each."""
    angle = np.radians(degrees)
    return np.array([np.sin(angle), -np.cos(angle)]), np.array([np.cos(angle), np.sin(angle)])


def footsteps() -> list[Footstep]:
    """Where and when the feet land."""
    steps = []
    centre, heading = np.zeros(2), 0.0
    for index, (length, new_heading) in enumerate(ROUTE):
        centre = centre + length * heading_vectors((heading + new_heading) / 2)[0]
        heading = new_heading
        side = "R" if index % 2 == 0 else "L"
        contact = FIRST_CONTACT + STEP * index
        stays = index >= len(ROUTE) - 2
        track = TRACK_M + (0.025 if stays else 0.0)
        place = centre + SIDES[side] * track * heading_vectors(heading)[1]
        yaw = heading + SIDES[side] * (TOE_OUT + (5.0 if stays else 0.0))
        leave = np.inf if stays else contact + STEP + PUSH
        steps.append(Footstep(side, contact, leave, place, yaw, heading, length))
    first = steps[0]
    before = first.place - 2 * first.length * heading_vectors(0)[0]
    other = np.array([-before[0], (before[1] + first.place[1]) / 2])
    steps.insert(0, Footstep("L", first.contact - STEP, first.contact + PUSH, other, TOE_OUT, 0.0, first.length))
    return steps


STEPS = footsteps()


def stance_pitch(step: Footstep, time: float) -> float:
    """The foot's pitch while it is on the floor: heel strike, flat, heel off."""
    strike = -20.0 * min(step.length / 0.66, 1.0)
    times = [step.contact, step.contact + 2.5, step.contact + 3.5]
    values = [strike, -1.0, 0.0]
    if np.isfinite(step.leave):
        times += [step.leave - 8.5, step.leave - PUSH, step.leave]
        values += [0.0, 24.0, 50.0]
    # Straight between the keys of the strike, so that the foot slaps down and then rests dead flat.
    return float(np.interp(time, times, values)) if time < times[2] else float(through(times[2:], values[2:], time))


def planted_ankle(step: Footstep, pitch: float) -> np.ndarray:
    """Where the ankle is while the heel or the ball of the foot stays where it is, `[3]`."""
    forward = heading_vectors(step.yaw)[0]
    # Forward and up from the ankle of the flat foot; a pitch lifts the ankle over the heel or over the ball.
    pivot = np.array([-0.030, -ANKLE_M]) if pitch < 0 else np.array([0.109, -ANKLE_M + 0.017])
    angle = np.radians(pitch)
    cosine, sine = np.cos(angle), np.sin(angle)
    along = pivot[0] - (cosine * pivot[0] + sine * pivot[1])
    up = pivot[1] - (-sine * pivot[0] + cosine * pivot[1])
    return np.append(step.place + along * forward, ANKLE_M + up)


def foot(side: str, time: float) -> tuple[np.ndarray, float, float, float]:
    """The ankle `[3]`, the foot's yaw and pitch, and the toes' bend against the foot."""
    own = [step for step in STEPS if step.side == side]
    index = max(i for i, step in enumerate(own) if step.contact <= time) if own[0].contact <= time else 0
    step = own[index]
    if time <= step.leave:
        pitch = stance_pitch(step, time)
        return planted_ankle(step, pitch), step.yaw, pitch, -max(pitch, 0.0)
    landing = own[index + 1]
    u = (time - step.leave) / (landing.contact - step.leave)
    start_pitch, end_pitch = stance_pitch(step, step.leave), stance_pitch(landing, landing.contact)
    start, end = planted_ankle(step, start_pitch), planted_ankle(landing, end_pitch)
    ankle = start + (end - start) * through([0, 0.5, 1], [0, 0.47, 1], u)
    lift = min(landing.length / 0.6, 1.0)
    ankle[2] = through([0, 0.25, 0.6, 0.85, 1], [start[2], start[2] + 0.03, 0.145, 0.105 + 0.015 * lift, end[2]], u)
    yaw = step.yaw + (landing.yaw - step.yaw) * ease(u, 0.1, 0.95)
    pitch = float(through([0, 0.2, 0.55, 0.85, 1], [start_pitch, 52.0, 10.0, -12.0 * lift, end_pitch], u))
    toes = float(through([0, 0.3, 0.8, 1], [-start_pitch, -8.0, -6.0 * lift, 0.0], u))
    return ankle, yaw, pitch, toes


def walking(time: float) -> float:
    """1 while walking, fading to 0 as the walk comes to rest."""
    return 1.0 - ease(time, STOP_CONTACT - 8, STOP_CONTACT + 8)


def cycle(time: float, values) -> float:
    """A value through contact, down, passing, up of the left step and, mirrored, of the right one."""
    keys = [*values, *[-value for value in values]] * 3
    phase = (time - FIRST_FRAME) % (2 * STEP) + 2 * STEP
    return float(through(np.arange(len(keys)) * STEP / len(values), keys, phase))


def bounce(time: float, values) -> float:
    """A value through contact, down, passing, up of every step."""
    keys = [*values] * 4
    phase = (time - FIRST_FRAME) % STEP + STEP
    return float(through(np.arange(len(keys)) * STEP / len(values), keys, phase))


def heading(time: float) -> float:
    """Where the hips face."""
    times = [step.contact for step in STEPS]
    values = [step.heading if i == 0 else (STEPS[i - 1].heading + step.heading) / 2 for i, step in enumerate(STEPS)]
    return float(through([*times, times[-1] + STEP], [*values, STEPS[-1].heading], time))


def hips_place(time: float) -> np.ndarray:
    """Where the hips are over the floor, `[2]`: between the feet at contact, over the standing foot at passing."""
    times, places = [], []
    for before, step in zip(STEPS[:-1], STEPS[1:], strict=True):
        left = heading_vectors(step.heading)[1]
        inward = -SIDES[step.side] * (TRACK_M - 0.028) * left
        times += [step.contact, step.contact + STEP / 2]
        places += [(before.place + step.place) / 2, step.place + inward]
    forward, left = heading_vectors(STEPS[-1].heading)
    rest = (STEPS[-2].place + STEPS[-1].place) / 2
    # The body comes to rest: a little too far, back, then onto the left leg, where the wave is easy.
    times[-1:] = [STOP_CONTACT + 5, STOP_CONTACT + 12, STOP_CONTACT + 22, STOP_CONTACT + 40]
    places[-1:] = [
        rest + 0.022 * forward,
        rest + 0.008 * left,
        rest + 0.056 * left - 0.004 * forward,
        rest + 0.050 * left,
    ]
    return through(times, places, time)


def hips_height(time: float) -> float:
    """The hips' change of height against the rest pose, metres."""
    step = walking(time)
    return step * bounce(time, (-0.040, -0.047, -0.009, -0.006)) + (1 - step) * float(
        through(
            [STOP_CONTACT, STOP_CONTACT + 5, STOP_CONTACT + 12, STOP_CONTACT + 22],
            [-0.012, -0.026, -0.006, -0.012],
            time,
        )
    )


def gaze(time: float) -> float:
    """Where the head looks: it finds the friend first, and the body follows."""
    return float(through([1, 27, 33, 45, 56, 68, 80, 100], [0, 0, -3, 42, 66, 90, 100, 99], time))


def arm_swing(side: str, time: float) -> tuple[float, float]:
    """The upper arm's angle, forward positive, and the elbow's bend: arms swing against the legs and drag a little."""
    sign = SIDES[side]
    swing = -sign * cycle(time - 1.5, (1.0, 0.72, 0.0, -0.72)) * walking(time)
    bend = -sign * cycle(time - 3.0, (1.0, 0.72, 0.0, -0.72)) * walking(time)
    return 3.0 + 21.0 * swing, 21.0 + 12.0 * bend + 3.0 * walking(time)


def arm_frame(direction, hinge) -> np.ndarray:
    """The rotation matrix whose columns are a bone's direction, its joint's hinge and their normal."""
    direction = np.asarray(direction, dtype=float) / np.linalg.norm(direction)
    hinge = np.asarray(hinge, dtype=float) - np.dot(hinge, direction) * direction
    hinge = hinge / np.linalg.norm(hinge)
    return np.stack((direction, hinge, np.cross(direction, hinge)), axis=1)


def waving(time: float) -> tuple[float, float, float]:
    """How far the right upper arm, forearm and hand are raised: the elbow leads, the hand drags behind."""
    down = LOWER_FRAME
    upper = through([86, 90, 99, 104, down, down + 12], [0, -0.06, 1.05, 1.0, 1.0, 0.02], time)
    fore = through([88, 92, 101, 106, down + 1, down + 13], [0, -0.04, 1.04, 1.0, 1.0, 0.03], time)
    hand = through([90, 94, 103, 108, down + 2, down + 14], [0, 0.0, 1.0, 1.0, 1.0, 0.0], time)
    return float(upper), float(fore), float(hand)


def wave_angle(time: float) -> float:
    """The waving forearm's angle against upright, outward positive."""
    sizes = (30, -18, 33, -20, 30, -14, 20, 4)
    return float(through([WAVE_FRAMES[0] - 5, *WAVE_FRAMES], [0, *sizes], time))


def trunk(time: float) -> dict[str, np.ndarray]:
    """Changes of hips, spine, chest, neck and head, in the body's axes with the heading in them."""
    step, facing = walking(time), heading(time)
    twist = step * cycle(time, (-6.5, -5.0, 0.0, 4.5))
    sway = step * cycle(time, (-1.0, -3.4, -2.6, -0.6))
    into_turn = 4.0 * float(through([37, 49, 61, 73, 85], [0, 0.7, 1.0, 0.6, 0], time))
    nod = step * bounce(time - 2, (0.8, 1.6, -0.6, -1.2))
    settle = through([STOP_CONTACT, STOP_CONTACT + 5, STOP_CONTACT + 13, STOP_CONTACT + 22], [0, 2.5, -1.2, 0], time)
    easy = ease(time, STOP_CONTACT, STOP_CONTACT + 22)  # standing on the left leg, its hip out
    raised = waving(time)[0]
    swing = 0.12 * wave_angle(time - 1)
    lead = 0.35 * (gaze(time - 2) - facing) * (1 - easy)
    hips = body(2.5 * step + 0.4 * settle, facing + twist + 0.1 * lead, sway + 0.5 * into_turn - 4.5 * easy)
    chest_roll = -0.6 * sway + into_turn + 3.0 * easy + 3.5 * raised + swing
    chest_yaw = facing - 1.15 * twist * 0.9 + lead - 5.0 * raised
    chest = body(4.0 * step + settle + nod - 2.0 * raised, chest_yaw, chest_roll)
    look = gaze(time)
    head_roll = 0.2 * sway + 0.3 * into_turn - 6.0 * float(through([96, 106, 136, 150], [0, 1, 0.8, 0.2], time))
    head_pitch = 1.0 - 0.7 * nod + 2.0 * float(through([26, 34, 44], [0, 1, 0], time)) - 2.0 * raised
    head = body(head_pitch, look, head_roll)
    return {
        "spine": hips,
        "spine.001": quaternion_slerp(hips, chest, 0.35),
        "spine.002": quaternion_slerp(hips, chest, 0.8),
        "spine.003": chest,
        "spine.004": quaternion_slerp(chest, head, 0.4),
        "spine.005": quaternion_slerp(chest, head, 0.7),
        "spine.006": head,
    }


def relative(base, change) -> np.ndarray:
    """A change as seen from another one."""
    return quaternion_multiply(quaternion_conjugate(base), change)


def turned(quaternion, vector) -> np.ndarray:
    """A vector turned by a quaternion, `[3]`."""
    return quaternion_rotate(np.asarray(quaternion)[None], np.asarray(vector, dtype=float)[None])[0]
