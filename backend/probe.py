"""python -I probe.py: prints, as one line of JSON, what this Python can do for the torch engine.

Stands alone, imports nothing of this package and keeps to old syntax: the Python that runs it may be any. Devices are
tried by a small product, because a torch that names a device can still lack code for it.
"""

import importlib
import json
import sys


def build_of(torch):
    """What this torch was made for, with the version: CUDA, ROCm, the GPU of a Mac, or the processor alone."""
    version = getattr(torch, "version", None)
    if getattr(version, "cuda", None):
        return f"CUDA {version.cuda}"
    if getattr(version, "hip", None):
        return "ROCm {}".format(".".join(version.hip.split(".")[:2]))
    mps = getattr(getattr(torch, "backends", None), "mps", None)
    return "MPS" if mps is not None and mps.is_built() else "CPU"


def device_names(torch):
    """Torch's names of the devices that may be there, the best first."""
    names = [f"cuda:{index}" for index in range(torch.cuda.device_count())] if torch.cuda.is_available() else []
    backends = getattr(torch, "backends", None)
    if getattr(backends, "mps", None) is not None and backends.mps.is_available():
        names.append("mps")
    return names + ["cpu"]


def arch_list(torch):
    """The cards that this torch has code for, as torch names them."""
    try:
        return list(torch.cuda.get_arch_list())
    except Exception:
        return []


def lacks_code(torch, capability):
    """Whether this torch has no code for an NVIDIA device of that capability; False where it can't be told."""
    wanted, found = capability[0] * 10 + capability[1], []
    for arch in torch.cuda.get_arch_list():
        kind, _, number = arch.partition("_")
        digits = "".join(letter for letter in number if letter.isdigit())
        if kind not in ("sm", "compute") or not digits:
            return False  # another maker's names
        found.append((kind, int(digits)))
    runs = [
        (kind == "sm" and number // 10 == wanted // 10 and number <= wanted) or (kind == "compute" and number <= wanted)
        for kind, number in found
    ]
    return bool(found) and not any(runs)


def first_line(error):
    """What an error says."""
    return str(error).strip().split("\n")[0] or type(error).__name__


def card(torch, name):
    """What a graphics card is: its words, kind of code, memory, and whether torch lacks that code."""
    properties = torch.cuda.get_device_properties(name)
    found = {"words": properties.name, "total_gb": properties.total_memory / 2.0**30, "lacks_code": False}
    if torch.version.cuda:
        capability = (properties.major, properties.minor)
        found["arch"] = "sm_{}{}".format(*capability)
        found["lacks_code"] = lacks_code(torch, capability)
    else:
        found["arch"] = getattr(properties, "gcnArchName", "").split(":")[0]
        archs = [arch.split(":")[0] for arch in arch_list(torch)]
        found["lacks_code"] = bool(found["arch"] and archs) and found["arch"] not in archs
    return found


def describe(torch, name):
    """A device: what it is, and why it can't be used (None if it can)."""
    found = {"name": name, "words": {"cpu": "CPU", "mps": "Apple GPU"}.get(name, name), "problem": None}
    try:
        if name.startswith("cuda"):
            found.update(card(torch, name))
            if found["lacks_code"]:
                found["problem"] = "this torch has no code for it"
                return found
        ones = torch.ones(8, 8, device=name)
        if float((ones @ ones).sum().cpu()) != 512.0:
            found["problem"] = "it multiplies wrongly"
        if name.startswith("cuda"):
            found["free_gb"] = torch.cuda.mem_get_info(name)[0] / 2.0**30
    except Exception as error:
        found["problem"] = first_line(error)
    return found


def missing_card(torch):
    """Why a torch that was made for a graphics card finds none; None where it wasn't, or does."""
    if build_of(torch).split()[0] not in ("CUDA", "ROCm") or torch.cuda.is_available():
        return None
    try:
        torch.cuda.init()
    except Exception as error:
        return first_line(error)
    return None


def main():
    """Print the findings."""
    found = {"python": list(sys.version_info[:3]), "executable": sys.executable, "devices": []}
    for name in ("numpy", "torch"):
        try:
            found[name] = importlib.import_module(name).__version__
        except ImportError as error:
            found[name] = None
            # "There is none" and "it is broken" need different advice.
            found[name + "_error"] = None if getattr(error, "name", None) == name else str(error)
        except Exception as error:
            found[name], found[name + "_error"] = None, str(error) or type(error).__name__
    if found["torch"]:
        torch = sys.modules["torch"]
        found["build"], found["archs"] = build_of(torch), arch_list(torch)
        found["devices"] = [describe(torch, name) for name in device_names(torch)]
        found["missing_card"] = missing_card(torch)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
