"""What an armature plays as an NLA strip on a track of its own, with another action muted below it."""

import numpy as np

from ..armature import MotionError
from .actions import HAS_SLOTS, find_slot
from .clips import clip_strip, set_strip

TIMING = ("action_frame_start", "action_frame_end", "frame_start", "frame_end", "scale", "repeat", "use_reverse")
BLENDING = ("blend_type", "extrapolation", "blend_in", "blend_out", "use_auto_blend")


def push_strip(armature, source, action, slot: str):
    """Makes a strip of `action`, which the armature plays: on a track of its own, where it plays just as before.

    As the active action it becomes a strip above all tracks, and the source a strip on a muted track below. In the
    place of a strip that played the source it becomes a strip above that one, which gets the source back and is muted.
    Gives the strip.

    Args:
        slot: of both actions.

    Raises:
        MotionError: the tracks can't be changed now.
    """
    data = armature.animation_data
    if data.use_tweak_mode:
        raise MotionError(f"'{armature.name}' has an NLA strip in tweak mode. Leave it (Tab in the NLA editor) first.")
    if data.action is None:
        return _split(armature, source, action, slot)
    alone = not _plays_strips(data)  # Blender then doesn't blend the active action, whatever is set
    how = data.action_blend_type, data.action_extrapolation, data.action_influence
    mute_action(armature, source, slot)
    strip = _new_strip(armature, action, slot)
    if not alone:
        strip.blend_type, strip.extrapolation = how[:2]
        _set_influence(strip, how[2])
    data.action = None
    return strip


def mute_action(armature, action, slot: str) -> None:
    """Mutes the strips of an action; where it has none, it gets one on a muted track."""
    tracks = armature.animation_data.nla_tracks
    found = [(track, strip) for track in tracks for strip in track.strips if strip.action == action]
    for track, strip in found:
        _mute(track, strip)
    if not found:
        _new_strip(armature, action, slot)
        tracks[-1].mute = True


def _split(armature, source, action, slot: str):
    """The strip that plays the action in the source's place becomes two: the source's is muted, the other above it."""
    track, old = clip_strip(armature, action)
    if len(old.fcurves):
        raise MotionError(
            f"The time or the influence of the strip '{old.name}' is animated, so it can't be moved to a track of its "
            "own. Accept the variation as it is: it stays in that strip."
        )
    strip = _new_strip(armature, action, slot, track)
    for name in TIMING + BLENDING:
        setattr(strip, name, getattr(old, name))
    for name in ("frame_start", "frame_end"):  # each of the others may have moved them
        setattr(strip, name, getattr(old, name))
    set_strip(armature, track, old, source, slot)
    _mute(track, old)
    return strip


def _plays_strips(data) -> bool:
    """Whether some strip has a say."""
    heard = [track for track in data.nla_tracks if not track.mute]
    return data.use_nla and any(not strip.mute for track in heard for strip in track.strips)


def _mute(track, strip) -> None:
    """Silences a strip: the whole track where there is nothing else on it."""
    if len(track.strips) == 1:
        track.mute = True
    else:
        strip.mute = True


def _set_influence(strip, influence: float) -> None:
    """How much a strip counts, where not fully; Blender reads that from a curve alone."""
    if influence != 1.0:
        strip.use_animated_influence = True
        strip.fcurves.find("influence").keyframe_points.insert(strip.frame_start, influence)


def _new_strip(armature, action, slot: str, below=None):
    """A strip over the action's keys, at their own frames and speed, on a new track above another one or all."""
    tracks = armature.animation_data.nla_tracks
    track = tracks.new(prev=below) if below is not None else tracks.new()
    track.name = action.name
    start, stop = action.curve_frame_range
    strip = track.strips.new(action.name, int(np.floor(start)), action)
    strip.action_frame_start, strip.action_frame_end = start, max(stop, start + 1)
    strip.frame_start, strip.frame_end = start, max(stop, start + 1)
    strip.scale = 1.0
    if HAS_SLOTS:
        found = find_slot(armature, action, slot) or find_slot(armature, action)
        if found is not None and strip.action_slot != found:
            strip.action_slot = found
    return strip
