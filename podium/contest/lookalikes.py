"""Texts that look alike but differ: invisible characters, letters of another script, capitals.

Sources: Unicode Technical Standard 39 (confusables; the table here has its common pairs only), and the Unicode property
Default_Ignorable_Code_Point.
"""

import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable

from podium.core.errors import some

_LONG = 16  # characters; of a longer label only those are listed that the others lack
_ALIKE = str.maketrans(
    dict(
        pair
        for latin, others in {
            "ABCEHIJKMOPSTXYQWV": "АВСЕНІЈКМОРЅТХҮԚԜѴ",  # Cyrillic
            "aceopxyisjhdqwvkly": "асеорхуіѕјһԁԛԝѵкӏү",
            "IY33": "ӀУЗз",
            "ABEZHIKMNOPTYX": "ΑΒΕΖΗΙΚΜΝΟΡΤΥΧ",  # Greek
            "oavpikuxwcj": "οανρικυχωϲϳ",
            "ouhngjqSOL": "օսհոցյզՏՕԼ",  # Armenian
            "DRTAJWMHGZLCPSVKBE": "ᎠᎡᎢᎪᎫᎳᎷᎻᏀᏃᏞᏟᏢᏚᏙᏦᏴᎬ",  # Cherokee
            "BPDTGKJCZFMNLSRVHWXYAEIOU": "ꓐꓑꓓꓔꓖꓗꓙꓚꓜꓝꓟꓠꓡꓢꓣꓦꓧꓪꓫꓬꓮꓰꓲꓳꓴ",  # Lisu
            "iagli": "ıɑɡǀɩ",  # Latin
            "口二八夕力工卜へ一一": "ロニハタカエトヘーㅡ",  # kana and Hangul
            "'''\"\"\"/:": "’‘ʼ“”„⁄∶",
        }.items()
        for pair in zip(others, latin, strict=True)
    )
)


def visible(text: str) -> str:
    r"""Return what can be seen of a text: composed, without invisible characters, each run of spaces as one space.

    >>> visible("caf\u0065\u0301\u200b\u00a0au  lait\ufeff") == "caf\u00e9 au lait"
    True
    """
    seen = "".join(" " if c.isspace() or c == "\u2800" else c for c in text if not _is_invisible(c))
    return unicodedata.normalize("NFC", " ".join(seen.split()))


def skeleton(text: str) -> str:
    """Return the same text for texts that look alike: `visible`, in Latin letters where there are any, in lower case.

    >>> skeleton("Сat") == skeleton("cat")  # the first letter is Cyrillic
    True
    """
    plain = unicodedata.normalize("NFKC", visible(text)).translate(_ALIKE)
    return "".join("-" if unicodedata.category(c) == "Pd" or c == "\u2212" else c for c in plain).casefold()


def groups(texts: Iterable[str], meaning: Callable[[str], str]) -> list[list[str]]:
    """Return the sets of different texts that have the same meaning, e.g. the same skeleton."""
    found = defaultdict(list)
    for text in sorted(set(texts)):
        found[meaning(text)].append(text)
    return [alike for alike in found.values() if len(alike) > 1]


def described(alike: list[str]) -> str:
    """Name texts that look alike with their code points."""
    return ", ".join(f"{text!r} ({_code_points(text, alike)})" for text in alike)


def warnings(classes: Iterable[str]) -> list[str]:
    """Warn of classes that look alike: they may be one class in two spellings."""
    alike = groups(classes, skeleton)
    if not alike:
        return []
    return [
        f"classes that look alike are separate classes: {some([described(each) for each in alike])}; if they are one"
        " class, spell it the same in the labels, or relabel the images in contest.overrides"
    ]


def hint(text: str, known: Iterable[str]) -> str:
    """Return a remark on the known texts that look like `text`; "" if none does."""
    alike = [name for name in known if name != text and skeleton(name) == skeleton(text)]
    return f" ({described([text, *alike])} look alike)" if alike else ""


def _is_invisible(character: str) -> bool:
    """Return whether a character has no width: format characters, variation selectors, fillers."""
    code = ord(character)
    return (
        unicodedata.category(character) == "Cf"
        or code in {0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x3164, 0xFFA0}
        or 0x180B <= code <= 0x180F
        or 0xFE00 <= code <= 0xFE0F
        or 0xE0000 <= code <= 0xE0FFF
    )


def _code_points(text: str, alike: list[str]) -> str:
    shared = set.intersection(*map(set, alike)) if len(text) > _LONG else set[str]()
    listed = [f"U+{ord(c):04X}" for c in text if c not in shared]
    return " ".join(listed[:_LONG]) + (" ..." if len(listed) > _LONG else "") or "without them"
