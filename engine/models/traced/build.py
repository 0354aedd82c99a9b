"""Build the net of torchvision or of a plug-in: as a module, planned once, with traced layers."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path

import torch
from torch import Tensor, nn

from engine.data.spec import DatasetInfo
from engine.determinism import derive_seed
from engine.errors import ModelRejected
from engine.models.host import net_host
from engine.models.layer_layout import LayerLayout
from engine.models.local_host import LocalHost
from engine.models.net import LayeredNet
from engine.models.pretrained import load_architecture
from engine.models.process_state import UnchangedProcess
from engine.models.spec import DescribedSpec, TorchvisionSpec
from engine.models.torchvision_nets import build_torchvision
from engine.models.traced.describe import describe_layers, find_input_changes
from engine.models.traced.graph import tell
from engine.models.traced.layer import build_layers
from engine.models.traced.plan import Groups, TracedPlan, check_parameters, plan_layers


@dataclass(frozen=True, slots=True)
class DescribedNet:
    """What tracing found of a net for one shape and number of classes."""

    plans: tuple[TracedPlan, ...]
    changes_input: tuple[bool, ...]
    layers: tuple[LayerLayout, ...]


@dataclass(frozen=True, slots=True)
class ModuleSource:
    """How a module is made, and its author's layers, if named."""

    make: Callable[[], nn.Module]
    groups: Groups | None = None
    place: tuple[str, str] = ("", "")
    """The author's file and where in it the net is made; empty for a net of torchvision"""

    @property
    def is_of_plugin(self) -> bool:
        return bool(self.place[0])


def build_described(spec: DescribedSpec, info: DatasetInfo) -> LayeredNet:
    """The net on the CPU in fp32, its weights uninitialised. Raises ModelRejected."""
    described = describe_net(spec, info)
    source = find_source(spec, info)

    def draw_own_start(seed: int) -> dict[str, Tensor]:
        return _wrap(_make(source, seed), described).state_dict()

    with _naming_the_file(source):
        net = _wrap(_make(source, 0), described, draw_own_start)
    if isinstance(spec, TorchvisionSpec) and spec.weights is not None:
        net.load_pretrained = partial(_load_pretrained, net, spec, info)
    return net


def _load_pretrained(
    net: LayeredNet,
    spec: TorchvisionSpec,
    info: DatasetInfo,
    weights_dir: Path,
    allow_download: bool,
) -> dict[str, Tensor]:
    """Torchvision's tensors under the net's names, where the shapes agree.

    Of a first convolution for grey images, the weights of red, green and blue are added: the net
    then computes what it computes of three equal channels.
    """
    assert spec.weights is not None
    theirs = load_architecture(spec.architecture, spec.weights, weights_dir, allow_download)
    found = {}
    for name, ours in net.state_dict().items():
        tensor = theirs.get(name.split(".", 2)[2])
        if tensor is None:
            continue
        if info.shape[0] == 1 and ours.shape[1:2] == (1,) and tensor.shape[1:2] == (3,):
            tensor = tensor.sum(dim=1, keepdim=True)
        if tensor.shape == ours.shape:
            found[name] = tensor
    return found


def _wrap(
    module: nn.Module,
    described: DescribedNet,
    draw_own_start: Callable[[int], dict[str, Tensor]] | None = None,
) -> LayeredNet:
    return LayeredNet(
        build_layers(module, described.plans, described.changes_input),
        normalises_by_batch=[layer.normalises_by_batch for layer in described.layers],
        is_random=[layer.is_random for layer in described.layers],
        draw_own_start=draw_own_start,
    )


@lru_cache(maxsize=8)
def describe_net(spec: DescribedSpec, info: DatasetInfo) -> DescribedNet:
    """What tracing finds; kept for the seeds of a run. Raises ModelRejected.

    On the meta device nothing is computed and no memory taken; modules that need numbers when they
    are made or run are described on the CPU.
    """
    source = find_source(spec, info)
    try:
        with torch.device("meta"):
            module = _make(source, 0)
        return _describe(module, source, info)
    except Exception:  # noqa: BLE001 - the CPU decides, and tells the reason
        with _naming_the_file(source):
            return _describe(_make(source, 0), source, info)


@contextmanager
def _naming_the_file(source: ModuleSource) -> Iterator[None]:
    """A refusal names the author's file and line."""
    try:
        yield
    except ModelRejected as rejected:
        file, place = source.place
        if not file or file in str(rejected):
            raise
        raise ModelRejected(f"{rejected} ({file}{place})") from rejected


def _describe(module: nn.Module, source: ModuleSource, info: DatasetInfo) -> DescribedNet:
    plans = plan_layers(module, info.shape, source.groups)
    unchanged = build_layers(module, plans, [False] * len(plans))
    changes = tuple(find_input_changes(unchanged, info.shape))
    layers = build_layers(module, plans, changes)
    described = describe_layers(
        layers, info.shape, info.num_classes, tries_derivatives=source.is_of_plugin
    )
    return DescribedNet(plans, changes, described)


def find_source(spec: DescribedSpec, info: DatasetInfo) -> ModuleSource:
    """How the module of the spec is made. Raises ModelRejected."""
    if isinstance(spec, TorchvisionSpec):
        return ModuleSource(lambda: build_torchvision(spec, info))
    host = net_host()
    if not isinstance(host, LocalHost):
        raise ModelRejected(f"this process reads no plug-ins, so it has no net {spec.name!r}")
    plugin = host.find_plugin(spec)
    return ModuleSource(
        lambda: plugin.function(info.shape, info.num_classes, **spec.arguments),
        plugin.groups,
        (plugin.described.origin, _find_line(plugin.function, spec.name)),
    )


def _find_line(function: Callable[..., object], name: str) -> str:
    """`, line 7, in small`; without the line for what is no plain function."""
    code = getattr(inspect.unwrap(function), "__code__", None)
    return f", in {name}" if code is None else f", line {code.co_firstlineno}, in {code.co_name}"


def _make(source: ModuleSource, seed: int) -> nn.Module:
    """The module on the CPU with the weights that its author gives it under the seed."""
    with UnchangedProcess() as process:
        torch.manual_seed(derive_seed(seed, "init", "torch"))
        try:
            module = source.make()
        except ModelRejected:
            raise
        except (Exception, SystemExit) as error:
            raise ModelRejected(f"the net cannot be made: {tell(error)}") from error
    if process.changes:
        raise ModelRejected(f"making the net is refused: {process.explain()}")
    if not isinstance(module, nn.Module):
        raise ModelRejected(f"the function returned a {type(module).__name__}, not a module")
    check_parameters(module)
    return module
