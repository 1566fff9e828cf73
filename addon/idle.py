"""Gives memory back: ends the backend process after some minutes without a job. The next click starts it again."""

import bpy

from . import connection, session
from .preferences import preferences

LOOK_S = 10.0  # how often Blender's timer looks
SECONDS = 60


def look() -> float:
    """The timer: ends a process that nobody has needed for as long as the preferences say; when to look again."""
    minutes = preferences().idle_minutes
    if minutes and session.job is None and connection.rest_after(minutes * SECONDS):
        from .operators import redraw_panels

        redraw_panels()
    return LOOK_S


def register():
    """Looks from now on, over all files."""
    bpy.app.timers.register(look, first_interval=LOOK_S, persistent=True)


def unregister():
    """Stops looking."""
    if bpy.app.timers.is_registered(look):
        bpy.app.timers.unregister(look)
