"""python -I probe.py: prints, as one line of JSON, what this Python can do for the torch engine.

Stands alone, imports nothing of this package and keeps to old syntax: the Python that runs it may be any. Devices are
tried by a small product, because a torch that names a device can still lack code for it.
"""

import importlib
import json
import sys


def device_names(torch):
    """Torch's names of the devices that may be there, the best first."""
    names = [f"cuda:{index}" for index in range(torch.cuda.device_count())] if torch.cuda.is_available() else []
    backends = getattr(torch, "backends", None)
    if getattr(backends, "mps", None) is not None and backends.mps.is_available():
        names.append("mps")
    return names + ["cpu"]


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


def describe(torch, name):
    """A device in words, and why it can't be used (None if it can)."""
    words, problem = {"cpu": "CPU", "mps": "Apple GPU"}.get(name, name), None
    try:
        if name.startswith("cuda"):
            properties = torch.cuda.get_device_properties(name)
            words = f"{properties.name}, {properties.total_memory / 2.0**30:.0f} GB"
            capability = (properties.major, properties.minor)
            if torch.version.cuda and lacks_code(torch, capability):
                archs = ", ".join(torch.cuda.get_arch_list())
                problem = "this torch has no code for compute capability {}.{} (it has {})".format(*capability, archs)
        if problem is None:
            ones = torch.ones(8, 8, device=name)
            if float((ones @ ones).sum().cpu()) != 512.0:
                problem = "it multiplies wrongly"
    except Exception as error:
        problem = str(error).strip().split("\n")[0] or type(error).__name__
    return {"name": name, "words": words, "problem": problem}


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
        found["devices"] = [describe(torch, name) for name in device_names(torch)]
    print(json.dumps(found))


if __name__ == "__main__":
    main()
