"""Posture and phrasing stay; small and quick differences come on top."""

import bpy

settings = bpy.context.scene.motion_variations

settings.count = 3
settings.strength = 1.5
settings.level = "DETAIL"
settings.loop = "OFF"
settings.keep_ends = True
settings.contacts = True
settings.root_path = "KEEP"
