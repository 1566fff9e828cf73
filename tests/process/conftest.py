"""Fixtures of the process tests: the extension as it ships, a tiny model, clients that leave nothing behind."""

import os
import sys
from pathlib import Path

import pytest

import build

sys.path.insert(0, str(Path(__file__).parent))  # pytest's importlib mode leaves a test's folder off the path

from scenery import is_alive, load_extension, save_tiny_checkpoint


@pytest.fixture(scope="session")
def extension(tmp_path_factory):
    """The extension under test: `client`, `pythons` and its `folder`."""
    unpacked = os.environ.get("MOTION_VARIATIONS_FOLDER")
    return load_extension(Path(unpacked) if unpacked else build.assemble(tmp_path_factory.mktemp("extension")))


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory) -> Path:
    """A model of a few thousand weights."""
    return save_tiny_checkpoint(tmp_path_factory.mktemp("checkpoint") / "tiny.safetensors")


@pytest.fixture
def new_client(extension, checkpoint):
    """Makes clients of the tiny model; afterwards they are stopped and none of their processes is left."""
    clients, pids = [], set()

    def make(limits=None, **settings):
        settings = extension.client.Settings(**{"checkpoint": str(checkpoint), **settings})
        client = extension.client.Client(settings, extension.client.Limits(**(limits or {})))
        start = client.start

        def noted_start():
            start()
            pids.add(client.pid)

        client.start = noted_start
        clients.append(client)
        return client

    yield make
    for client in clients:
        client.stop()
    assert not [pid for pid in pids if is_alive(pid)], "a backend process was left behind"
