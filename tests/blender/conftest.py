"""Fixtures of the tests in Blender. Each file runs in a process of its own: bpy can be imported once a process."""

import pytest

from tests.blender import stage


@pytest.fixture(scope="session")
def extension():
    """The folder of the installed and enabled extension."""
    return stage.install()


@pytest.fixture
def scene(extension):
    """An empty file in a Blender with the extension; afterwards no job is left."""
    import bpy

    stage.fresh_file()
    yield bpy.context.scene
    assert stage.module("session").job is None, "a job was left running"


@pytest.fixture
def operators(scene):
    """`bpy.ops.motion_variations`, in an empty file."""
    import bpy

    return bpy.ops.motion_variations
