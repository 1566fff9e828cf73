"""The body parts of an armature, for the panel and for scripts; found anew only when its bones have changed."""

from dataclasses import dataclass

import bpy
import numpy as np
from bpy.props import StringProperty

from .backend.errors import UserError
from .backend.parts import find_parts

UPRIGHT = 0.9  # cosine: an object whose Z axis is this near to the world's doesn't turn what is up
MAX_KEPT = 16  # armatures whose parts are kept

_found = {}  # fingerprint of an armature's bones -> its parts


@dataclass(frozen=True)
class BodyPart:
    """A part: what scripts call it, what a person reads, and the names of its bones."""

    key: str
    words: str
    bones: frozenset[str]


def body_parts(armature) -> tuple[BodyPart, ...]:
    """The parts of an armature object's body."""
    bones = armature.data.bones
    ends = np.empty((2, 3 * len(bones)), dtype=np.float32)
    bones.foreach_get("head_local", ends[0])
    bones.foreach_get("tail_local", ends[1])
    deform = np.empty(len(bones), dtype=bool)
    bones.foreach_get("use_deform", deform)
    turn = np.array(armature.matrix_world.to_3x3().normalized(), dtype=np.float32)
    turn = np.eye(3, dtype=np.float32) if turn[2, 2] > UPRIGHT else turn
    names = tuple(bone.name for bone in bones)
    mark = (names, ends.tobytes(), deform.tobytes(), turn.round(3).tobytes())
    if mark not in _found:
        row_of = {name: row for row, name in enumerate(names)}
        parents = np.array([-1 if bone.parent is None else row_of[bone.parent.name] for bone in bones])
        heads, tails = (points.reshape(-1, 3) @ turn.T for points in ends)
        parts = find_parts(parents, heads, tails, deform)
        while len(_found) >= MAX_KEPT:
            _found.pop(next(iter(_found)))
        _found[mark] = tuple(
            BodyPart(part.key, part.words, frozenset(names[row] for row in part.bones)) for part in parts
        )
    return _found[mark]


def split_keys(text: str) -> list[str]:
    """The identifiers in a list with commas."""
    return [key.strip().upper() for key in text.split(",") if key.strip()]


def part_bones(armature, text: str) -> frozenset[str]:
    """Names of the bones of the parts that `text` lists.

    Raises:
        UserError: none is listed, or the armature doesn't have one.
    """
    keys = split_keys(text)
    if not keys:
        raise UserError("No body part is chosen. Click some below Bones, or let all bones change (Bones: All).")
    parts = {part.key: part for part in body_parts(armature)}
    missing = [key for key in keys if key not in parts]
    if missing:
        raise UserError(
            f"'{armature.name}' has no body part {', '.join(missing)}; it has {', '.join(parts)}. Choose among these."
        )
    return frozenset().union(*(parts[key].bones for key in keys))


class MOTION_VARIATIONS_OT_toggle_part(bpy.types.Operator):
    """Let this part of the body change, or not. All other bones keep their turn against their parents"""

    bl_idname = "motion_variations.toggle_part"
    bl_label = "Choose Body Part"
    bl_options = {"UNDO", "INTERNAL"}

    key: StringProperty(name="Part", description="Identifier of the part, as 'ARM_LEFT'")

    def execute(self, context):
        """Adds it to the scene's list, or takes it off."""
        settings = context.scene.motion_variations
        keys, key = split_keys(settings.parts), self.key.upper()
        keys = [one for one in keys if one != key] if key in keys else [*keys, key]
        settings.parts = ", ".join(keys)
        return {"FINISHED"}


def register():
    """Makes the operator known to Blender."""
    bpy.utils.register_class(MOTION_VARIATIONS_OT_toggle_part)


def unregister():
    """Takes it away, and what was found."""
    bpy.utils.unregister_class(MOTION_VARIATIONS_OT_toggle_part)
    _found.clear()
