"""python build.py reduction: what fewer keys cost, on a walk keyed by hand, a captured walk, a dance and a creature.

Each clip is varied with a key on every frame; copies of that action are reduced with the extension's own Reduce Keys,
and Blender plays both. The table and a picture of it lie in the folder. Clips in ../shared/data are taken where that
folder is there; --clip takes any other.
"""

import argparse
import importlib
import sys
import tarfile
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from backend.rotations import matrix_to_quaternion, quaternion_angle
from backend.skeleton import SPAN_OVER_HEIGHT
from pictures.key_chart import Curve, draw_key_chart

from . import session
from .clip import Clip, open_clip, show_action, slot_curves

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
CLIPS = (  # name, file below the shared data, member of an archive or action
    ("captured walk", "human/cmu_daz.tar.xz", "cmu_daz/test/45_01.bvh"),
    ("dance", "human/cmu_daz.tar.xz", "cmu_daz/test/94_01.bvh"),
    ("spider, idle", "creatures/test/m2m_spider.glb", "Idle"),
    ("spider, short cycle", "creatures/test/m2m_spider.glb", "Walk"),
)
TOLERANCES_DEG = (0.1, 0.5, 1.0)
ANYTHING_DEG = 1e6  # a tolerance with which only those keys stay that have to
GOAL_SHARE, GOAL_MM = 0.15, 2.0  # at half a degree
REPORT_HEIGHT_M = 1.7
SEED = 1


@dataclass(frozen=True)
class Outcome:
    """One clip at one tolerance.

    Attributes:
        keys, dense: how many keys there are, and were. stay: those that stay at any tolerance: the user's own, those of
            curves that nobody baked, and the ends of baked ones. source: the source's.
        aligned: share of keys with both handles on one line.
        bone_deg: largest turn of a bone against its parent from the dense action, on whole frames.
        joint_mm, joint_mean_mm: distance of bones' heads, of a body of 1.7 m. half_mm: the largest half way between
            frames, outside of what lies between the dense action's straight lines and smooth ones.
        seconds: the processor's, for Reduce Keys.
    """

    clip: str
    tolerance_deg: float
    keys: int
    dense: int
    stay: int
    source: int
    aligned: float
    bone_deg: float
    joint_mm: float
    joint_mean_mm: float
    half_mm: float
    seconds: float


def main(arguments=None) -> int:
    """Measures, prints, draws."""
    parser = argparse.ArgumentParser(prog="python build.py reduction", description=__doc__.split("\n")[0])
    parser.add_argument("--clip", type=Path, action="append", default=[], help="another motion file; may be repeated")
    parser.add_argument("--out", type=Path, default=Path("out"), help="the folder for table and picture (default: out)")
    parser.add_argument("--zip", type=Path, required=True, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="motion_variations_keys_") as folder:
        bpy = session.open_blender(options.zip.resolve(), Path(folder))
        outcomes, curves = [], []
        for name, opened in clips(options.clip, Path(folder)):
            clip = opened()
            print(f"[reduction] {name}: {clip.action.name!r}, {clip.stop - clip.start + 1} frames", flush=True)
            more, curve = measure(bpy, name, clip)
            outcomes += more
            curves.append(curve)
            session.clear_scene()
    options.out.mkdir(parents=True, exist_ok=True)
    text = table(outcomes)
    (options.out / "reduction.md").write_text(text + "\n", encoding="utf-8")
    draw_key_chart(options.out / "reduction.png", points(outcomes), curves)
    print(f"\n{text}\n\n{verdict(outcomes)}\n{options.out / 'reduction.png'}", flush=True)
    return 0


def clips(files, folder: Path):
    """Names, and functions that open the clip."""
    yield "walk keyed by hand", own_walk
    for path in files:
        yield path.stem, lambda path=path: open_clip(path.resolve())
    if not SHARED.is_dir():
        print(f"[reduction] {SHARED} isn't there: only our own walk, and what --clip names.", flush=True)
        return
    for name, file, part in CLIPS:
        path, action = SHARED / file, part
        if path.suffixes[-2:] == [".tar", ".xz"]:
            path, action = unpack(path, part, folder), None
        yield name, lambda path=path, action=action: open_clip(path, action)


def own_walk() -> Clip:
    """The walk that the project owns."""
    from .walk_clip import NAME, make_walk

    armature = make_walk()
    data = armature.animation_data
    return show_action(NAME, armature, data.action, data.action_slot)


def unpack(archive: Path, member: str, folder: Path) -> Path:
    """One file of an archive."""
    path = folder / Path(member).name
    if not path.exists():
        with tarfile.open(archive, "r:xz") as files:
            path.write_bytes(files.extractfile(member).read())
    return path


def measure(bpy, name: str, clip: Clip) -> tuple[list[Outcome], Curve]:
    """The outcomes of a clip at each tolerance, and the curve that shows them."""
    timeline = importlib.import_module(f"{session.EXTENSION}.timeline")
    armature = clip.armature
    bpy.ops.motion_variations.resample(count=1, seed=SEED, keys="EVERY_FRAME")
    line = armature.motion_variations.rows[-1]
    slot = next(slot for slot in line.action.slots if slot.identifier == line.slot)
    fps = bpy.context.scene.render.fps / bpy.context.scene.render.fps_base
    own = timeline.own_keys(clip.action, timeline.find_slot(None, clip.action, line.slot), fps)
    whole = np.arange(clip.start, clip.stop + 1)
    frames = np.sort(np.append(whole, whole[:-1] + 0.5))
    dense = poses(armature, line.action, slot, frames)
    between = [dense[1][1::2], smooth_heads(armature, line, frames[1::2])]
    scale = 1000 * REPORT_HEIGHT_M / body_height(armature, dense[1])
    stay = key_count(*reduced(timeline, armature, line, ANYTHING_DEG, own)[:2])
    outcomes, copies = [], []
    for degrees in TOLERANCES_DEG:
        action, copied, seconds = reduced(timeline, armature, line, degrees, own)
        turns, heads = poses(armature, action, copied, frames)
        missed = scale * np.linalg.norm(heads - dense[1], axis=-1)
        nearest = np.min([np.linalg.norm(heads[1::2] - each, axis=-1) for each in between], axis=0)
        half = scale * np.maximum(nearest - 0.5 * np.linalg.norm(between[0] - between[1], axis=-1), 0)
        moved = moving(dense[1])
        turned = np.degrees(quaternion_angle(turns[::2], dense[0][::2]))
        counts = [key_count(each, one) for each, one in ((action, copied), (line.action, slot))]
        smooth = [point.handle_left_type == "ALIGNED" for point in inner_keys(action, copied)]
        source = key_count(clip.action, timeline.find_slot(None, clip.action, line.slot))
        outcomes.append(
            Outcome(
                name,
                degrees,
                *counts,
                stay,
                source,
                float(np.mean(smooth)),
                float(turned.max()),
                float(missed[::2].max()),
                float(missed[::2][:, moved].mean()),
                float(half[1:-1].max()),
                seconds,
            )  # fmt: skip
        )
        copies.append((action, copied))
    return outcomes, shown_curve(name, line.action, slot, copies[1], clip)


def reduced(timeline, armature, line, degrees: float, own):
    """A copy of a line's action with fewer keys: the action, its slot, and the processor's seconds for that."""
    action = line.action.copy()
    slot = next(slot for slot in action.slots if slot.identifier == line.slot)
    started = time.process_time()
    timeline.reduce_keys(armature, action, slot, np.radians(degrees), own)
    return action, slot, time.process_time() - started


def poses(armature, action, slot, frames):
    """As Blender plays: every bone's turn against its parent, quaternions `[T, N, 4]`, and its head `[T, N, 3]`."""
    import bpy

    scene, data = bpy.context.scene, armature.animation_data
    before = (data.action, data.action_slot, scene.frame_current)
    bones = armature.pose.bones
    row_of = {bone.name: row for row, bone in enumerate(bones)}
    parents = np.array([row_of[bone.parent.name] if bone.parent else -1 for bone in bones])
    buffer = np.empty(16 * len(bones), dtype=np.float32)
    matrices = np.empty((len(frames), len(bones), 4, 4))
    try:
        data.action, data.action_slot = action, slot
        for row, frame in enumerate(frames):
            scene.frame_set(int(np.floor(frame)), subframe=float(frame % 1))
            evaluated = armature.evaluated_get(bpy.context.evaluated_depsgraph_get())
            evaluated.pose.bones.foreach_get("matrix", buffer)
            matrices[row] = np.array(evaluated.matrix_world) @ buffer.reshape(-1, 4, 4).swapaxes(1, 2)
    finally:
        data.action, data.action_slot = before[:2]
        scene.frame_set(before[2])
    linear = matrices[..., :3, :3] / np.maximum(np.linalg.norm(matrices[..., :3, :3], axis=-2, keepdims=True), 1e-12)
    above = np.where((parents >= 0)[:, None, None], linear[:, parents], np.eye(3))
    return matrix_to_quaternion(above.swapaxes(2, 3) @ linear), matrices[..., :3, 3]


def smooth_heads(armature, line, frames):
    """Bones' heads where every dense key has automatic handles, `[T, N, 3]`."""
    import bpy

    action = line.action.copy()
    slot = next(slot for slot in action.slots if slot.identifier == line.slot)
    for curve in slot_curves(action, slot):
        for point in curve.keyframe_points:
            point.interpolation, point.handle_left_type, point.handle_right_type = "BEZIER", "AUTO", "AUTO"
        curve.update()
    heads = poses(armature, action, slot, frames)[1]
    bpy.data.actions.remove(action)
    return heads


def body_height(armature, heads) -> float:
    """The longest way along moving bones, as `backend.skeleton` measures a body."""
    bones = list(armature.pose.bones)
    row_of = {bone.name: row for row, bone in enumerate(bones)}
    below, span = np.zeros(len(bones)), 0.0
    for row in reversed(range(len(bones))):
        if bones[row].parent:
            parent = row_of[bones[row].parent.name]
            reach = below[row] + float(np.linalg.norm(heads[:, row] - heads[:, parent], axis=-1).mean())
            span = max(span, below[parent] + reach)
            below[parent] = max(below[parent], reach)
    return span / SPAN_OVER_HEIGHT


def moving(heads) -> np.ndarray:
    """Which heads move at all, `[N]` bool."""
    return np.ptp(heads, axis=0).max(axis=-1) > 1e-6


def key_count(action, slot) -> int:
    """All keys of a slot."""
    return sum(len(curve.keyframe_points) for curve in slot_curves(action, slot))


def inner_keys(action, slot):
    """The keys that have one before and one behind."""
    return [point for curve in slot_curves(action, slot) for point in list(curve.keyframe_points)[1:-1]]


def shown_curve(name, dense, slot, reduced, clip) -> Curve:
    """The rotation curve that moves most, dense and with its keys at half a degree."""
    curves = [curve for curve in slot_curves(dense, slot) if "rotation" in curve.data_path]

    def travel(curve):
        return np.abs(np.diff([point.co[1] for point in curve.keyframe_points])).sum()

    curve = max(curves, key=travel)
    fewer = next(
        other
        for other in slot_curves(*reduced)
        if (other.data_path, other.array_index) == (curve.data_path, curve.array_index)
    )
    keys = [(tuple(key.handle_left), tuple(key.co), tuple(key.handle_right)) for key in fewer.keyframe_points]
    frames = np.arange(clip.start, clip.stop + 0.01, 0.25)
    dots = np.array([point.co[:] for point in curve.keyframe_points])
    line = np.stack((frames, [fewer.evaluate(frame) for frame in frames]), axis=1)
    return Curve(f"{name}: {curve.data_path.split(chr(34))[1]}, {curve.data_path.split('.')[-1]}", dots, line, keys)


def table(outcomes) -> str:
    """Markdown."""
    lines = [
        "| clip | tolerance | keys | of dense | must stay | added | of the source's | smooth keys | bones at most | "
        "joints at most, mean | between frames | time |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for one in outcomes:
        lines.append(
            f"| {one.clip} | {one.tolerance_deg:g}\u00b0 | {one.keys} | {one.keys / one.dense:.1%} | "
            f"{one.stay / one.dense:.1%} | {(one.keys - one.stay) / one.dense:.1%} | "
            f"{one.keys / one.source:.1%} | {one.aligned:.0%} | {one.bone_deg:.2f}\u00b0 | {one.joint_mm:.2f}, "
            f"{one.joint_mean_mm:.2f} mm | {one.half_mm:.2f} mm | {one.seconds:.2f} s |"
        )
    return "\n".join(lines)


def verdict(outcomes) -> str:
    """The goal, and who meets it."""
    lines = []
    for one in outcomes:
        if one.tolerance_deg == 0.5:
            met = one.keys <= GOAL_SHARE * one.dense and one.joint_mm <= GOAL_MM
            found = f"{one.keys / one.dense:.1%} of dense ({one.stay / one.dense:.1%} must stay), "
            found += f"joints within {one.joint_mm:.2f} mm"
            lines.append(f"at most {GOAL_SHARE:.0%} and {GOAL_MM:g} mm at 0.5\u00b0: {one.clip} {found}: {met}")
    return "\n".join(lines)


def points(outcomes) -> dict[str, list[tuple[float, float, float]]]:
    """For each clip (joints' largest error in mm, share of dense keys, tolerance in degrees)."""
    found = {}
    for one in outcomes:
        found.setdefault(one.clip, []).append((one.joint_mm, one.keys / one.dense, one.tolerance_deg))
    return found


if __name__ == "__main__":
    code = main(sys.argv[1:])
    session.leave(code)
