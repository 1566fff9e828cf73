"""Names of new actions: made from the source's, numbered, never cut off."""

import bpy

MAX_NAME_BYTES = 63  # of an ID's name up to Blender 4.5
VARIATION_SUFFIX = " var %02d"
RECONSTRUCTION_SUFFIX = " reconstruction"
MIX_SUFFIX = " mix %02d"


def short_name(name: str, suffix: str = "") -> str:
    """A name with a suffix, its own end cut where Blender would cut the suffix."""
    room = MAX_NAME_BYTES - len(suffix.encode())
    return name.encode()[:room].decode("utf-8", "ignore") + suffix


def new_name(source, suffix: str) -> str:
    """An action's name made from the source's, short enough that Blender keeps the suffix whole."""
    return short_name(source.name, suffix)


def new_variation_name(source, suffix: str = VARIATION_SUFFIX) -> str:
    """`<source> var 01`, with the first number after those in the file."""
    names = {action.name for action in bpy.data.actions}
    number = 1
    while new_name(source, suffix % number) in names:
        number += 1
    return new_name(source, suffix % number)


def new_mix_name(source) -> str:
    """`<source> mix 01`, numbered the same way."""
    return new_variation_name(source, MIX_SUFFIX)


def new_reconstruction_name(source) -> str:
    """`<source> reconstruction`; Blender numbers further ones."""
    return new_name(source, RECONSTRUCTION_SUFFIX)
