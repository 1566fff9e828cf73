"""Contact sheets of held-out clips: source, reconstruction and variations, one sheet a set."""

from pathlib import Path

from backend.change import apply_change
from backend.encoding import Model, encode_motion, reconstruction_change
from backend.variation import LEVELS, VariationSettings, vary

from . import metrics
from .held_out import Scope, held_out_clips, middle_motion, silent
from .varied import CLIPS

FEWEST_FRAMES = 20


def chosen_clip(scope: Scope, name: str) -> int:
    """A clip of the set that stands for it: the first of `varied.CLIPS` that it holds out, else its longest."""
    indices = held_out_clips(scope.store, name, len(scope.store.clips))
    names = {scope.store.clips[index]["name"]: index for index in indices}
    listed = [names[clip] for which, clip, _ in CLIPS if which == name and clip in names]
    return listed[0] if listed else max(indices, key=lambda index: scope.store.clips[index]["frames"])


def sheet_rows(model: Model, motion) -> list:
    """Source, reconstruction, and a variation of each level at strength 1."""
    from pictures.contact_sheet import Row
    from pictures.take import motion_take

    encoding = encode_motion(model, motion, silent)
    made = apply_change(motion, reconstruction_change(encoding))
    rows = [
        Row("Source", f"{motion.frames} frames, {len(motion.skeleton.parents)} joints", motion_take(motion), False),
        Row("Reconstruction", f"{metrics.joint_error_mm(motion, made):.0f} mm", motion_take(made)),
    ]
    for level in LEVELS:
        varied = apply_change(motion, vary(model, encoding, VariationSettings(level=level), 1, silent))
        facts = f"strength 1, {metrics.change_deg(motion, varied):.1f} degrees"
        rows.append(Row(f"Variation: {level.lower()}", facts, motion_take(varied)))
    return rows


def draw_sheets(model: Model, scope: Scope, out: Path, report) -> list[dict]:
    """Draws a sheet a set into `out`; returns their titles and files."""
    from pictures.contact_sheet import draw_contact_sheet

    sheets = []
    for name in scope.sets[: 1 if scope.quick else None]:
        index = chosen_clip(scope, name)
        motion = middle_motion(scope.store, index, scope.varied_frames)
        if motion.frames < FEWEST_FRAMES:
            continue
        title, file = f"{name}: {scope.store.clips[index]['name']}", f"sheet_{name}.png"
        contacts = metrics.source_contacts(motion)
        draw_contact_sheet(out / file, title, "held out of training", sheet_rows(model, motion), contacts, 1)
        sheets.append({"title": title, "file": file})
        report(f"{file} drawn")
    return sheets
