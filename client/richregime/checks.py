"""Whether the claims of an experiment hold, for a build: one verdict, and JUnit XML."""

from __future__ import annotations

import re
from dataclasses import dataclass
from xml.etree import ElementTree  # nosec B405

from richregime.types import Comparison, Experiment

REPRODUCED, NOT_REPRODUCED, INCONCLUSIVE = "reproduced", "not reproduced", "inconclusive"
NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 cannot hold"""


@dataclass(frozen=True, slots=True)
class CheckedClaim:
    """One claim, and the verdict on it so far."""

    name: str
    """Of a claim of the paper: its number, its title, and the point."""
    verdict: str
    """`reproduced`, `not reproduced` or `inconclusive`."""
    sentence: str
    """What was found."""


@dataclass(frozen=True, slots=True)
class ClaimCheck:
    """The claims of an experiment, judged."""

    experiment: Experiment
    claims: tuple[CheckedClaim, ...]
    """Those of its submission; then, where they were asked for, those of the paper."""
    complete: bool
    """Whether no verdict changes any more."""

    @property
    def verdict(self) -> str:
        """`not reproduced` where some claim is, `reproduced` where all are, else `inconclusive`.

        Also `inconclusive` while verdicts may change, and where there is no claim.
        """
        found = {claim.verdict for claim in self.claims}
        if not self.complete or not found:
            return INCONCLUSIVE
        if NOT_REPRODUCED in found:
            return NOT_REPRODUCED
        return REPRODUCED if found == {REPRODUCED} else INCONCLUSIVE

    def to_junit(self) -> str:
        """JUnit XML with a test case for each claim.

        A claim that is not reproduced is a failure with its sentence. One that is not decided, or
        whose verdict may change, is an error. A single error stands for no claim at all.
        """
        cases = [self._write_case(claim) for claim in self.claims] or [self._write_absence()]
        counts = {
            "tests": str(len(cases)),
            "failures": str(sum(case.find("failure") is not None for case in cases)),
            "errors": str(sum(case.find("error") is not None for case in cases)),
        }
        root = ElementTree.Element("testsuites", counts)
        title = self.experiment.title or self.experiment.id
        suite = ElementTree.SubElement(root, "testsuite", {"name": _clean(title), **counts})
        suite.extend(cases)
        ElementTree.indent(root)
        text = ElementTree.tostring(root, encoding="unicode")
        return f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n'

    def _write_case(self, claim: CheckedClaim) -> ElementTree.Element:
        case = self._new_case(claim.name)
        if not self.complete:
            self._add(case, "error", "not finished", f"verdicts may change: {claim.sentence}")
        elif claim.verdict == NOT_REPRODUCED:
            self._add(case, "failure", claim.verdict, claim.sentence)
        elif claim.verdict != REPRODUCED:
            self._add(case, "error", claim.verdict, claim.sentence)
        return case

    def _write_absence(self) -> ElementTree.Element:
        case = self._new_case("claims")
        self._add(case, "error", "no claims", "there is no claim to check")
        return case

    def _new_case(self, name: str) -> ElementTree.Element:
        classname = f"richregime.{self.experiment.id}"
        return ElementTree.Element("testcase", {"classname": classname, "name": _clean(name)})

    @staticmethod
    def _add(case: ElementTree.Element, tag: str, kind: str, message: str) -> None:
        given = {"type": kind, "message": _clean(message)}
        ElementTree.SubElement(case, tag, given).text = _clean(message)


def read_check(experiment: Experiment, comparison: Comparison | None, paper: bool) -> ClaimCheck:
    """The check of an experiment. comparison: None while no run has finished."""
    if comparison is None:
        waiting = tuple(
            CheckedClaim(claim.name, INCONCLUSIVE, "no run has finished")
            for claim in experiment.claims
        )
        return ClaimCheck(experiment, waiting, False)
    own = [
        CheckedClaim(one.name, str(one.verdict), one.sentence) for one in comparison.own_verdicts
    ]
    of_paper = [
        CheckedClaim(
            _name_paper_claim(one.claim, one.title, one.point), str(one.verdict), one.sentence
        )
        for one in comparison.verdicts
        if paper
    ]
    return ClaimCheck(experiment, (*own, *of_paper), comparison.complete)


def _name_paper_claim(number: int, title: str, point: dict[str, object]) -> str:
    where = ", ".join(f"{path} {value}" for path, value in point.items())
    return f"{number}. {title}" + (f" ({where})" if where else "")


def _clean(text: str) -> str:
    """The text with a replacement character for each that XML cannot hold."""
    return NOT_XML.sub("\ufffd", text)
