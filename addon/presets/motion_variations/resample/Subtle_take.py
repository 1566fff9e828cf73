"""A take beside the source: the same performer, a little different."""

import bpy

settings = bpy.context.scene.motion_variations

settings.count = 3
settings.strength = 0.4
settings.level = "PHRASES"
settings.loop = "OFF"
settings.keep_ends = True
settings.contacts = True
settings.root_path = "KEEP"
