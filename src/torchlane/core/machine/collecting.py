"""How often Python's collector of garbage works in a command, and that it does not work once more as it ends."""

import atexit
import gc
import sys
from importlib.machinery import ExtensionFileLoader
from types import ModuleType

# A run makes hardly any garbage, and looking for it as often as Python does takes 1 s. A small run makes fewer objects.
FEW_COLLECTIONS = (1_000_000, 50, 1000)


def collect_seldom() -> None:
    """Let the collector work seldom in this process, and leave what is there at the end to the operating system.

    As a process ends, Python looks for cycles among all objects and then takes each apart, which takes as long as a
    third of `import torch`. Handlers of `atexit`, and `weakref.finalize`, run before that as ever.
    """
    gc.set_threshold(*FEW_COLLECTIONS)
    atexit.unregister(_leave_objects)
    atexit.register(_leave_objects)


def _leave_objects() -> None:
    """Hide all objects from the collector, unless an extension would report its own as leaked on stderr."""
    if not any(map(_reports_leaks, list(sys.modules.values()))):
        gc.freeze()


def _reports_leaks(module: ModuleType) -> bool:
    """Say whether a module is written with nanobind, as those of triton and onnx are."""
    if not isinstance(getattr(module, "__loader__", None), ExtensionFileLoader):
        return False
    inside = [each for each in vars(module).values() if isinstance(each, ModuleType)]
    return any(type(each).__module__ == "nanobind" for place in (module, *inside) for each in vars(place).values())
