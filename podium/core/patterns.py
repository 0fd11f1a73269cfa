"""Regular expressions in params.yaml."""

import re

from pydantic import AfterValidator


def pattern_with(*groups: str) -> AfterValidator:
    """Refuse a regular expression that is wrong or lacks one of these named groups."""

    def check(pattern: str) -> str:
        try:
            known = re.compile(pattern).groupindex
        except re.error as error:
            raise ValueError(f"is no regular expression: {error}") from None
        if lacking := [f"(?P<{name}>...)" for name in groups if name not in known]:
            raise ValueError(f"lacks the named group {' and '.join(lacking)}")
        return pattern

    return AfterValidator(check)
