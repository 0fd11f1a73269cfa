"""The registry of backbone families that timm lacks: finds the modules of podium/models/families."""

import importlib
import pkgutil
from types import ModuleType

import timm

from podium.models import families


def modules() -> dict[str, ModuleType]:
    """Return the family modules by name, sorted."""
    names = sorted(module.name for module in pkgutil.iter_modules(families.__path__))
    return {name: importlib.import_module(f"{families.__name__}.{name}") for name in names}


def register_all() -> dict[str, str]:
    """Register every family's backbones with timm; may be called again.

    Returns:
        the family of each backbone name.

    Raises:
        TypeError: a module lacks a part of the interface in podium/models/families/__init__.py.
    """
    owners: dict[str, str] = {}
    for family, module in modules().items():
        for name in register(family, module):
            if name in owners:
                raise TypeError(f"podium/models/families: {owners[name]}.py and {family}.py both register {name}")
            owners[name] = family
    return owners


def register(family: str, module: ModuleType) -> tuple[str, ...]:
    """Register one family's backbones with timm and return their names.

    Args:
        family: name of the module, for errors.
        module: with NAMES and register().

    Raises:
        TypeError: NAMES or register() is missing, or register() leaves out a name.
    """
    file = f"podium/models/families/{family}.py"
    names = getattr(module, "NAMES", None)
    if not isinstance(names, tuple) or not names or not all(isinstance(name, str) for name in names):
        raise TypeError(f"{file}: NAMES must be a tuple of backbone names, is {names!r}")
    if not callable(getattr(module, "register", None)):
        raise TypeError(f"{file}: define register(), which registers NAMES with timm")
    module.register()
    if missing := [name for name in names if not timm.is_model(name)]:
        raise TypeError(f"{file}: register() does not register {', '.join(missing)} of NAMES")
    return names
