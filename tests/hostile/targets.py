"""The places that read bytes from outside. Each refuses its input with a message, or can use it.

`check` returns whether the input was accepted, and raises for any other end. The caller bounds its
time and memory.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import isfinite

import numpy as np
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from safetensors import safe_open

from api.experiments.import_bundle import import_bundle
from api.experiments.plan import plan_submission
from api.http import negotiation
from api.http.json_body import parse_object
from api.http.problems import ProblemRaised
from engine.cost import CostLimits, check, estimate
from engine.data.importing.convert import convert
from engine.data.importing.options import ImportOptions
from engine.data.npz import NpzLimits, inspect_npz, read_npz
from engine.data.spec import BUILTIN_DATASETS
from engine.errors import InvalidSpec
from engine.experiments.registry import kinds, parse_spec, presets
from engine.models.weights_file import find_not_finite, read_tensors
from schemas.resources import Experiment
from storage.database.cursors import decode_cursor, encode_cursor
from storage.errors import InvalidCursor
from storage.experiments.finalize import finalize
from storage.experiments.listing import list_experiments
from storage.experiments.resources import to_resource
from tests.hostile.ground import (
    Ground,
    make_arrays,
    make_images,
    make_parquet,
    make_weights,
    with_header,
)
from tests.hostile.shapes import (
    VALUES,
    archives,
    as_text,
    changed_json,
    damaged,
    npy_files,
    with_right_sums,
)

MAX_UNPACKED = 8 << 20


@dataclass(frozen=True)
class Target:
    check: Callable[[bytes], bool]
    inputs: SearchStrategy[bytes]


def targets(ground: Ground) -> Mapping[str, Target]:
    """By name."""
    return {
        "spec": Target(check_spec, _specs()),
        "submission": Target(lambda data: check_submission(ground, data), _submissions()),
        "cursor": Target(lambda data: check_cursor(ground, data), _cursors()),
        "weights": Target(lambda data: check_weights(ground, data), _weights()),
        "npz": Target(lambda data: check_npz(ground, data), _npz()),
        "import": Target(lambda data: check_import(ground, data), _imports()),
        "bundle": Target(lambda data: check_bundle(ground, data), _bundles(ground)),
        "accept": Target(check_accept, _accepts()),
    }


def check_spec(data: bytes) -> bool:
    """A spec is equal after writing and reading, and has a cost on every data set."""
    try:
        spec = parse_spec(json.loads(data))
    except InvalidSpec as refused:
        assert refused.errors
        return False
    assert parse_spec(json.loads(spec.canonical_json())).digest() == spec.digest()
    for info in BUILTIN_DATASETS.values():
        cost = estimate(spec, 1_000, info)
        assert cost.parameters > 0 <= cost.train_flops
        assert cost.evaluation_flops >= 0 < cost.memory_bytes
        assert cost.seconds > 0
        assert isfinite(cost.seconds)
        assert isfinite(float(cost.flops))
        check(cost, CostLimits(max_seconds=1.0))
    return True


def check_submission(ground: Ground, data: bytes) -> bool:
    """A plan has at least one run for each point, within the limits."""
    try:
        body = parse_object(data)
        with ground.db.read() as session:
            plan = plan_submission(session, ground.settings, ground.blobs, body)
    except (ProblemRaised, InvalidSpec) as refused:
        assert not isinstance(refused, ProblemRaised) or 400 <= refused.status < 500
        return False
    assert 0 < len(plan.points) <= len(plan.runs) <= ground.settings.max_runs
    assert plan.planned_points()
    return True


def check_cursor(ground: Ground, data: bytes) -> bool:
    """A cursor is equal after decoding and encoding, and the database accepts it."""
    text = data.decode("utf-8", "surrogateescape")
    try:
        with ground.db.read() as session:
            list_experiments(session, limit=1, cursor=text)
    except InvalidCursor:
        return False
    return decode_cursor(encode_cursor(*decode_cursor(text, str)), str) == decode_cursor(text, str)


def check_weights(ground: Ground, data: bytes) -> bool:
    """An accepted file is valid for the safetensors library, with the same tensors."""
    with ground.file(data) as path:
        try:
            tensors = read_tensors(path)
        except InvalidSpec as refused:
            assert refused.errors
            return False
        shapes = {name: list(tensor.shape) for name, tensor in tensors.items()}
        with safe_open(path, "numpy") as file:
            assert {name: file.get_slice(name).get_shape() for name in file.keys()} == shapes  # noqa: SIM118
        assert find_not_finite(path) in {None, *tensors}
    return True


def check_npz(ground: Ground, data: bytes) -> bool:
    """An accepted file can be read and matches its description."""
    with ground.file(data) as path:
        try:
            info = inspect_npz(path, limits=NpzLimits(max_bytes=MAX_UNPACKED))
        except InvalidSpec:
            return False
        arrays = read_npz(path)
        mapped = read_npz(path, mapped=True)
        assert all(np.array_equal(mapped[name], array) for name, array in arrays.items())
    assert arrays["x_train"].shape == (info.train_size, *info.shape)
    assert arrays["x_test"].shape == (info.test_size, *info.shape)
    assert set(np.unique(arrays["y_train"])) == set(range(info.num_classes))
    assert arrays["y_test"].max() < info.num_classes
    return True


def check_import(ground: Ground, data: bytes) -> bool:
    """An accepted file becomes a data set that can be read; a refused one has errors."""
    options = ImportOptions(file_name="a.csv", limits=NpzLimits(max_bytes=MAX_UNPACKED))
    with ground.file(data) as path, ground.blobs.scratch() as out:
        try:
            converted = convert(path, out, "mine", options)
        except InvalidSpec as refused:
            assert refused.errors
            return False
        arrays = read_npz(converted.path)
    assert arrays["x_train"].shape == (converted.info.train_size, *converted.info.shape)
    return True


def check_bundle(ground: Ground, data: bytes) -> bool:
    """An accepted bundle can be shown; a refused one leaves no file."""
    with ground.file(data) as path:
        before = _num_files(ground)
        try:
            row, _ = import_bundle(ground.db, ground.blobs, ground.settings, path, lambda *_: None)
        except (ProblemRaised, InvalidSpec) as refused:
            assert not isinstance(refused, ProblemRaised) or refused.status in (400, 413, 422)
            assert _num_files(ground) == before
            return False
    finalize(ground.db, ground.blobs, row.id)
    with ground.db.read() as session:
        shown = to_resource(session, session.merge(row, load=False))
    assert Experiment.model_validate_json(shown.model_dump_json()).status.is_terminal
    return True


def check_accept(data: bytes) -> bool:
    """Every header chooses one of the offered types, which the client weighs highest."""
    header = data.decode("latin-1")
    offered = (negotiation.JSON, negotiation.HTML, negotiation.CSV)
    weights = {one: negotiation.preference(header, one).quality for one in offered}
    assert all(0.0 <= weight <= 1.0 for weight in weights.values())
    assert weights[negotiation.choose(header, offered)] == max(weights.values())
    page = negotiation.wants_page(header)
    assert not page or weights[negotiation.HTML] > 0
    return page


def _num_files(ground: Ground) -> int:
    return sum(
        path.is_file() for path in ground.settings.resolved_blob_dir.glob("[0-9a-f][0-9a-f]/*")
    )


def _bodies() -> list[dict[str, object]]:
    """The examples and presets of every kind."""
    return [dict(kind.example) for kind in kinds().values()] + [
        dict(one.body) for one in presets().values()
    ]


def _specs() -> SearchStrategy[bytes]:
    return st.sampled_from([body["spec"] for body in _bodies()]).flatmap(changed_json).map(as_text)


def _submissions() -> SearchStrategy[bytes]:
    wrong = st.sampled_from(_bodies()).flatmap(changed_json).map(as_text)
    return st.one_of(wrong, wrong.flatmap(damaged), st.binary(max_size=64))


def _cursors() -> SearchStrategy[bytes]:
    made = st.lists(st.one_of(st.text(max_size=30), st.integers()), max_size=3).map(
        lambda keys: encode_cursor(*keys)
    )
    any_json = VALUES.map(lambda value: encode_cursor(value))
    return st.one_of(
        st.one_of(made, any_json).map(str.encode).flatmap(damaged), st.binary(max_size=64)
    )


def _weights() -> SearchStrategy[bytes]:
    right = make_weights()
    length = int.from_bytes(right[:8], "little")
    header, body = json.loads(right[8 : 8 + length]), right[8 + length :]
    changed = changed_json(header).map(lambda found: with_header(found, body))
    doubled = changed_json(header).map(
        lambda found: with_header(as_text(header)[:-1] + b"," + as_text(found)[1:], body)
    )
    return st.one_of(damaged(right), changed, doubled, st.binary(max_size=64))


def _npz() -> SearchStrategy[bytes]:
    return st.one_of(archives(make_arrays(), npy_files()), st.binary(max_size=64))


def _imports() -> SearchStrategy[bytes]:
    renamed = {
        name.replace("x_train", "train_images").replace("y_", "labels_"): data
        for name, data in make_arrays().items()
    }
    table = "a,b,k\n" + "".join(f"{n},{n * 2.5},{'xy'[n % 2]}\n" for n in range(8))
    return st.one_of(
        archives(renamed, npy_files()),
        archives(make_images(), st.binary(max_size=64)),
        damaged(table.encode()),
        damaged(make_parquet()),
    )


def _accepts() -> SearchStrategy[bytes]:
    parts = ["text/html", "application/json", "*/*", "text/*", "*", ";q=", "0.5", "1", ",", '"']
    parts += [" ", ";", "Q=", "\\", "0", ".", "charset=x", "application/problem+json"]
    made = st.lists(st.sampled_from(parts), max_size=200).map("".join).map(str.encode)
    return st.one_of(made, made.flatmap(damaged), st.binary(max_size=64))


def _bundles(ground: Ground) -> SearchStrategy[bytes]:
    document = json.loads(ground.export["bundle.json"])
    changed = changed_json(document).map(
        lambda found: with_right_sums(ground.export, "bundle.json", as_text(found))
    )
    metrics = damaged(ground.export["metrics.csv"]).map(
        lambda found: with_right_sums(ground.export, "metrics.csv", found)
    )
    return st.one_of(changed, metrics, archives(ground.export, st.binary(max_size=64)))
