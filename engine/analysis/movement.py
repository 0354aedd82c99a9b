"""Find the parameters that moved most or have the largest gradients: exact cuts of a ranking.

All p entries are ordered together by |x|, descending; entries of equal magnitude by index (paper,
Section 4). The order is that of the bits: NaN ranks above infinity, and denormals are distinct even
where arithmetic flushes them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

MAX_CUTS = 254
"""A group number is a byte, and one value marks entries without a group."""
INFINITY_BITS = 0x7F800000
"""`magnitude_bits` of infinity; NaN has larger bits, finite numbers have smaller bits."""
_UNPLACED = 255
_COARSE_BELOW = 1 << 20
"""Number of entries below which fewer bins cost less than the sorting that more bins would save."""
_SIGN_MASK = 0x7FFFFFFF
_PIECE = 1 << 22
"""Entries whose group numbers are converted to indices at a time, to bound memory."""


@dataclass(frozen=True, slots=True)
class Ranking:
    """The descending order of magnitudes, cut at some counts."""

    counts: tuple[int, ...]
    """Ascending; a cut at k separates the k largest entries from the others."""
    groups: Tensor
    """uint8 [p]: number of cuts at or before the entry's rank; the k_j largest have groups <= j."""
    num_tied: tuple[int, ...]
    """For each cut: how many of the k largest were chosen by index, as an entry beyond the cut has
    the same magnitude."""

    def first(self, position: int, out: Tensor | None = None) -> Tensor:
        """A mask of the `counts[position]` largest entries: bool [p], or 0 and 1 in `out`."""
        return torch.le(self.groups, position, out=out)


def magnitude_bits(values: Tensor) -> Tensor:
    """int32 [p] in the order of |values|. values: float32 of any shape, on any device."""
    assert values.dtype == torch.float32
    return values.detach().reshape(-1).view(torch.int32) & _SIGN_MASK


def draw_bits(count: int, generator: torch.Generator) -> Tensor:
    """int32 [count], on the CPU: random values that `rank_magnitudes` ranks."""
    return torch.randint(2**31 - 1, (count,), generator=generator, dtype=torch.int32)


def rank_magnitudes(bits: Tensor, counts: Sequence[int]) -> Ranking:
    """Cut the order of `magnitude_bits` exactly at each of `counts`, in one pass.

    A histogram of the upper bits places every entry whose bin holds no cut; only the others are
    sorted. counts: ascending, 0 to p, at most `MAX_CUTS`.
    """
    size = len(bits)
    assert len(counts) <= MAX_CUTS
    assert list(counts) == sorted(counts)
    assert not counts or (counts[0] >= 0 and counts[-1] <= size)
    bounds = torch.tensor(counts, dtype=torch.int64, device=bits.device)
    bits_a_bin = 18 if size < _COARSE_BELOW else 16
    num_bins = 1 << (31 - bits_a_bin)
    bins = bits >> bits_a_bin
    sizes = torch.bincount(bins, minlength=num_bins).flip(0)  # the largest magnitudes first
    stops = sizes.cumsum(0)
    starts = stops - sizes
    first = _count_up_to_each(torch.searchsorted(starts, bounds), num_bins)
    last = _count_up_to_each(torch.searchsorted(stops, bounds, right=True), num_bins)
    is_split = (first != last) & (sizes > 0)
    table = first.masked_fill(is_split, _UNPLACED).to(torch.uint8).flip(0)
    groups = table.index_select(0, bins)
    num_tied = torch.zeros(len(counts), dtype=torch.int64, device=bits.device)
    if bool(is_split.any()):
        # ranks in a split bin begin where those of the bins before it end
        taken = torch.where(is_split, sizes, 0)
        shift = starts - (taken.cumsum(0) - taken)
        splits_zeros = bool(is_split[-1])
        unplaced = groups == _UNPLACED
        if splits_zeros:
            unplaced &= bits != 0
        num_tied += _place_by_sorting(bits, unplaced, groups, bounds, shift, bits_a_bin)
        if splits_zeros:
            num_tied += _place_zeros(bits, groups, bounds)
    return Ranking(tuple(counts), groups, tuple(num_tied.tolist()))


def rank_by_sorting(values: Tensor, counts: Sequence[int]) -> Ranking:
    """As `rank_magnitudes`, in the order of signed `values`: float32 [p], largest first.

    Sorts all entries, which takes several times as long. NaN ranks first; -0 equals 0.
    """
    bits = values.contiguous().view(torch.int32)
    keys = torch.where(bits < 0, bits ^ _SIGN_MASK, bits) + (bits < 0)  # -0 becomes 0
    keys = keys.masked_fill(torch.isnan(values), _SIGN_MASK)
    ordered, places = torch.sort(keys, descending=True, stable=True)
    bounds = torch.tensor(counts, dtype=torch.int64, device=values.device)
    ranks = torch.arange(len(values), device=values.device)
    groups = torch.empty(len(values), dtype=torch.uint8, device=values.device)
    groups[places] = torch.searchsorted(bounds, ranks, right=True).to(torch.uint8)
    num_tied = []
    for count in counts:
        is_tie = 0 < count < len(values) and bool(ordered[count - 1] == ordered[count])
        first = int((ordered > ordered[count]).sum()) if is_tie else count
        num_tied.append(count - first)
    return Ranking(tuple(counts), groups, tuple(num_tied))


def _count_up_to_each(places: Tensor, size: int) -> Tensor:
    """int64 [size]: how many of `places` are at most each index. places: 0 to `size`."""
    return torch.bincount(places, minlength=size + 1)[:size].cumsum(0)


def read_thresholds(bits: Tensor, ranking: Ranking) -> list[float | None]:
    """For each cut |x| of the last entry before it; None for a cut at 0.

    bits: those that were ranked.
    """
    smallest = torch.full((_UNPLACED + 1,), _SIGN_MASK, dtype=torch.int32, device=bits.device)
    for piece, groups in zip(
        torch.split(bits, _PIECE), torch.split(ranking.groups, _PIECE), strict=True
    ):
        smallest.scatter_reduce_(0, groups.long(), piece, "amin")
    values = smallest[: len(ranking.counts)].view(torch.float32).tolist()
    return [value if count else None for value, count in zip(values, ranking.counts, strict=True)]


def _place_by_sorting(
    bits: Tensor, unplaced: Tensor, groups: Tensor, bounds: Tensor, shift: Tensor, bits_a_bin: int
) -> Tensor:
    """Set the groups of the unplaced entries; return how many are tied at each bound.

    unplaced: bool [p] without zeros, of which a dead net has many. shift: rank of each bin's first
    entry minus its position among the sorted entries.
    """
    members = unplaced.nonzero().squeeze(1)
    keys, order = torch.sort(_SIGN_MASK - bits.index_select(0, members), stable=True)
    members = members.index_select(0, order)
    ranks = torch.arange(len(keys), device=keys.device) + shift.index_select(0, keys >> bits_a_bin)
    groups[members] = torch.searchsorted(bounds, ranks, right=True).to(torch.uint8)
    if len(keys) < 2:
        return torch.zeros_like(bounds)
    places = torch.searchsorted(ranks, bounds).clamp(1, len(keys) - 1)
    after, before = keys[places], keys[places - 1]
    is_tie = (ranks[places] == bounds) & (ranks[places - 1] == bounds - 1) & (after == before)
    return torch.where(is_tie, places - torch.searchsorted(keys, after), 0)


def _place_zeros(bits: Tensor, groups: Tensor, bounds: Tensor) -> Tensor:
    """Set the groups of zeros, which come last and by index, so need no sorting; return ties."""
    zeros = (bits == 0).nonzero().squeeze(1)
    smaller = len(bits) - len(zeros)
    ranks = torch.arange(smaller, len(bits), device=bits.device)
    groups[zeros] = torch.searchsorted(bounds, ranks, right=True).to(torch.uint8)
    return torch.where((bounds > smaller) & (bounds < len(bits)), bounds - smaller, 0)
