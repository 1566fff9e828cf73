"""What the user marked on an action: its selected keys."""

import numpy as np

from .actions import assigned_action, curve_collection, curve_target, find_slot


def selected_key_range(armature, action) -> tuple[float, float] | None:
    """First and last frame of the selected keys that move the armature or its bones; None where none is selected."""
    assigned, slot = assigned_action(armature)
    slot = find_slot(armature, action, slot if action == assigned else None)
    ends = []
    for curve in curve_collection(action, slot):
        target = curve_target(curve.data_path)
        if target is None or (target[0] is not None and target[0] not in armature.data.bones):
            continue
        count = len(curve.keyframe_points)
        selected, keys = np.empty(count, dtype=bool), np.empty(2 * count, dtype=np.float32)
        curve.keyframe_points.foreach_get("select_control_point", selected)
        if selected.any():
            curve.keyframe_points.foreach_get("co", keys)
            times = keys[0::2][selected]
            ends += [float(times.min()), float(times.max())]
    return (min(ends), max(ends)) if ends else None
