"""The same performer phrases it otherwise; first and last pose stay, so that clips still join."""

import bpy

settings = bpy.context.scene.motion_variations

settings.count = 4
settings.strength = 1.0
settings.level = "PHRASES"
settings.loop = "OFF"
settings.keep_ends = True
settings.contacts = True
settings.root_path = "KEEP"
