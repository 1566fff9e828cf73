"""Variations of a cycle that loop as well as it does."""

import bpy

settings = bpy.context.scene.motion_variations

settings.count = 4
settings.strength = 0.8
settings.level = "PHRASES"
settings.loop = "KEEP"
settings.keep_ends = False
settings.contacts = True
settings.root_path = "KEEP"
