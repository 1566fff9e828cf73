"""Clips on NLA tracks: which strip is meant where no action is active, its time, another action in its place.

An armature without an active action plays its tracks. A click then is about one strip's action: that of the only
selected strip, else of the topmost one under the current frame, else of the nearest. A variation is looked at in the
strip's place: same track, time, blending; nothing else of the stack is touched, and the source comes back the same way.
"""

from dataclasses import dataclass

import bpy
import numpy as np

from ..armature import MotionError
from .actions import HAS_SLOTS, assign_action, curve_collection, find_slot, identifier_of


@dataclass(frozen=True)
class Clip:
    """A strip that plays an action, as plain data.

    Attributes:
        track, strip: names. slot: the identifier of the action's slot, "" without slots.
        start: first timeline frame. first, last: the action's frames that are played.
        scale: timeline frames for a frame of the action. repeat: how often it is played. backwards: from last to first.
        animated: the strip's time is keyed.
        silent: track or strip is muted, or another track is solo.
    """

    track: str
    strip: str
    slot: str
    start: float
    first: float
    last: float
    scale: float
    repeat: float
    backwards: bool
    animated: bool
    silent: bool

    def action_frames(self, first: float, last: float) -> tuple[float, float]:
        """A range of timeline frames as frames of the action.

        Raises:
            MotionError: the range holds no part of the action, or several, or the strip's time is animated.
        """
        if self.animated:
            raise MotionError(
                f"The time of the strip '{self.strip}' is animated, so a range of the timeline doesn't say which "
                "frames of the action may change. Choose the whole action."
            )
        length = max(self.last - self.first, 1e-6)
        low, high = (first - self.start) / self.scale, (last - self.start) / self.scale
        turn = int(min(max((low + high) / 2, 0.0), length * self.repeat - 1e-6) // length)
        low, high = max(low - turn * length, 0.0), min(high - turn * length, length)
        if low >= high:
            raise MotionError(
                f"The range {first:g} to {last:g} lies outside the strip '{self.strip}', which starts at "
                f"{self.start:g}. Choose another range, or the whole action."
            )
        return (self.last - high, self.last - low) if self.backwards else (self.first + low, self.first + high)

    def action_frame(self, frame: float) -> tuple[float, ...]:
        """The action's frame at a timeline frame; () where the strip doesn't play there, or its time is animated."""
        length = self.last - self.first
        at = (frame - self.start) / self.scale
        if self.animated or not 0 <= at <= length * self.repeat:
            return ()
        at = at % length if at < length * self.repeat else at - length * max(int(np.ceil(self.repeat)) - 1, 0)
        return (self.last - at if self.backwards else self.first + at,)


def playing_action(armature):
    """The action that a click is about: the active one, else that of the strip that is meant; None without any."""
    data = armature.animation_data
    if data is None or data.action is not None:
        return data.action if data is not None else None
    found = _meant(armature)
    return found[1].action if found is not None else None


def playing_clip(armature) -> Clip | None:
    """The strip that a click is about; None where an action is active, or there is no strip."""
    found = _meant(armature)
    if found is None:
        return None
    track, strip = found
    return Clip(
        track=track.name,
        strip=strip.name,
        slot=identifier_of(strip.action_slot) if HAS_SLOTS else "",
        start=strip.frame_start,
        first=strip.action_frame_start,
        last=strip.action_frame_end,
        scale=max(strip.scale, 1e-4),
        repeat=strip.repeat,
        backwards=strip.use_reverse,
        animated=strip.use_animated_time,
        silent=not _is_heard(armature.animation_data, track, strip),
    )


def action_frame(armature, frame: float) -> float:
    """The frame of the action that plays at a timeline frame: the same, but where an NLA strip plays it."""
    clip = playing_clip(armature)
    if clip is None:
        return frame
    nearest = clip.first if (frame < clip.start) != clip.backwards else clip.last
    return next(iter(clip.action_frame(frame)), nearest)


def check_clip(armature) -> None:
    """Raises MotionError where nothing can be shown in place of the strip that is meant."""
    found = _meant(armature)
    if found is not None:
        _check_strip(armature, *found)


def put_action(armature, action, slot, family) -> None:
    """Lets an action drive the armature: in place of the strip that plays one of its family, else as the active one.

    Args:
        slot: its identifier. family: the actions of one list: the source and all that was made from it.
    """
    found = _strip_of(armature, family)
    if found is None:
        assign_action(armature, action, slot or None)
    else:
        set_strip(armature, *found, action, slot)


def replace_in_strips(armature, action, source, slot) -> None:
    """Gives strips that play an action, which is about to be deleted, their source again."""
    for track, strip in _strips(armature):
        if strip.action == action:
            set_strip(armature, track, strip, source, slot)


def clip_strip(armature, action):
    """The track and strip that play an action.

    Raises:
        MotionError: none does.
    """
    found = _strip_of(armature, [action])
    if found is None:
        raise MotionError(f"No strip of '{armature.name}' plays '{action.name}' any more. Show the variation again.")
    return found


def _strip_of(armature, family):
    """Track and strip to be used for a list of actions: what is meant, else the first that plays one of them."""
    data = armature.animation_data
    if data is None or data.action is not None:
        return None
    meant = _meant(armature)
    strips = ([meant] if meant is not None else []) + _strips(armature)
    return next((one for one in strips if one[1].action in family), None)


def set_strip(armature, track, strip, action, slot) -> None:
    """Another action in a strip; its frames, time and blending stay."""
    _check_strip(armature, track, strip)
    strip.action = action
    if HAS_SLOTS:
        found = find_slot(armature, action, slot) or find_slot(armature, action)
        if found is not None and strip.action_slot != found:
            strip.action_slot = found


def _check_strip(armature, track, strip) -> None:
    """Raises MotionError where a strip can't be given another action."""
    if armature.animation_data.use_tweak_mode:
        raise MotionError(f"'{armature.name}' has an NLA strip in tweak mode. Leave it (Tab in the NLA editor) first.")
    if armature.override_library is not None and track.is_override_data:
        raise MotionError(
            f"The strip '{strip.name}' comes with the linked armature, so nothing can be shown in its place. Give "
            f"'{armature.name}' the action '{strip.action.name}' in the Dope Sheet's action editor and click again."
        )


def _meant(armature):
    """The track and strip that a click is about, or None."""
    data = armature.animation_data
    if data is None or data.action is not None or not data.use_nla or not len(data.nla_tracks):
        return None
    found = [(track, strip) for track, strip in _strips(armature) if _moves_bones(strip)]
    selected = [one for one in found if one[1].select]
    if len(selected) == 1:
        return selected[0]
    heard = [one for one in found if _is_heard(data, *one)] or found
    frame = bpy.context.scene.frame_current_final
    return min(heard, key=lambda one: max(one[1].frame_start - frame, frame - one[1].frame_end, 0.0), default=None)


def _strips(armature):
    """Tracks and strips that play an action, the topmost first."""
    data = armature.animation_data
    tracks = reversed(data.nla_tracks) if data is not None else ()
    return [
        (track, strip)
        for track in tracks
        for strip in track.strips
        if strip.type == "CLIP" and strip.action is not None
    ]


def _is_heard(data, track, strip) -> bool:
    """Whether a strip has a say: not muted, and no other track alone has it."""
    solo = any(one.is_solo for one in data.nla_tracks)
    return not strip.mute and (track.is_solo if solo else not track.mute)


def _moves_bones(strip) -> bool:
    """Whether the strip's action has curves of bones."""
    slot = strip.action_slot if HAS_SLOTS else None
    return any(curve.data_path.startswith("pose.bones[") for curve in curve_collection(strip.action, slot))
