"""What *Encode* found out about a source: kept with the armature, and whether it still holds."""

from . import timeline
from .strength import recent_digest


def keep_report(armature, source, scene, reading, head):
    """Keeps with the armature what the backend said of the motion. Gives the report."""
    report, errors = armature.motion_variations.report, head["reconstruction"]
    report.action, report.slot, report.digest = source, reading.slot, timeline.digest(source, reading.slot)
    report.frames, report.joints, report.bones = head["frames"], head["joints"], len(reading.bones)
    report.fps, report.height_m, report.scene_fps = reading.fps, head["height_m"], frame_rate(scene)
    report.rotation_deg = errors["rotation_world_deg"]
    report.joint_heights = errors["joint_heights"]
    keep_learnt(report, head.get("adaptation"))
    report.joint_cm = 100 * errors["joint_heights"] * head["height_m"]
    return report


def keep_learnt(report, found) -> None:
    """Keeps what the backend said of what was learnt of the character; `found` is None where that is nothing."""
    found = found or {}
    report.learnt_file, report.learnt_problem = found.get("file", ""), found.get("problem", "")
    report.held_before, report.held_after = found.get("before", 0.0), found.get("after", 0.0)


def learnt_sentence(found) -> str:
    """What to say of it after a job; empty where nothing was learnt."""
    if not found:
        return ""
    if found["problem"] or not found["used"]:
        return found["problem"] or "This motion is known better without what was learnt of its character."
    return "What was learnt of this character was used."


def frame_rate(scene) -> float:
    """The scene's frames a second."""
    return scene.render.fps / scene.render.fps_base


def outdated_reason(armature, scene) -> str:
    """Why the report isn't true any more, as a sentence for the panel; empty where it is."""
    report = armature.motion_variations.report
    if not report.digest:  # of a version that didn't keep it
        return ""
    if report.bones != len(armature.data.bones):
        return (
            f"The armature had {report.bones} bones when it was encoded and has {len(armature.data.bones)} now. Click "
            "Encode again."
        )
    if recent_digest(report.action, report.slot) != report.digest:
        return (
            "The source was edited after Encode. Variations made before don't have the edits; the next ones will. "
            "Click Encode to see how well the model knows it now."
        )
    rate = frame_rate(scene)
    if abs(rate - report.scene_fps) > 1e-3:
        return (
            f"The scene had {report.scene_fps:.5g} frames a second at Encode and has {rate:.5g} now, so the motion "
            "plays at another speed. Click Encode again."
        )
    return ""
