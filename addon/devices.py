"""What can be chosen as PyTorch's device: what the chosen Python was found to have. No bpy in here."""

import json

from .pythons import Device

AUTOMATIC = ("AUTO", "Automatic", "The graphics card where PyTorch can use one, else the processor")
PROCESSOR = ("CPU", "Processor", "The processor, even where there is a graphics card")
CARD = "This graphics card. Another Python may not have it"
NOT_FOUND = "Remembered, but not found in the chosen Python. Where it is missing, the processor does the work"


def to_text(devices) -> str:
    """Devices as text, to be kept with the preferences."""
    return json.dumps([[device.name, device.words, device.problem] for device in devices])


def from_text(text: str) -> list[Device]:
    """What was kept; nothing where the text is none of ours."""
    try:
        return [Device(str(name), str(words), problem) for name, words, problem in json.loads(text or "[]")]
    except (ValueError, TypeError):
        return []


def choices(devices, remembered: str) -> list[tuple[str, str, str]]:
    """(identifier, name, tooltip) of what can be chosen: automatic, each device that works, the processor.

    Args:
        remembered: torch's name of the chosen device, or "auto"; it is among them even if the Python lacks it.
    """
    found = [AUTOMATIC, *((one.name.upper(), _name(one), CARD) for one in devices if _is_card(one)), PROCESSOR]
    if remembered.upper() not in [identifier for identifier, _, _ in found]:
        found.append((remembered.upper(), f"{remembered.upper()} (not found)", NOT_FOUND))
    return found


def _is_card(device) -> bool:
    """Whether it can be chosen beside the processor."""
    return device.problem is None and device.name != "cpu"


def _name(device) -> str:
    """Without the memory that was free when it was looked at."""
    words = device.words.split(" (")[0]
    return f"{words} ({device.name})" if device.name.startswith("cuda") else words
