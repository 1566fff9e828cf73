"""Body parts from bones in rest, on bodies built here: people, quadrupeds, spiders, birds, snakes; in any order.

python -m pytest tests/plain/test_parts.py
"""

import numpy as np
import pytest

from backend.parts import find_parts

UP = (0.0, 0.0, 1.0)


class Bones:
    """A skeleton that is put together chain by chain; `heads`, `tails`, `parents`, and a label for each bone."""

    def __init__(self):
        self.parents, self.heads, self.tails, self.labels = [], [], [], []

    def chain(self, label, parent, *points):
        """Bones from each point to the next; gives the last one."""
        for head, tail in zip(points[:-1], points[1:], strict=True):
            self.parents.append(parent)
            self.heads.append(head)
            self.tails.append(tail)
            self.labels.append(label)
            parent = len(self.parents) - 1
        return parent

    def pair(self, label, parent, *points):
        """The same on both sides; LEFT is at positive x, for the bodies face -Y. Gives both last ones."""
        mirrored = [(-x, y, z) for x, y, z in points]
        return self.chain(f"{label}_LEFT", parent, *points), self.chain(f"{label}_RIGHT", parent, *mirrored)


def person() -> Bones:
    """Arms with fingers, legs with feet."""
    bones = Bones()
    hips = bones.chain("ROOT", -1, (0, 0, 1.0), (0, 0, 1.1))
    chest = bones.chain("SPINE", hips, (0, 0, 1.1), (0, 0.02, 1.25), (0, 0, 1.45))
    bones.chain("HEAD", chest, (0, 0, 1.5), (0, 0, 1.6), (0, 0, 1.8))
    arm = ((0.05, 0, 1.45), (0.18, 0, 1.45), (0.46, 0, 1.44), (0.7, 0, 1.44), (0.78, 0, 1.44))
    for hand, side in zip(bones.pair("ARM", chest, *arm), (1, -1), strict=True):
        for y in (-0.03, 0.0, 0.03):
            fingers = "FINGERS_LEFT" if side > 0 else "FINGERS_RIGHT"
            bones.chain(fingers, hand, (side * 0.8, y, 1.44), (side * 0.84, y, 1.44), (side * 0.88, y, 1.44))
    bones.pair("LEG", hips, (0.1, 0, 0.98), (0.1, 0, 0.52), (0.1, 0.02, 0.08), (0.1, -0.12, 0.02), (0.1, -0.2, 0.02))
    return bones


def quadruped() -> Bones:
    """A back, four legs, a tail, a neck, ears."""
    bones = Bones()
    hips = bones.chain("ROOT", -1, (0, 0.4, 0.7), (0, 0.3, 0.7))
    chest = bones.chain("SPINE", hips, (0, 0.3, 0.7), (0, 0.1, 0.72), (0, -0.2, 0.72), (0, -0.3, 0.74))
    head = bones.chain("HEAD", chest, (0, -0.32, 0.76), (0, -0.45, 0.95), (0, -0.55, 1.05), (0, -0.75, 1.0))
    bones.pair("HEAD?", head, (0.04, -0.56, 1.08), (0.06, -0.55, 1.16))
    bones.pair("FRONT_LIMB", chest, (0.1, -0.25, 0.65), (0.1, -0.2, 0.4), (0.1, -0.24, 0.08), (0.1, -0.3, 0.02))
    bones.pair("HIND_LIMB", hips, (0.1, 0.38, 0.65), (0.1, 0.3, 0.4), (0.1, 0.44, 0.12), (0.1, 0.38, 0.02))
    bones.chain("TAIL", hips, (0, 0.45, 0.7), (0, 0.6, 0.66), (0, 0.75, 0.55), (0, 0.85, 0.4))
    return bones


def spider() -> Bones:
    """Eight legs around one bone, an abdomen, a head."""
    bones = Bones()
    body = bones.chain("ROOT", -1, (0, 0, 0.3), (0, 0.05, 0.3))
    bones.chain("HEAD", body, (0, -0.1, 0.3), (0, -0.25, 0.32), (0, -0.35, 0.3))
    bones.chain("TAIL", body, (0, 0.1, 0.3), (0, 0.3, 0.32), (0, 0.5, 0.28))
    for number, angle in enumerate(np.radians((50, 15, -20, -55))):
        x, y = np.cos(angle), -np.sin(angle)
        points = [(0.1 * x, 0.1 * y, 0.28), (0.4 * x, 0.4 * y, 0.5), (0.8 * x, 0.8 * y, 0.25), (x, y, 0.0)]
        left, right = bones.pair("?", body, *points)
        for last, label in ((left, f"LIMB_{2 * number + 1}"), (right, f"LIMB_{2 * number + 2}")):
            bones.labels[last - 2 : last + 1] = [label] * 3
    return bones


def bird() -> Bones:
    """Two wings with feathers, two legs, a tail, a neck."""
    bones = Bones()
    hips = bones.chain("ROOT", -1, (0, 0.1, 0.4), (0, 0, 0.4))
    chest = bones.chain("SPINE", hips, (0, 0, 0.4), (0, -0.1, 0.42), (0, -0.2, 0.45))
    bones.chain("HEAD", chest, (0, -0.22, 0.48), (0, -0.3, 0.6), (0, -0.4, 0.65), (0, -0.5, 0.62))
    wing = ((0.05, -0.15, 0.45), (0.3, -0.1, 0.5), (0.6, -0.12, 0.5), (0.9, -0.05, 0.48), (1.1, 0.05, 0.46))
    for last, side in zip(bones.pair("WING", chest, *wing), (1, -1), strict=True):
        for up, x in ((2, 0.35), (1, 0.65), (0, 0.95)):
            label = "WING_LEFT" if side > 0 else "WING_RIGHT"
            bones.chain(label, last - up, (side * x, 0.05, 0.48), (side * x, 0.15, 0.48), (side * x, 0.25, 0.47))
    bones.pair("LEG", hips, (0.06, 0.08, 0.36), (0.06, 0.02, 0.2), (0.06, 0.06, 0.04), (0.06, -0.02, 0.01))
    bones.chain("TAIL", hips, (0, 0.15, 0.4), (0, 0.3, 0.4), (0, 0.45, 0.38))
    return bones


def snake() -> Bones:
    """Nothing but a spine, from the head at -Y to the tail; the root is the last bone."""
    bones = Bones()
    bones.chain("ROOT", -1, (0, 1.2, 0.05), (0, 1.1, 0.05))
    points = [(0.05 * np.sin(4 * y), y, 0.05) for y in np.linspace(1.1, -1.1, 13)]
    bones.chain("?", 0, *points)
    for third, label in enumerate(("REAR", "MIDDLE", "FRONT")):
        bones.labels[1 + 4 * third : 5 + 4 * third] = [label] * 4
    return bones


BODIES = {make.__name__: make for make in (person, quadruped, spider, bird, snake)}


def found(bones: Bones, order=None, turn=0.0, scale=1.0, usable=None) -> list[str]:
    """The key of the part of each bone; `order` is that in which the bones are given."""
    count = len(bones.parents)
    order = np.arange(count) if order is None else order
    place = np.argsort(order)
    parents = np.array([-1 if bones.parents[bone] < 0 else place[bones.parents[bone]] for bone in order])
    cos, sin = np.cos(turn), np.sin(turn)
    matrix = scale * np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])
    heads, tails = (np.array(points)[order] @ matrix.T for points in (bones.heads, bones.tails))
    usable = np.ones(count, bool) if usable is None else usable[order]
    parts = find_parts(parents, heads, tails, usable)
    keys = np.full(count, "", dtype=object)
    for part in parts:
        assert (keys[order[part.bones]] == "").all()
        keys[order[part.bones]] = part.key
    return list(keys)


def expected(bones: Bones) -> list[str]:
    """The labels; ears belong to the head."""
    return [label.split("?")[0] or label if "?" in label else label for label in bones.labels]


def shuffled(bones: Bones, rng) -> np.ndarray:
    """Another order in which parents still come before their children."""
    order, waiting = [], list(range(len(bones.parents)))
    while waiting:
        ready = [bone for bone in waiting if bones.parents[bone] in (-1, *order)]
        bone = ready[rng.integers(len(ready))]
        order.append(bone)
        waiting.remove(bone)
    return np.array(order)


@pytest.mark.parametrize("name", BODIES)
def test_parts_are_what_they_look_like(name):
    """Every bone is in the part that its place says, left and right, front and hind, numbered from the front."""
    bones = BODIES[name]()
    assert found(bones) == expected(bones)


@pytest.mark.parametrize("name", BODIES)
def test_order_and_size_do_not_matter(name):
    """Bones in another order, the body in another unit: the same parts."""
    bones, rng = BODIES[name](), np.random.default_rng(1)
    for scale in (0.01, 100.0):
        assert found(bones, shuffled(bones, rng), scale=scale) == expected(bones)


@pytest.mark.parametrize("name", ("person", "quadruped", "bird"))
def test_a_body_may_face_anywhere(name):
    """Its own limbs and feet tell where front is; turned by any angle, left stays left."""
    bones = BODIES[name]()
    for turn in np.radians((20, 90, 180, 250)):
        assert found(bones, turn=turn) == expected(bones)


def test_ragged_bodies_have_all_bones_in_parts():
    """A rest pose that isn't symmetric, single bones, loose feet, bones that don't deform: no bone is lost."""
    bones, rng = person(), np.random.default_rng(0)
    bones.heads = [tuple(np.array(head) + 0.03 * rng.standard_normal(3)) for head in bones.heads]
    keys = found(bones)
    assert set(keys) >= {"ROOT", "SPINE", "HEAD", "ARM_LEFT", "ARM_RIGHT", "LEG_LEFT", "LEG_RIGHT"} and "" not in keys
    single = Bones()
    single.chain("ROOT", -1, (0, 0, 0), UP)
    assert found(single) == ["ROOT"]
    loose = quadruped()
    loose.chain("FRONT_LIMB_LEFT", -1, (0.1, -0.33, 0.0), (0.1, -0.4, 0.0))  # a foot of its own
    assert found(loose) == expected(loose)
    usable = np.array([label != "HEAD?_LEFT" and label != "HEAD?_RIGHT" for label in quadruped().labels])
    assert found(quadruped(), usable=usable) == expected(quadruped())
    for count in range(1, 30):
        parents = np.array([-1] + [int(rng.integers(row)) for row in range(1, count)])
        heads = rng.standard_normal((count, 3))
        parts = find_parts(parents, heads, heads + 0.1, rng.random(count) < 0.8)
        assert sorted(np.concatenate([part.bones for part in parts])) == list(range(count))


def test_words_are_for_people():
    """A key for scripts, a sentence's words for the panel."""
    bones = spider()
    parts = find_parts(np.array(bones.parents), bones.heads, bones.tails, np.ones(len(bones.parents), bool))
    words = {part.key: part.words for part in parts}
    assert words["LIMB_3"] == "Limb 3 of 8, left" and words["LIMB_4"] == "Limb 4 of 8, right"
    assert words["ROOT"] == "Root of the body" and words["TAIL"] == "Tail"
