"""Group the pieces of a module to layers, and check that each parameter has one layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import fx, nn

from engine.errors import ModelRejected
from engine.models.traced.graph import MODES
from engine.models.traced.pieces import Piece, find_pieces, get_held

Groups = Sequence[Sequence[str]]
"""Names of submodules or parameters of each layer, bottom first"""


@dataclass(frozen=True, slots=True)
class TracedPlan:
    """One layer: graphs that run one after the other, and the names of what they use."""

    graphs: Mapping[bool, tuple[fx.Graph, ...]]
    """By whether the layer is in training"""
    targets: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Joined:
    """A piece in both modes."""

    graphs: Mapping[bool, tuple[fx.Graph, ...]]
    targets: tuple[str, ...]
    normalises_only: bool


def plan_layers(
    module: nn.Module, shape: Sequence[int], groups: Groups | None = None
) -> tuple[TracedPlan, ...]:
    """The layers of the module, bottom first.

    A layer is what lies between two cuts and holds parameters. What holds none, and a normalisation
    that stands alone, belongs to the layer before it.

    module: maps examples [n, *shape] to scores [n, classes]; on the meta device nothing is
    computed. groups: the author's layers in place of those found. Raises ModelRejected.
    """
    check_parameters(module)
    pieces = _join(*(find_pieces(module, shape, mode) for mode in MODES))
    grouped = _group(pieces, module) if groups is None else _group_by_names(pieces, module, groups)
    plans = tuple(
        TracedPlan(
            {
                mode: tuple(graph for piece in group for graph in piece.graphs[mode])
                for mode in MODES
            },
            tuple(dict.fromkeys(name for piece in group for name in piece.targets)),
        )
        for group in grouped
    )
    _check_owners(module, plans)
    return plans


def _join(evaluation: Sequence[Piece], training: Sequence[Piece]) -> list[_Joined]:
    """The pieces between the cuts that both modes have."""
    shared = {piece.end for piece in evaluation[:-1]} & {piece.end for piece in training[:-1]}
    return [
        _Joined(
            {
                False: tuple(piece.graph for piece in low),
                True: tuple(piece.graph for piece in high),
            },
            tuple(dict.fromkeys(name for piece in (*high, *low) for name in piece.targets)),
            all(piece.normalises_only for piece in (*low, *high)),
        )
        for low, high in zip(_merge(evaluation, shared), _merge(training, shared), strict=True)
    ]


def _merge(pieces: Sequence[Piece], ends: set[str]) -> list[list[Piece]]:
    merged: list[list[Piece]] = [[]]
    for piece in pieces:
        merged[-1].append(piece)
        if piece.end in ends:
            merged.append([])
    return merged


def _group(pieces: Sequence[_Joined], module: nn.Module) -> list[list[_Joined]]:
    groups: list[list[_Joined]] = []
    waiting: list[_Joined] = []
    for piece in pieces:
        waiting.append(piece)
        if _list_parameters(module, piece.targets):
            if groups and piece.normalises_only:
                groups[-1] += waiting
            else:
                groups.append(waiting)
            waiting = []
        elif groups:
            groups[-1] += waiting
            waiting = []
    if not groups:
        raise ModelRejected("the net has no parameters; it needs a layer with at least one")
    return groups


def _list_parameters(module: nn.Module, targets: Sequence[str]) -> list[str]:
    """The parameters among the targets, by name."""
    found = []
    for target in targets:
        held = get_held(module, target)
        if isinstance(held, nn.Parameter):
            found.append(target)
        elif isinstance(held, nn.Module):
            found += [f"{target}.{name}" for name, _ in held.named_parameters()]
    return found


def _group_by_names(
    pieces: Sequence[_Joined], module: nn.Module, groups: Groups
) -> list[list[_Joined]]:
    """The pieces by the author's groups, which follow each other and end at cuts."""
    found: list[list[_Joined]] = [[] for _ in groups]
    current = 0
    for piece in pieces:
        names = _list_parameters(module, piece.targets)
        owners = {name: _find_group(name, groups) for name in names}
        if missing := [name for name, owner in owners.items() if owner is None]:
            raise ModelRejected(f"LAYERS names no group for {', '.join(missing[:5])}; add it")
        wanted = sorted({owner for owner in owners.values() if owner is not None})
        if len(wanted) > 1:
            raise ModelRejected(
                f"LAYERS parts {names[0]} and {names[-1]}, but more than one tensor goes from one "
                "to the other; put them into one group"
            )
        if wanted and wanted[0] < current:
            raise ModelRejected(
                f"LAYERS is not in the order of the computation: {names[0]} is computed after "
                f"{', '.join(groups[current])}"
            )
        current = wanted[0] if wanted else current
        found[current].append(piece)
    for group, held in zip(groups, found, strict=True):
        if not any(_list_parameters(module, piece.targets) for piece in held):
            raise ModelRejected(f"LAYERS: the net uses no parameter of the group {list(group)}")
    return found


def _find_group(name: str, groups: Groups) -> int | None:
    """The group that names the parameter, or the longest beginning of its name."""
    matches = [
        (len(one), index)
        for index, group in enumerate(groups)
        for one in group
        if name == one or name.startswith(f"{one}.")
    ]
    return max(matches)[1] if matches else None


def check_parameters(module: nn.Module) -> None:
    """Raises ModelRejected for parameters that are shared, of other types, or apart."""
    names: dict[int, str] = {}
    for name, parameter in module.named_parameters(remove_duplicate=False):
        other = names.setdefault(id(parameter), name)
        if other != name:
            raise ModelRejected(
                f"{other} and {name} are one parameter (tied); a parameter belongs to one layer: "
                "give each place its own"
            )
    others = sorted({str(one.dtype) for one in module.parameters()} - {"torch.float32"})
    if others:
        raise ModelRejected(
            f"parameters are {', '.join(others)}; they must be float32 (the field "
            "`execution.precision` sets the arithmetic)"
        )
    devices = sorted({str(parameter.device) for parameter in module.parameters()})
    if len(devices) > 1:
        raise ModelRejected(
            f"the parameters are on the devices {', '.join(devices)}; build the net without naming "
            "a device"
        )


def _check_owners(module: nn.Module, plans: Sequence[TracedPlan]) -> None:
    owners: dict[str, int] = {}
    for index, plan in enumerate(plans):
        for name in _list_parameters(module, plan.targets):
            if owners.setdefault(name, index) != index:
                raise ModelRejected(
                    f"{name} is used by layer {owners[name]} and again by layer {index}; a "
                    "parameter belongs to one layer: join the two by LAYERS, or use two parameters"
                )
    unused = [name for name, _ in module.named_parameters() if name not in owners]
    if unused:
        raise ModelRejected(
            f"{len(unused)} parameters are never used: {', '.join(unused[:5])}; remove them"
        )
