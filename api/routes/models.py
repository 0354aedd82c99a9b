"""The models: the networks of the paper, of torchvision and of plug-ins, with their layers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any

from fastapi import Query

from api.dependencies import State, StateDep
from api.experiments.check_files import NetsNotDescribed
from api.experiments.described_nets import with_described_nets
from api.files.facts import read_dataset_info
from api.http.json_body import parse_object
from api.http.problems import ProblemRaised
from api.http.request_work import Router
from engine.data.spec import BUILTIN_DATASETS, DatasetInfo
from engine.errors import FieldError, InvalidSpec, ModelRejected
from engine.models.host import NetNotDescribed, net_host
from engine.models.layer_layout import LayerLayout
from engine.models.layout import layout
from engine.models.plugin_models import parse_model
from engine.models.spec import (
    BUILT_IN_MODELS,
    ConvNetSpec,
    MlpSpec,
    ModelSpec,
    PluginSpec,
    ReluNetSpec,
    Resnet18Spec,
    TorchvisionSpec,
    Vgg5Spec,
    Vgg11Spec,
)
from engine.spec_checks import check_model
from schemas.base import Page
from schemas.catalog import LayerResource, ModelResource, PluginProblemResource, PluginResource
from storage.errors import NotFound
from storage.files.datasets import get_dataset

router = Router(tags=["catalog"])

MODELS: tuple[tuple[str, ModelSpec, str], ...] = (
    ("ReLU-Net of width 100, 2 layers", ReluNetSpec(), "mnist"),
    ("ReLU-Net of width 100, 5 layers", ReluNetSpec(depth=4), "mnist"),
    (
        "ReLU-Net of width 100,000, 2 layers: the paper's widest",
        ReluNetSpec(width=100_000),
        "mnist",
    ),
    ("MLP of two hidden layers of 200 ReLU units", MlpSpec(), "mnist"),
    ("Conv-Net of 32 channels, 3 layers", ConvNetSpec(), "mnist"),
    ("VGG-5 of Figure 13(a)", Vgg5Spec(), "mnist"),
    ("VGG-5 as Figure 1 counts it", Vgg5Spec(second_kernel=3, batch_norm=True), "mnist"),
    ("VGG-11 of Figure 13(b)", Vgg11Spec(), "cifar10"),
    ("ResNet-18 for CIFAR", Resnet18Spec(), "cifar10"),
)


DatasetQuery = Annotated[
    str, Query(max_length=64, description="The data set whose shape and classes the net takes.")
]
FieldsQuery = Annotated[
    str,
    Query(
        max_length=4_000,
        description="The other fields of the model as a JSON object, such as "
        '`{"architecture": "resnet50", "stem": "small"}`; else their defaults.',
    ),
]


@router.get("/models")
def list_models() -> Page[ModelResource]:
    """List the networks: those of the paper with their layers, torchvision's, and plug-ins'.

    `GET /models/{name}` shows the layers of any of them, on any data set.
    """
    plugins = net_host().list_plugin_models().models.values()
    return Page[ModelResource](
        items=[
            *(
                _describe(title, model, BUILTIN_DATASETS[dataset])
                for title, model, dataset in MODELS
            ),
            _describe_unknown(
                "torchvision",
                "The classification architectures of torchvision",
                TorchvisionSpec.model_json_schema(),
            ),
            *(
                _describe_unknown(one.name, one.description or one.name, one.schema())
                for one in plugins
            ),
        ]
    )


@router.get("/models/{name}")
def get_model(
    name: str, state: StateDep, dataset: DatasetQuery = "digits", fields: FieldsQuery = "{}"
) -> ModelResource:
    """One model with the layers that it has on a data set.

    A net of torchvision or of a plug-in is described by a worker first, in seconds: 503
    `net-not-described` where none has done so yet; repeat the request.
    """
    known = net_host().list_plugin_models()
    if name not in BUILT_IN_MODELS | known.names():
        raise NotFound(f"there is no model {name[:80]!r}; GET /models lists them")
    model = parse_model({**_read_fields(fields), "name": name}, known)

    def work() -> ModelResource:
        info = _find_info(state, dataset)
        errors = check_model(model, info, "#/fields")
        if errors:
            raise InvalidSpec(errors)
        try:
            return _describe(name, model, info)
        except ModelRejected as rejected:
            raise InvalidSpec.single("#/fields", "model-rejected", str(rejected)) from None
        except NetNotDescribed as net:
            raise NetsNotDescribed([(net.model, net.info)]) from None

    return with_described_nets(state, work)


@router.get("/plugins")
def list_plugins() -> Page[PluginResource]:
    """List the plug-ins that workers have read: their nets, and what is wrong with others.

    A plug-in is a Python file in the folder `plugins` of the home, or an installed distribution.
    The service takes no code from a request.
    """
    listing = net_host().list_plugin_models()
    origins = [one.origin for one in listing.models.values()]
    origins += [one.origin for one in listing.problems]
    return Page[PluginResource](
        items=[
            PluginResource(
                origin=origin,
                models=[one.name for one in listing.models.values() if one.origin == origin],
                problems=[
                    PluginProblemResource(model=one.name, message=one.message)
                    for one in listing.problems
                    if one.origin == origin
                ],
            )
            for origin in dict.fromkeys(origins)
        ]
    )


def _read_fields(text: str) -> dict[str, Any]:
    try:
        return parse_object(text.encode())
    except ProblemRaised as wrong:
        errors = [replace(one, pointer=f"#/fields{one.pointer[1:]}") for one in wrong.errors]
        detail = "must be a JSON object"
        raise InvalidSpec(errors or [FieldError("#/fields", "json", detail)]) from None


def _find_info(state: State, dataset: str) -> DatasetInfo:
    if dataset in BUILTIN_DATASETS:
        return BUILTIN_DATASETS[dataset]
    with state.db.read() as session:
        row = get_dataset(session, dataset)
        if row is None:
            raise NotFound(f"there is no data set {dataset[:80]!r}; GET /datasets lists them")
        return read_dataset_info(state.blobs, row)


def _describe(title: str, model: ModelSpec, info: DatasetInfo) -> ModelResource:
    layers = layout(model, info)
    return ModelResource(
        name=model.name,
        title=title,
        model=model.model_dump(mode="json"),
        dataset=info.name,
        parameters=sum(layer.num_parameters for layer in layers),
        forward_flops=sum(layer.forward_flops for layer in layers),
        layers=_describe_layers(layers),
        spec_schema=_schema_of(model),
    )


def _describe_layers(layers: Sequence[LayerLayout]) -> list[LayerResource]:
    return [
        LayerResource(
            name=layer.name,
            kind=layer.kind,
            parameters=layer.num_parameters,
            output_shape=list(layer.output_shape),
            tensors=[one.name for one in layer.parameters],
            forward_flops=layer.forward_flops,
            normalises_by_batch=layer.normalises_by_batch,
            is_random=layer.is_random,
        )
        for layer in layers
    ]


def _describe_unknown(name: str, title: str, schema: dict[str, Any]) -> ModelResource:
    """A net of torchvision or of a plug-in, without layers: a worker finds them when asked."""
    return ModelResource(
        name=name,
        title=title,
        model={"name": name},
        dataset=None,
        parameters=None,
        forward_flops=None,
        layers=None,
        spec_schema=schema,
    )


def _schema_of(model: ModelSpec) -> dict[str, Any]:
    if isinstance(model, PluginSpec):
        plugin = net_host().list_plugin_models().models.get(model.name)
        return {} if plugin is None else plugin.schema()
    return type(model).model_json_schema()
