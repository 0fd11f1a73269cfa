"""The templates (Jinja2) and their filters. Whatever comes from data is escaped."""

import math
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from podium.core.errors import legible

TEMPLATES = Path(__file__).parent / "templates"


def render(template: str, content: dict[str, Any]) -> str:
    """Fill in a template of TEMPLATES."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,  # a misspelt name is an error
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_legible,
    )
    environment.filters |= {"number": number, "gain": gain, "share": share}
    environment.globals["css"] = Markup((TEMPLATES / "style.css").read_text(encoding="utf-8"))
    return environment.get_template(template).render(content) + "\n"


def number(value: float, digits: int = 4) -> str:
    """Format a score; a dash where there is none."""
    return f"{value:.{digits}f}" if math.isfinite(value) else "–"


def gain(value: float) -> str:
    """Format a difference with its sign; a dash where there is none."""
    return f"{value:+.4f}" if math.isfinite(value) else "–"


def share(value: float) -> str:
    """Format a share in percent; a dash where there is none."""
    return f"{value:.0%}" if math.isfinite(value) else "–"


def _legible(value: Any) -> Any:
    """Replace the control characters of a text from data, which HTML forbids."""
    return legible(value) if isinstance(value, str) and not isinstance(value, Markup) else value
