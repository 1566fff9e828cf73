"""Motion files made up on the spot: two people of other builds who walk, bow and wave, and someone whose arm slides."""

from pathlib import Path

import numpy as np

from backend.rotations import quaternion_to_euler, rotvec_to_quaternion
from tests.plain.bodies import OFFSETS, PARENTS, waves

NAMES = (
    "Hips", "Chest", "Head", "LThigh", "LShin", "LFoot", "RThigh", "RShin", "RFoot", "LArm", "LFore", "RArm", "RFore",
)  # fmt: skip


def write_bvh(path: Path, frames: int, seed: int, scale: float = 100.0, slides: bool = False):
    """A BVH file (Y up) of random smooth motion; with `slides` the left forearm has keyed positions as well."""
    rng = np.random.default_rng(seed)
    # One walk cycle's worth of shared movement, so that there is something to learn.
    phase = 2 * np.pi * (np.arange(frames) / 30 * rng.uniform(0.8, 1.2) + rng.uniform())
    shared = np.random.default_rng(0).uniform(-0.5, 0.5, (len(NAMES), 3, 2))
    swing = shared[..., 0] * np.sin(phase)[:, None, None] + shared[..., 1] * np.cos(phase)[:, None, None]
    turns = rotvec_to_quaternion(swing * rng.uniform(0.5, 1.2) + waves(frames, 30, (len(NAMES), 3), 6.0, rng))
    angles = np.degrees(quaternion_to_euler(turns, "YXZ"))  # channels Z, X, Y: the outermost turn first
    offsets = scale * OFFSETS[:, [0, 2, 1]] * [1, 1, -1] * rng.uniform(0.98, 1.02)
    root = scale * np.stack((0 * phase, 0.95 + 0.02 * np.sin(2 * phase), 0.1 * phase), axis=1)
    lines, order = ["HIERARCHY"], []

    def write(joint: int, depth: int):
        indent = "\t" * depth
        order.append(joint)  # as the file's columns go
        channels = "Zrotation Xrotation Yrotation"
        if joint == 0 or (slides and joint == 10):
            channels = "Xposition Yposition Zposition " + channels
        lines.append(f"{indent}{'ROOT' if joint == 0 else 'JOINT'} {NAMES[joint]}")
        lines.append(f"{indent}{{")
        lines.append(f"{indent}\tOFFSET " + " ".join(f"{x:.6f}" for x in offsets[joint]))
        lines.append(f"{indent}\tCHANNELS {len(channels.split())} {channels}")
        children = [child for child, parent in enumerate(PARENTS) if parent == joint]
        for child in children:
            write(child, depth + 1)
        if not children:
            lines.extend([f"{indent}\tEnd Site", f"{indent}\t{{", f"{indent}\t\tOFFSET 0 5 0", f"{indent}\t}}"])
        lines.append(f"{indent}}}")

    write(0, 0)
    lines += ["MOTION", f"Frames: {frames}", "Frame Time: 0.0333333"]
    slide = offsets[10] + scale * waves(frames, 30, (3,), 3.0, rng)
    for frame in range(frames):
        row = []
        for joint in order:
            if joint == 0:
                row += list(root[frame])
            elif slides and joint == 10:
                row += list(slide[frame])
            row += [angles[frame, joint, axis] for axis in (2, 0, 1)]
        lines.append(" ".join(f"{x:.5f}" for x in row))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")


def write_takes(folder: Path):
    """A folder as `prepare` takes it: two sets with clips to train on and held out, and one held out whole."""
    seed = 0
    for name, scale in (("walkers", 100.0), ("giants", 3.0)):
        for split, count in (("train", 6), ("test", 2)):
            for number in range(count):
                seed += 1
                write_bvh(folder / name / split / f"{name}_{split}_{number}.bvh", 100 + 20 * number, seed, scale)
    write_bvh(folder / "strangers" / "eval" / "stranger.bvh", 150, 99, 1.0, slides=True)
    broken = folder / "walkers" / "train" / "broken.bvh"
    broken.write_text("HIERARCHY\nROOT Hips\n")
