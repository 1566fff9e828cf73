"""What an armature carries, kept with a library override when the file is saved.

Since Blender 5.0 a group of properties that the linked armature never had would be saved as one pointer, which Blender
can't read back. Once the linked armature has the (empty) group in memory, what is in it is saved piece by piece.
"""

import bpy

OWNER = "motion_variations"  # the property of objects


def prepare(armature) -> None:
    """Lets the lists of an override be saved; does nothing to other objects."""
    override = armature.override_library
    if override is None or override.reference is None:
        return
    paths = {OWNER, *_touch(getattr(override.reference, OWNER), OWNER)}
    for one in [one for one in override.properties if one.rna_path in paths]:
        override.properties.remove(one)


def _touch(group, path: str) -> list[str]:
    """Makes a group and those inside it; gives the paths of the latter."""
    found = []
    for one in group.bl_rna.properties:
        if one.type == "POINTER" and not one.is_readonly and one.fixed_type is not None:
            inner = getattr(group, one.identifier)
            if isinstance(inner, bpy.types.PropertyGroup):
                found += [f"{path}.{one.identifier}", *_touch(inner, f"{path}.{one.identifier}")]
    return found


@bpy.app.handlers.persistent
def _before_save(*_):
    """The file is about to be written."""
    for thing in bpy.data.objects:
        if thing.override_library is not None and thing.type == "ARMATURE":
            prepare(thing)


def register():
    """Watches for saves."""
    bpy.app.handlers.save_pre.append(_before_save)


def unregister():
    """Stops watching."""
    if _before_save in bpy.app.handlers.save_pre:
        bpy.app.handlers.save_pre.remove(_before_save)
