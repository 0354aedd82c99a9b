"""The eight claims of the paper that experiments are judged on."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PaperClaim:
    """One claim of the paper."""

    number: int
    title: str
    statement: str
    section: str
    """Where the paper makes the claim."""


CLAIMS: tuple[PaperClaim, ...] = (
    PaperClaim(
        1,
        "Resetting the most active parameters hurts",
        "Resetting even 0.1 % of the most active parameters lowers test accuracy; the low point is "
        "near 1 to 10 %.",
        "Section 4, Figures 2 and 3",
    ),
    PaperClaim(
        2,
        "Wide nets recover as more is reset",
        "For wide nets accuracy rises again after the low point, up to the random net at 100 %.",
        "Section 4, Figures 2 and 3",
    ),
    PaperClaim(
        3,
        "Width helps at random, training helps more",
        "Wider random nets are better than narrow ones; a trained net of width 10 beats a random "
        "one of width 100,000.",
        "Section 4, Figure 4",
    ),
    PaperClaim(
        4,
        "A tenth of the parameters is enough",
        "For width 100,000 and one hidden layer, keeping about 10 % of the parameters at their "
        "trained value recovers the trained accuracy.",
        "Section 4, Figure 2",
    ),
    PaperClaim(
        5,
        "Active parameters concentrate at the ends",
        "With width the active parameters concentrate in the bottom layer of Conv-Nets, and in "
        "the bottom and top layers of ReLU-Nets.",
        "Section 5, Figures 5 and 6",
    ),
    PaperClaim(
        6,
        "Static: top and bottom layers are enough, top layers are fast",
        "Training top and bottom layers keeps accuracy; training top layers only is the fastest; "
        "training bottom layers, with or without top layers, takes about the same "
        "back-propagation time.",
        "Section 6.1, Figures 7 and 8",
    ),
    PaperClaim(
        7,
        "Probabilistic: all bottoms now and then are enough",
        "Top k All Bottoms, with a suitable k, keeps accuracy at rho = 0.1 with a 2 to 5 times "
        "faster back-propagation; total time about halves.",
        "Section 6.2, Figures 9 to 12, Table 1",
    ),
    PaperClaim(
        8,
        "Stochastic gradients are skewed",
        "Most components of a stochastic gradient are near zero and few are significant.",
        "Section 1, Figure 1",
    ),
)


def get_claim(number: int) -> PaperClaim:
    return next(claim for claim in CLAIMS if claim.number == number)
