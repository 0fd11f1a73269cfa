"""The blending methods by name (`ensemble.method`): the registry of podium/ensembling/methods."""

import importlib
import pkgutil
from typing import TYPE_CHECKING, Literal

from podium.ensembling import methods
from podium.ensembling.blending import Method

BASELINE = "equal"


def _discovered() -> dict[str, Method]:
    """Import every file of podium/ensembling/methods, the simplest method first.

    Raises:
        TypeError: a file has no METHOD, or one of another name than the file's; or two methods have one `order`.
    """
    found = []
    for module in pkgutil.iter_modules(methods.__path__):
        method = getattr(importlib.import_module(f"{methods.__name__}.{module.name}"), "METHOD", None)
        if not isinstance(method, Method) or method.name != module.name:
            raise TypeError(
                f"podium/ensembling/methods/{module.name}.py: define METHOD, a Method named {module.name!r}"
            )
        found.append(method)
    found.sort(key=lambda method: method.order)
    if len({method.order for method in found}) < len(found):
        raise TypeError("podium/ensembling/methods: two methods have the same order")
    return {method.name: method for method in found}


METHODS = _discovered()

if TYPE_CHECKING:
    MethodName = str
else:
    MethodName = Literal[("auto", *METHODS)]
