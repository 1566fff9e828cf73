"""What a control rig can't do of a change, and why, in sentences for the animator. No bpy."""

import numpy as np

from .channels import CHANNEL_SIZE, OBJECT, rotation_channel
from .links import depends_on_itself
from .rewrite import NOTHING_RAD, some


def shortfalls(reading, change, moved, turn_error, place_error) -> tuple[str, ...]:
    """Sentences on what the evaluated result lacks.

    Args:
        change: what was wanted, row for row of the reading. moved: rows of the bones whose channels were written.
        turn_error, place_error: `[J]`, how far each joint is from where it should be, 1 for as far as it may be.
    """
    rig, controls = reading.rig, reading.controls
    names = np.array([rig.names[bone] for bone in reading.choice.bones])
    lacking = np.zeros(len(names), dtype=bool)
    notes = list(_of_the_body(reading, change))
    partial = [bone for bone in moved if _is_partial(reading, bone)]
    if partial:
        listed = some([rig.names[bone] for bone in partial])
        notes.append(f"{len(partial)} bones have keys on some axes only, and move along those alone: {listed}.")
        lacking[[controls.joints[bone] for bone in partial if controls.joints[bone] >= 0]] = True
    for joints, text in _causes(reading, change, turn_error > 1, place_error > 1):
        fresh = joints & ~lacking
        lacking |= joints
        if fresh.any():
            notes.append(text.format(count=int(fresh.sum()), names=some(names[fresh].tolist())))
    return tuple(notes)


def _of_the_body(reading, change):
    """What the body as a whole can't do."""
    rig, controls = reading.rig, reading.controls
    root = rig.names[reading.choice.bones[0]]
    if (
        not (controls.turn & (controls.joints == 0)).any()
        and np.abs(change.rotation[:, 0]).max(initial=0) > NOTHING_RAD
    ):
        yield f"The body doesn't turn as a whole: neither '{root}' nor a bone above it has rotation keys."
    shifts = (controls.shift & (controls.joints == 0)).any() or reading.channels.rows(OBJECT, "location")
    if not shifts and np.abs(change.root).max(initial=0) > 0:
        places = f"'{root}', a bone above it or the object"
        yield f"The body's path stays as it is: none of {places} has location keys."


def _is_partial(reading, bone) -> bool:
    """Whether a bone's rotation or location has keys on some of its axes only."""
    if bone == OBJECT:
        return False
    kind = rotation_channel(reading.rig.modes[bone])
    counts = {name: len(reading.channels.rows(bone, name)) for name in (kind, "location")}
    return any(0 < count < CHANNEL_SIZE[name] for name, count in counts.items())


def _causes(reading, change, misturned, misplaced):
    """Which joints lack something, `[J]` bool, and a sentence for each cause, the surest first."""
    rig, controls = reading.rig, reading.controls
    bones, parents = reading.choice.bones, np.maximum(reading.choice.parents, 0)
    held = rig.held_turn[bones] & ~controls.free
    apart = np.abs(change.rotation - change.rotation[:, parents]).max(axis=(0, 2), initial=0) > NOTHING_RAD
    yield held & apart & misturned, ("{count} joints are turned by constraints and go where those put them: {names}.")
    yield (
        ~controls.free & apart & misturned,
        ("{count} joints have no bone with rotation keys that drives them, and stay with what carries them: {names}."),
    )
    inner = np.zeros(len(bones), dtype=bool)
    limbs = controls.joints[controls.inner]
    inner[limbs[limbs >= 0]] = True
    inner &= ~controls.turned
    circling = misturned | misplaced
    for joint in np.flatnonzero(circling):
        circling[joint] = depends_on_itself(int(bones[joint]), rig.parents, rig.links)
    yield (
        circling,
        (
            "{count} joints depend on themselves in a circle of constraints, so that Blender shows them late: {names}. "
            "Mend the rig."
        ),
    )
    yield (
        _at_limb_ends(reading) & controls.placed & misplaced,
        (
            "{count} joints are out of the reach of their IK limb in some frames: {names}. Use less strength, or a "
            "longer limb."
        ),
    )
    yield (
        inner & _is_unled(reading) & (misturned | misplaced),
        (
            "{count} joints bend as an IK without a pole chooses: {names}. A pole, or rotation keys on all bones of "
            "the limb, would lead it."
        ),
    )
    yield inner & (misturned | misplaced), ("{count} joints inside IK limbs bend and twist as the IK has it: {names}.")
    yield (
        controls.turned & misturned,
        ("{count} joints don't turn all the way with their controls, for constraints hold them back: {names}."),
    )
    yield controls.placed & misplaced, "{count} joints don't get all the way to their places: {names}."


def _is_unled(reading) -> np.ndarray:
    """`[J]` bool: joints that an IK turns which neither a pole nor keys on its limb tell how."""
    controls, links = reading.controls, reading.rig.links
    poled = {link.chain for link in links if link.kind == "POLE"}
    turned = [bone for link in links if link.kind == "IK" for bone in link.chain]
    found = np.zeros(len(reading.choice.bones), dtype=bool)
    for link in links:
        alone = len(link.chain) > 1 and all(turned.count(bone) == 1 for bone in link.chain)
        if link.kind == "IK" and alone and link.chain not in poled and not controls.begins[list(link.chain)].all():
            joints = controls.joints[list(link.chain)]
            found[joints[joints >= 0]] = True
    return found


def _at_limb_ends(reading) -> np.ndarray:
    """`[J]` bool: joints that an IK brings to a target."""
    found = np.zeros(len(reading.choice.bones), dtype=bool)
    for link in reading.rig.links:
        joint = int(reading.controls.joints[link.target])
        if link.kind == "IK" and joint >= 0 and not reading.controls.aims[link.target]:
            found[joint] = True
    return found
