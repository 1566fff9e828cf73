"""Every figure that the project reports, defined once; numpy only.

Motions in, numbers out. Two motions that are compared have the same skeleton and rows. Lengths are put to a body of
1.7 m (`REPORT_HEIGHT_M`), whatever the creature and its units, by `skeleton_height`. What counts frames (jerk,
acceleration, windows) is measured at 30 fps. Every figure of a variation belongs beside the source's own.

    body             a motion as reports see it: 1.7 m, 30 fps, turns against the parents
    reconstruction   errors in mm and degrees
    smoothness       jerk, seams of chunks, area under jerk
    contacts         what rests, skating
    change           how far a variation goes, joint ranges
    diversity        coverage and diversities as GANimator and AnyTop define them, nearest neighbours
"""

from .body import (
    METRIC_FPS,
    REPORT_HEIGHT_M,
    at_rate,
    local_rotations,
    mean_rotation,
    report_positions,
    world_rotations,
)
from .change import (
    change_deg,
    end_pose_errors_cm,
    joint_ranges,
    moving_joints,
    share_outside_ranges,
    variation_figures,
)
from .contacts import contact_overlap, skate_cm_s, source_contacts
from .diversity import (
    COVERAGE_ANGLE_DEG,
    COVERAGE_SIXD,
    COVERAGE_WINDOW,
    DIVERSITY_WINDOW,
    aligned_distance,
    coverage,
    coverage_by_any,
    diversity_figures,
    frame_distances,
    global_diversity,
    inter_diversity,
    local_diversity,
    nearest_distance,
    pose_features,
    posture_features,
    random_pair_distance,
)
from .reconstruction import (
    acceleration_error_mm,
    joint_error_heights,
    joint_error_mm,
    reconstruction_figures,
    rotation_error_deg,
)
from .smoothness import (
    area_under_jerk,
    jerk_curve,
    jerk_ratios,
    near_borders,
    pooled_area_under_jerk,
    pooled_seam_ratio,
    seam,
    seam_ratio,
)

__all__ = [
    "COVERAGE_ANGLE_DEG",
    "COVERAGE_SIXD",
    "COVERAGE_WINDOW",
    "DIVERSITY_WINDOW",
    "METRIC_FPS",
    "REPORT_HEIGHT_M",
    "acceleration_error_mm",
    "aligned_distance",
    "area_under_jerk",
    "at_rate",
    "change_deg",
    "contact_overlap",
    "coverage",
    "coverage_by_any",
    "diversity_figures",
    "end_pose_errors_cm",
    "frame_distances",
    "global_diversity",
    "inter_diversity",
    "jerk_curve",
    "jerk_ratios",
    "joint_error_heights",
    "joint_error_mm",
    "joint_ranges",
    "local_diversity",
    "local_rotations",
    "mean_rotation",
    "moving_joints",
    "near_borders",
    "nearest_distance",
    "pooled_area_under_jerk",
    "pooled_seam_ratio",
    "pose_features",
    "posture_features",
    "random_pair_distance",
    "reconstruction_figures",
    "report_positions",
    "rotation_error_deg",
    "seam",
    "seam_ratio",
    "share_outside_ranges",
    "skate_cm_s",
    "source_contacts",
    "variation_figures",
    "world_rotations",
]
