"""Someone else does the same: posture and manner change throughout, the ends as well."""

import bpy

settings = bpy.context.scene.motion_variations

settings.count = 4
settings.strength = 1.0
settings.level = "WHOLE"
settings.loop = "OFF"
settings.keep_ends = False
settings.contacts = True
settings.root_path = "KEEP"
