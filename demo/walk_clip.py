"""The demo's clip on Rigify's human metarig: the poses of `walk_plan` as sparse Bezier keys, the FK legs solved."""

import numpy as np

from backend.rotations import matrix_to_quaternion, quaternion_multiply, quaternion_slerp

from . import walk_plan as plan
from .walk_plan import chain, relative, turn, turned

NAME = "Walk, turn and wave"
FOOT_TOLERANCE_M = 0.002  # a planted ankle farther than this from the plan gets a key of its own
LEG_BONES = ("thigh", "shin", "foot", "toe")
ELBOW_OUT = 9.0  # degrees that a hanging arm stands off the body


def make_walk():
    """Adds the metarig and its action to the scene; returns the armature object."""
    import addon_utils
    import bpy

    addon_utils.enable("rigify", default_set=True)
    bpy.ops.object.armature_basic_human_metarig_add()
    armature = bpy.context.object
    armature.name = armature.data.name = "Performer"
    scene = bpy.context.scene
    scene.render.fps, scene.render.fps_base = plan.FPS, 1.0
    scene.frame_start, scene.frame_end = plan.FIRST_FRAME, plan.LAST_FRAME
    edit = bpy.context.preferences.edit
    edit.keyframe_new_interpolation_type, edit.keyframe_new_handle_type = "BEZIER", "AUTO_CLAMPED"
    animator = Animator(armature)
    for frame, bones in key_frames().items():
        animator.key(frame, bones)
    armature.animation_data.action.name = NAME
    start_moving(armature)
    animator.plant_feet()
    scene.frame_set(plan.FIRST_FRAME)
    return armature


def key_frames() -> dict[int, list[str]]:
    """Which bones get keys on which frames: hips and legs on contact, down, passing and up; what drags, later."""
    stop, last = plan.STOP_CONTACT, plan.LAST_FRAME
    beats = [*range(plan.FIRST_FRAME, stop + 13, 3), stop + 17, stop + 22, stop + 30, last]
    chest = [plan.FIRST_FRAME, *range(plan.FIRST_FRAME + 4, stop + 6, 6), stop + 9, stop + 15, stop + 24, last]
    head = [plan.FIRST_FRAME, *range(plan.FIRST_FRAME + 5, stop, 6), stop + 7, stop + 18, stop + 27, last]
    arms = [plan.FIRST_FRAME, *range(plan.FIRST_FRAME + 3, stop + 13, 6), stop + 18, stop + 28, last]
    raising = [86, 90, 94, 99, 104]
    lowering = [plan.LOWER_FRAME, plan.LOWER_FRAME + 4, plan.LOWER_FRAME + 8, plan.LOWER_FRAME + 12, last]
    wave = [*plan.WAVE_FRAMES, *(frame - 2 for frame in plan.WAVE_FRAMES)]
    walking = [frame for frame in arms if frame < raising[0]]
    rows = (
        (beats, ["spine", *(f"{bone}.{side}" for bone in LEG_BONES for side in "LR")]),
        (chest, ["spine.001", "spine.002", "spine.003"]),
        ([*raising, *lowering, *plan.WAVE_FRAMES[::2]], ["spine.003", "shoulder.R"]),
        (head, ["spine.004", "spine.005", "spine.006"]),
        ([27, 33, 45], ["spine.005", "spine.006"]),
        (arms, [f"{bone}.L" for bone in ("shoulder", "upper_arm", "forearm", "hand")]),
        (walking, [f"{bone}.R" for bone in ("shoulder", "upper_arm", "forearm", "hand")]),
        ([*raising, *wave, *lowering], ["upper_arm.R"]),
        ([frame + 1 for frame in (*raising, *wave, *lowering)], ["forearm.R"]),
        ([frame + 2 for frame in (*raising, *wave, *lowering)], ["hand.R"]),
    )
    frames = {}
    for times, bones in rows:
        for frame in times:
            frames.setdefault(min(frame, last), []).extend(bones)
    return {frame: list(dict.fromkeys(bones)) for frame, bones in sorted(frames.items())}


class Animator:
    """Poses the armature as planned and sets keys."""

    def __init__(self, armature):
        self.armature = armature
        bones = armature.data.bones
        self.parents = {bone.name: bone.parent.name if bone.parent else None for bone in bones}
        self.heads = {bone.name: np.array(bone.head_local) for bone in bones}
        self.tails = {bone.name: np.array(bone.tail_local) for bone in bones}
        self.rest = {bone.name: matrix_to_quaternion(np.array(bone.matrix_local)[:3, :3]) for bone in bones}
        self.last = {}

    def key(self, frame: int, bones, held_hips=None) -> None:
        """Keys the bones in that frame's pose; `held_hips` (change, place) are what the hips' curves have there."""
        rotations, location = self.channels(frame, bones, held_hips)
        for name, basis in rotations.items():
            pose_bone = self.armature.pose.bones[name]
            self.set_rotation(pose_bone, basis)
            if self.parents[name] is None:
                pose_bone.location = location
                pose_bone.keyframe_insert("location", frame=frame, group=name, keytype=key_type(frame))
            channel = "rotation_quaternion" if pose_bone.rotation_mode == "QUATERNION" else "rotation_euler"
            pose_bone.keyframe_insert(channel, frame=frame, group=name, keytype=key_type(frame))

    def channels(self, frame: float, bones, held_hips=None):
        """The bones' own rotations in the pose of that frame, and the hips' location."""
        changes, hips = self.pose(frame, held_hips)
        rotations = {}
        for name in bones:
            parent = self.parents[name]
            turned_by = relative(changes[parent], changes[name]) if parent else changes[name]
            rotations[name] = chain(relative(self.rest[name], turned_by), self.rest[name])
        return rotations, turned(self.rest["spine"] * [1, -1, -1, -1], hips - self.heads["spine"])

    def set_rotation(self, pose_bone, basis) -> None:
        """Sets a rotation in the bone's own mode, without sign jumps or flips."""
        from mathutils import Quaternion

        quaternion = Quaternion(basis)
        before = self.last.get(pose_bone.name)
        if before is not None and quaternion.dot(before) < 0:
            quaternion.negate()
        self.last[pose_bone.name] = quaternion
        if pose_bone.rotation_mode == "QUATERNION":
            pose_bone.rotation_quaternion = quaternion
        else:
            pose_bone.rotation_euler = quaternion.to_euler(pose_bone.rotation_mode, pose_bone.rotation_euler)

    def pose(self, time: float, held_hips=None):
        """Every posed bone's change from rest, and where the hips' bone is."""
        changes = plan.trunk(time)
        hip_centre = (self.heads["thigh.L"] + self.heads["thigh.R"]) / 2
        if held_hips is None:
            pelvis = np.append(plan.hips_place(time), hip_centre[2] + plan.hips_height(time))
            hips = pelvis - turned(changes["spine"], hip_centre - self.heads["spine"])
        else:
            changes["spine"], hips = held_hips
            pelvis = hips + turned(changes["spine"], hip_centre - self.heads["spine"])
        for side in "LR":
            self.pose_leg(side, time, changes, pelvis, hip_centre)
            self.pose_arm(side, time, changes)
        return changes, hips

    def pose_leg(self, side: str, time: float, changes, pelvis, hip_centre) -> None:
        """Two-bone IK: the ankle where the plan has it, the knee between where hips and toes point."""
        ankle, yaw, pitch, toes = plan.foot(side, time)
        hip, knee, end = (self.heads[f"{bone}.{side}"] for bone in LEG_BONES[:3])
        top = pelvis + turned(changes["spine"], hip - hip_centre)
        thigh, shin = np.linalg.norm(knee - hip), np.linalg.norm(end - knee)
        reach = np.linalg.norm(ankle - top)
        distance = min(reach, 0.9995 * (thigh + shin))
        line = (ankle - top) / reach
        pointing = plan.heading_vectors(0.5 * yaw + 0.5 * plan.heading(time) + 3.0 * plan.SIDES[side])[0]
        forward = np.append(pointing, 0.0)
        forward = forward - np.dot(forward, line) * line
        forward /= np.linalg.norm(forward)
        cosine = (thigh**2 + distance**2 - shin**2) / (2 * thigh * distance)
        bent = top + thigh * (cosine * line + np.sqrt(max(1 - cosine**2, 0.0)) * forward)
        hinge = np.cross(forward, line)
        changes[f"thigh.{side}"] = frame_change(knee - hip, [1, 0, 0], bent - top, hinge)
        changes[f"shin.{side}"] = frame_change(end - knee, [1, 0, 0], top + distance * line - bent, hinge)
        changes[f"foot.{side}"] = chain(turn("Z", yaw), turn("X", pitch))
        changes[f"toe.{side}"] = chain(changes[f"foot.{side}"], turn("X", toes))

    def pose_arm(self, side: str, time: float, changes) -> None:
        """Hanging and swinging; the right one is raised to wave."""
        sign = plan.SIDES[side]
        swing, bend = plan.arm_swing(side, time)
        upper, fore, hand = plan.waving(time) if side == "R" else (0.0, 0.0, 0.0)
        chest = changes["spine.003"]
        shoulder = chain(turn("Z", -0.12 * sign * swing), turn("Y", -sign * 14.0 * upper))
        hang = chain(turn("X", -swing), turn("Y", -sign * ELBOW_OUT))
        down = turned(hang, [0, 0, -1])
        hinge = turned(hang, [-1, 0.3 * sign, 0])
        lower = turned(about(hinge, bend), down)
        relaxed = turned(about(hinge, 9.0 + 0.3 * bend), lower)
        hanging = (down, hinge), (lower, hinge), (relaxed, hinge)
        angle, dragged = np.radians(plan.wave_angle(time)), np.radians(1.5 * plan.wave_angle(time - 2.0))
        # The elbow gives a little with every wave.
        raised = np.array([sign * 0.66, -0.44, -0.60 + 0.12 * np.sin(angle)])
        upright = np.array([sign * np.sin(angle + 0.1), -0.16, np.cos(angle + 0.1)])
        palm = np.array([sign * np.sin(dragged + 0.05), -0.05, np.cos(dragged + 0.05)])
        hinge = np.cross(raised, np.array([sign * 0.1, -0.16, 1.0]))
        waving = (raised, hinge), (upright, hinge), (palm, hinge)
        names = [f"{bone}.{side}" for bone in ("upper_arm", "forearm", "hand")]
        rest_hinge = np.cross(*(self.tails[name] - self.heads[name] for name in names[:2]))
        changes[f"shoulder.{side}"] = chain(chest, shoulder)
        for name, weight, low, high in zip(names, (upper, fore, hand), hanging, waving, strict=True):
            rest = self.tails[name] - self.heads[name]
            change = quaternion_slerp(
                frame_change(rest, rest_hinge, *low), frame_change(rest, rest_hinge, *high), weight
            )
            changes[name] = quaternion_multiply(chest, change)

    def plant_feet(self) -> None:
        """Adds leg keys where a planted foot slides between keys, worst first, as an animator would."""
        for _ in range(6):
            slides, hips = self.foot_slides()
            worst = [
                (side, frame)
                for (side, frame), slide in slides.items()
                if slide > FOOT_TOLERANCE_M
                and slide >= max(slides.get((side, frame + 1), 0), slides.get((side, frame - 1), 0))
            ]
            for side, frame in worst:
                self.key(frame, [f"{bone}.{side}" for bone in LEG_BONES], hips[frame])

    def foot_slides(self):
        """How far planted ankles are from the plan, by side and frame, and where the hips are, by frame."""
        import bpy

        slides, hips = {}, {}
        bones = self.armature.pose.bones
        for frame in range(plan.FIRST_FRAME, plan.LAST_FRAME + 1):
            bpy.context.scene.frame_set(frame)
            matrix = np.array(bones["spine"].matrix)
            change = quaternion_multiply(matrix_to_quaternion(matrix[:3, :3]), self.rest["spine"] * [1, -1, -1, -1])
            hips[frame] = (change, matrix[:3, 3])
            for step in plan.STEPS:
                if step.contact <= frame <= step.leave:
                    ankle = np.array(bones[f"foot.{step.side}"].head)
                    slides[step.side, frame] = np.linalg.norm(ankle - plan.foot(step.side, frame)[0])
        return slides, hips


def start_moving(armature) -> None:
    """Points the first keys' handles at the next keys: the clip begins in mid-walk, not from a standstill."""
    from bpy_extras.anim_utils import action_get_channelbag_for_slot

    data = armature.animation_data
    for curve in action_get_channelbag_for_slot(data.action, data.action_slot).fcurves:
        curve.keyframe_points[0].handle_right_type = "VECTOR"
        curve.update()


def key_type(frame: int) -> str:
    """Contacts are extremes, what lies between is a breakdown, as the Dope Sheet shows them."""
    return "EXTREME" if (frame - plan.FIRST_FRAME) % plan.STEP == 0 else "BREAKDOWN"


def about(axis, degrees: float) -> np.ndarray:
    """A quaternion about any axis."""
    axis = np.asarray(axis, dtype=float) / np.linalg.norm(axis)
    half = np.radians(degrees) / 2
    return np.append(np.cos(half), np.sin(half) * axis)


def frame_change(rest_direction, rest_hinge, direction, hinge) -> np.ndarray:
    """The change that takes a bone's rest direction and hinge to new ones."""
    return matrix_to_quaternion(plan.arm_frame(direction, hinge) @ plan.arm_frame(rest_direction, rest_hinge).T)
