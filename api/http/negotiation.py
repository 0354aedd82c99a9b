"""Chooses the media type of a response by the Accept header (RFC 9110, section 12.5.1)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from schemas.problems import PROBLEM_MEDIA_TYPE

VARY: Mapping[str, str] = {"Vary": "Accept"}
"""A header of every response whose media type was chosen here: caches keep one for each Accept."""
JSON, HTML, CSV, EVENT_STREAM = "application/json", "text/html", "text/csv", "text/event-stream"
XHTML = "application/xhtml+xml"
"""Browsers accept it by name when they open a page; programs do not."""
ELEMENT = re.compile(r'(?:[^,"]|"(?:[^"\\]|\\.)*"?)+')
"""An element of the header's list: a comma inside a quoted string does not end it"""
WEIGHT = re.compile(r";\s*q\s*=\s*(\d*\.?\d*)\s*(?:;|$)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Preference:
    """How much a client wants a media type: 0 is not at all, 1 is most."""

    quality: float
    is_named: bool
    """Whether the header names the type, not only by a wildcard."""


def preference(accept: str | None, media_type: str) -> Preference:
    """The quality of the most specific range that matches; without a header, 1.

    Case and parameters other than `q` are ignored. `*` counts as `*/*`; a malformed `q` as 1.
    """
    if not accept or not accept.strip():
        return Preference(1.0, is_named=False)
    group = f"{media_type.partition('/')[0]}/*"
    specificity = {media_type: 3, group: 2, "*/*": 1, "*": 1}
    best, quality = 0, 0.0
    for media_range, its_quality in _parse(accept):
        found = specificity.get(media_range, 0)
        if found > best or (found == best > 0 and its_quality > quality):
            best, quality = found, its_quality
    return Preference(quality, is_named=best == specificity[media_type])


def choose(accept: str | None, offered: Sequence[str]) -> str:
    """The offered media type that the client wants most; of equal ones, the first.

    The first one too where the client accepts none of them.
    """
    return max(offered, key=lambda media_type: preference(accept, media_type).quality)


def wants_page(accept: str | None) -> bool:
    """Whether the client wants HTML rather than JSON or a problem.

    Where JSON is accepted by a wildcard only, HTML is for browsers: the default header of Java,
    `text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2`, is that of programs.
    """
    html = preference(accept, HTML)
    json = max(
        (preference(accept, name) for name in (JSON, PROBLEM_MEDIA_TYPE)),
        key=lambda one: (one.quality, one.is_named),
    )
    if not html.is_named or html.quality < json.quality or not html.quality:
        return False
    if json.is_named:
        return html.quality > json.quality
    return not json.quality or preference(accept, XHTML).is_named


def _parse(accept: str) -> Iterator[tuple[str, float]]:
    """(media range in lower case, quality) of each element."""
    for element in ELEMENT.findall(accept):
        media_range, semicolon, parameters = element.partition(";")
        weight = WEIGHT.search(semicolon + parameters)
        is_number = weight is not None and weight[1].strip(".")
        quality = min(1.0, float(weight[1])) if weight is not None and is_number else 1.0
        yield media_range.strip().lower(), quality
