"""Plug-ins as a process with torch reads them: fields, refusals, identity, and nets that fail."""

from __future__ import annotations

import os
import random
import re
import subprocess
import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch

from engine.data.spec import BUILTIN_DATASETS
from engine.errors import InvalidSpec, ModelRejected
from engine.experiments.registry import parse_spec
from engine.local import LocalRunContext
from engine.models import plugin_files, plugin_loading
from engine.models.host import net_host, set_net_host
from engine.models.local_host import LocalHost
from engine.models.plugin_loading import load_plugins
from engine.models.plugin_models import PluginModel, parse_model
from engine.models.process_state import MAX_PRINTED, UnchangedProcess
from engine.models.spec import PluginSpec
from engine.models.traced.build import build_described, describe_net
from engine.spec import Execution, ExperimentSpec
from engine.spec_checks import check_spec
from engine.training.loop import train

Write = Callable[[str, str], LocalHost]
DIGITS = BUILTIN_DATASETS["digits"]
TOP = """from math import prod
from typing import Annotated, Literal, Optional
import torch
from torch import nn
"""
SMALL = TOP + (
    "def small(shape, num_classes, *, width: int = 8):\n"
    "    '''A small net.\n\n    More.'''\n"
    "    return nn.Sequential(nn.Flatten(), nn.Linear(prod(shape), width), nn.ReLU(), "
    "nn.Linear(width, num_classes))\n"
    "MODELS = {'small': small}\n"
)
NET = "nn.Sequential(nn.Flatten(), nn.Linear(prod(shape), num_classes))"


def with_arguments(arguments: str, body: str = f"return {NET}") -> str:
    return TOP + f"def net(shape, num_classes{arguments}):\n    {body}\nMODELS = {{'net': net}}\n"


def parse(data: dict[str, Any]) -> PluginSpec:
    model = parse_model(data, net_host().list_plugin_models())
    assert isinstance(model, PluginSpec)
    return model


def describe(model: PluginSpec) -> list[int]:
    """Parameters of each layer."""
    return [layer.num_parameters for layer in describe_net(model, DIGITS).layers]


def only_problem(host: LocalHost) -> str:
    """The one problem; beside it the plug-in `small` is offered."""
    listing = host.list_plugin_models()
    assert list(listing.models) == ["small"]
    (problem,) = listing.problems
    assert problem.origin.endswith("bad.py")
    return problem.message


def test_a_function_s_keywords_are_fields_with_types_and_defaults(write_plugin: Write) -> None:
    host = write_plugin(
        "nets.py",
        with_arguments(
            ", depth: int, *, width: int = 8, rate: float = 1, bias: bool = True,"
            " act: Literal['relu', 'tanh'] = 'relu', widths: list[int] = (16, 8),"
            " pair: tuple[float, ...] = (), drop: Optional[float] = None, tag: str | None = 'a',"
            " low: Annotated[int, __import__('annotated_types').Ge(2)] = 2"
        ),
    )
    assert host.list_plugin_models().problems == ()
    complete = parse({"name": "net", "depth": 3})
    assert complete.arguments == {
        "depth": 3,
        "width": 8,
        "rate": 1.0,
        "bias": True,
        "act": "relu",
        "widths": [16, 8],
        "pair": [],
        "drop": None,
        "tag": "a",
        "low": 2,
    }
    wrongs: list[tuple[dict[str, Any], str]] = [
        ({}, "depth"),
        ({"width": "8"}, "width"),
        ({"width": 1.5}, "width"),
        ({"bias": 1}, "bias"),
        ({"act": "gelu"}, "act"),
        ({"widths": 4}, "widths"),
        ({"widths": [[4]]}, "widths/0"),
        ({"widths": [4] * 101}, "widths"),
        ({"rate": float("nan")}, "rate"),
        ({"drop": "x"}, "drop"),
        ({"low": 1}, "low"),
        ({"naïve ☃": 1}, "naïve ☃"),
    ]
    for wrong, pointer in wrongs:
        given = {"name": "net", **({} if pointer == "depth" else {"depth": 1}), **wrong}
        with pytest.raises(InvalidSpec) as refused:
            parse(given)
        assert [one.pointer for one in refused.value.errors] == [f"#/fields/{pointer}"], wrong


@pytest.mark.parametrize(
    ("bounds", "valid", "invalid"),
    [
        ("Ge(1), Le(3)", [1.0, 3.0], [0.5, 3.5]),
        ("Gt(1), Lt(3)", [1.5, 2.5], [1.0, 3.0]),
        ("Interval(gt=0, le=1)", [0.5, 1.0], [0.0, 1.5]),
        ("Field(gt=0, lt=1)", [0.5], [0.0, 1.0]),
    ],
)
@pytest.mark.parametrize("template", ["{}", "{} | None", "list[{}]"])
def test_bounds_include_or_exclude_their_end(
    write_plugin: Write, bounds: str, valid: list[float], invalid: list[float], template: str
) -> None:
    hint = template.format(f"Annotated[float, {bounds}]")
    text = with_arguments(f", *, at: {hint}")
    write_plugin(
        "nets.py",
        "from annotated_types import Ge, Gt, Interval, Le, Lt\nfrom pydantic import Field\n" + text,
    )

    def given(value: float) -> Any:
        return [value] if template.startswith("list") else value

    for value in valid:
        assert parse({"name": "net", "at": given(value)}).arguments == {"at": given(value)}
    for value in invalid:
        with pytest.raises(InvalidSpec):
            parse({"name": "net", "at": given(value)})


def test_a_class_of_modules_and_its_docstring_s_first_paragraph(write_plugin: Write) -> None:
    host = write_plugin(
        "nets.py",
        TOP + "class Net(nn.Module):\n"
        "    '''One\n    sentence.\n\n    Another.'''\n"
        "    def __init__(self, shape, num_classes, width: int = 4):\n"
        "        super().__init__()\n"
        "        self.flat, self.top = nn.Flatten(), nn.Linear(prod(shape), num_classes)\n"
        "    def forward(self, x):\n        return self.top(self.flat(x))\n"
        "MODELS = {'net': Net}\n",
    )
    (model,) = host.list_plugin_models().models.values()
    assert model.description == "One\nsentence."
    assert describe(parse({"name": "net"})) == [7_850]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("\nraise ValueError('no luck')\n", "line 2: ValueError: no luck"),
        ("import sys\nsys.exit(3)\n", "line 2: SystemExit: 3"),
        ("def f(:\n", "line 1: invalid syntax"),
        ("import absent_module\n", "line 1: ModuleNotFoundError: No module named 'absent_module'"),
        ("x = 1\n", "has no MODELS; write for example MODELS = {'small': small}, where "
         "small(shape, num_classes) returns a torch.nn.Module"),
        ("MODELS = [1]\n", "has no MODELS; "),
        ("MODELS = {}\n", "has no MODELS; "),
        ("MODELS = {str(i): 1 for i in range(101)}\n", "MODELS holds 101 nets; at most 100"),
        ("MODELS = {'net': 3}\n", "'net' is a int, not a function"),
        ("MODELS = {'Net': print}\n", "the name 'Net' of a net must be of lower-case letters"),
        ("MODELS = {'né': print}\n", "the name 'né' of a net must be of lower-case letters"),
        ("MODELS = {'a\\n': print}\n", "the name 'a\\n' of a net must be"),
        ("MODELS = {'vgg5': print}\n", "'vgg5' is a built-in net; choose another name"),
        ("MODELS = {'net': print}\n", "the first two arguments must be shape and num_classes; it "),
        (with_arguments("").replace("num_classes)", "classes)"), "the first two arguments must be"),
        (with_arguments(", width=3"), "the argument width has no type; write for example width"),
        (with_arguments(", *args"), "*args has no names; write each argument with its type"),
        (with_arguments(", **more: int"), "**more has no names; write each argument"),
        (with_arguments(", width: int = 3, /"), "the argument width has no name for a caller"),
        (with_arguments(", source: int = 3"), "an argument cannot be called 'source'; rename it"),
        (with_arguments(", copy: int = 3"), "an argument cannot be called 'copy'; rename it"),
        (with_arguments(", model_dump: int = 3"), "an argument cannot be called 'model_dump'"),
        (with_arguments(", _w: int = 3"), "an argument cannot be called '_w'; rename it"),
        (with_arguments(", width: dict = 3"), "the argument width has the type <class 'dict'>; "),
        (with_arguments(", width: list = ()"), "the argument width has the type <class 'list'>; "),
        (with_arguments(", w: list[list[int]] = ()"), "the argument w has the type list[int]; it"),
        (with_arguments(", width: int | str = 3"), "the argument width has the type int | str; "),
        (with_arguments(", a: Literal[1, 'b'] = 1"), "the argument a has the type typing.Literal"),
        (with_arguments(", width: int = 3.5"), "the default of the argument width is wrong: "),
        (with_arguments(", width: int = None"), "the default of the argument width is wrong: "),
        (with_arguments(", width: int = {}"), "the arguments cannot be fields: unhashable type"),
        (with_arguments(", a: float = float('nan')"), "the arguments cannot be fields: Out of "),
        (with_arguments(", a: str = '\\0'"), "the arguments cannot be fields: a text holds the "),
        (with_arguments(", a: str = '\\ud800'"), "the arguments cannot be fields: "),
        (with_arguments(", a: Annotated[str, __import__('annotated_types').Ge(1)] = 'b'"),
         "the arguments cannot be fields: "),
        (with_arguments(", a: Annotated[int, __import__('annotated_types').MultipleOf(2)] = 2"),
         "the argument a has the bound MultipleOf(multiple_of=2); it must be Ge, Gt, Le or Lt"),
        (with_arguments(", a: 'absent' = 3"), "the arguments cannot be read: name 'absent' is not"),
        (with_arguments("") + "LAYERS = ['a']\n", "LAYERS must be a list of lists of names of "),
        (with_arguments("") + "LAYERS = {'net': [[]]}\n", "LAYERS must be a list of lists of "),
        ("import os\nos.chdir('/')\nMODELS = {}\n", "it changes the working directory of the "),
        ("import os\nos.environ['A_NEW_ONE'] = '1'\n", "it changes the environment of the whole "),
        ("import sys\nsys.path.append('/x')\n", "it changes sys.path of the whole process; a plug"),
        ("import torch\ntorch.set_default_dtype(torch.float64)\n",
         "it changes torch's default dtype of the whole process; a plug-in must leave them as "),
        ("import torch\ntorch.set_default_device('meta')\n", "it changes torch's default device "),
        ("import torch\ntorch.set_num_threads(torch.get_num_threads() + 1)\n",
         "it changes torch's number of threads of "),
        ("import torch\ntorch.use_deterministic_algorithms(\n"
         "    not torch.are_deterministic_algorithms_enabled())\n",
         "it changes torch's deterministic mode of "),
        ("import torch\ntorch.set_grad_enabled(False)\n", "it changes torch's gradient mode of "),
        ("import torch\ntorch.set_float32_matmul_precision('medium')\n",
         "it changes torch's precision of matrix products of "),
        ("class E(Exception):\n    def __str__(self):\n        raise OSError\nraise E\n",
         "line 4: E: (its text cannot be read: OSError)"),
        ("raise ValueError('\\0\\ud800')\n", "line 1: ValueError: ??"),
        ("from collections import UserDict\nclass M(UserDict):\n    def items(self):\n"
         "        raise KeyError(1)\nMODELS = M(a=1)\n", "line 4: KeyError: 1"),
    ],
)  # fmt: skip
def test_a_plug_in_that_cannot_be_used_is_told_and_leaves_others_and_the_process_unharmed(
    write_plugin: Write, text: str, message: str
) -> None:
    write_plugin("good.py", SMALL)
    host = write_plugin("bad.py", text)
    settings = UnchangedProcess()
    with settings:
        found = only_problem(host)
    assert settings.changes == ()
    assert found.startswith(message)
    assert describe(parse({"name": "small"}))


def test_a_file_in_latin_1_is_told(write_plugin: Write, tmp_path: Path) -> None:
    host = write_plugin("good.py", SMALL)
    (tmp_path / "plugins" / "bad.py").write_bytes("x = 'é'\n".encode("latin-1"))
    assert only_problem(host).startswith("line 1: (unicode error) 'utf-8' codec can't decode")
    (tmp_path / "plugins" / "bad.py").write_bytes(
        ("# coding: latin-1\n" + with_arguments("")).replace("net", "né").encode("latin-1")
    )
    assert only_problem(host).startswith("the name 'né' of a net must be")


def test_what_a_plug_in_prints_is_shown_nowhere_and_costs_no_memory(
    write_plugin: Write, capfd: pytest.CaptureFixture[str]
) -> None:
    host = write_plugin(
        "loud.py", "import sys\nprint('loud' * 10**6)\nprint('x', file=sys.stderr)\n" + SMALL
    )
    assert list(host.list_plugin_models().models) == ["small"]
    assert capfd.readouterr() == ("", "")
    with UnchangedProcess() as process:
        for _ in range(1_000):
            print("1234567890" * 10)
    assert len(process.printed) == MAX_PRINTED
    assert process.printed.startswith("1234567890")


def test_random_generators_are_as_before(write_plugin: Write) -> None:
    host = write_plugin("good.py", "import random\nrandom.seed(1)\n" + SMALL)
    torch.manual_seed(5), random.seed(5)
    expected = (torch.rand(1).item(), random.random())
    torch.manual_seed(5), random.seed(5)
    host.list_plugin_models()
    assert (torch.rand(1).item(), random.random()) == expected


@pytest.mark.parametrize("count", [2, 3, 4])
def test_of_nets_with_one_name_none_is_used_and_each_is_told(
    write_plugin: Write, count: int
) -> None:
    for index in range(count):
        host = write_plugin(f"twin{index}.py", SMALL + f"# {index}\n")
    listing = host.list_plugin_models()
    assert listing.models == {}
    assert [Path(one.origin).name for one in listing.problems] == [
        f"twin{index}.py" for index in range(count)
    ]
    assert all(one.message.endswith("rename all but one") for one in listing.problems)
    with pytest.raises(InvalidSpec, match="rename all but one"):
        parse({"name": "small"})


def test_files_that_are_no_files_are_told(
    write_plugin: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = write_plugin("good.py", SMALL)
    folder = tmp_path / "plugins"
    (folder / "broken.py").symlink_to(folder / "absent")
    (folder / "endless.py").symlink_to("/dev/zero")
    (folder / "folder.py").mkdir()
    os.mkfifo(folder / "pipe.py")
    (folder / "line\nbreak.py").write_text(SMALL)
    (Path(os.fsdecode(os.fsencode(folder) + b"/\xff.py"))).write_text(SMALL)
    (folder / "large.py").write_text("#" * (plugin_files.MAX_BYTES + 1))
    (folder / "_hidden.py").write_text("raise ValueError")
    (folder / "linked.py").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere").write_text(with_arguments(""))
    listing = host.list_plugin_models()
    assert sorted(listing.models) == ["net", "small"]
    told = {Path(one.origin).name: one.message for one in listing.problems}
    assert told == {
        "broken.py": "cannot be read: No such file or directory",
        "endless.py": "is not a file",
        "folder.py": "is not a file",
        "pipe.py": "is not a file",
        "line\nbreak.py": "its name holds characters that cannot be printed; rename it",
        "?.py": "its name holds characters that cannot be printed; rename it",
        "large.py": "is larger than 1,000,000 bytes",
    }
    monkeypatch.setattr(plugin_loading, "MAX_FILES", 8)
    (folder / "one_more.py").write_text("")
    (problem,) = host.list_plugin_models().problems
    assert problem.message == "holds 10 files of plug-ins; at most 8"


def test_a_missing_folder_has_no_plug_ins_and_a_thousand_files_are_read(tmp_path: Path) -> None:
    assert load_plugins(tmp_path / "absent").describe().problems == ()
    for index in range(1_000):
        (tmp_path / f"net{index}.py").write_text(
            f"def f(shape, num_classes, w: int = {index}):\n    ...\nMODELS = {{'n{index}': f}}\n"
        )
    found = load_plugins(tmp_path)
    assert (len(found.models), found.problems) == (1_000, [])


def _digests(spec: ExperimentSpec) -> tuple[str, str]:
    return spec.digest(), spec.training_digest(0, Execution(), "0" * 64)


def test_the_bytes_of_the_file_are_the_identity(write_plugin: Write) -> None:
    write_plugin("nets.py", SMALL)
    spec = {"kind": "train", "model": {"name": "small"}, "data": {"name": "digits"}}
    first = parse_spec(spec)
    again = parse_spec(spec)
    assert _digests(first) == _digests(again)
    write_plugin("nets.py", SMALL + "# changed\n")
    other = parse_spec(spec)
    assert isinstance(first.model, PluginSpec)
    assert isinstance(other.model, PluginSpec)
    assert first.model.source != other.model.source
    assert not set(_digests(first)) & set(_digests(other))
    write_plugin("nets.py", SMALL)
    assert parse_spec(spec).digest() == first.digest()


def test_a_stored_spec_is_parsed_without_its_plug_in_and_refused_when_it_is_built(
    write_plugin: Write, tmp_path: Path
) -> None:
    write_plugin("nets.py", SMALL)
    stored = parse_spec({"kind": "train", "model": {"name": "small", "width": 9}})
    assert parse_spec(stored.model_dump(mode="json")) == stored
    assert isinstance(stored.model, PluginSpec)
    assert describe(stored.model) == [9 * 785, 100]
    write_plugin("nets.py", SMALL + "# changed\n")
    assert parse_spec(stored.model_dump(mode="json")) == stored
    with pytest.raises(ModelRejected, match="has changed since the submission or is gone"):
        build_described(stored.model, DIGITS)
    (tmp_path / "plugins" / "nets.py").unlink()
    assert parse_spec(stored.model_dump(mode="json")) == stored
    with pytest.raises(ModelRejected, match="has changed since the submission or is gone"):
        build_described(stored.model, DIGITS)
    write_plugin("renamed.py", SMALL)
    assert len(build_described(stored.model, DIGITS).layers) == 2


def test_reading_a_stored_spec_and_building_its_net_run_its_own_code_only(
    write_plugin: Write, tmp_path: Path
) -> None:
    write_plugin("nets.py", SMALL)
    model = parse({"name": "small"})
    mark = tmp_path / "mark"
    host = write_plugin("other.py", f"open({str(mark)!r}, 'w').close()\n")
    assert host.find_plugin(model).described.name == "small"
    stored = {"kind": "train", "model": model.model_dump(mode="json")}
    assert parse_spec(stored).model == model
    assert build_described(model, DIGITS)
    assert not mark.exists()
    host.list_plugin_models()
    assert mark.exists()


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("return 3", "the function returned a int, not a module"),
        ("return", "the function returned a NoneType, not a module"),
        ("raise KeyError('a')", "the net cannot be made: KeyError: 'a'"),
        ("raise SystemExit(3)", "the net cannot be made: SystemExit: 3"),
        ("return nn.Sequential(nn.Flatten(), nn.Linear(prod(shape), num_classes + 1))",
         "the net returns [2, 11] for 2 examples; it must return [2, 10]"),
        ("return nn.Flatten()", "the net has no parameters; it needs a layer with at least one"),
        (f"return {NET}.double()", "parameters are torch.float64; they must be float32"),
        (f"net = {NET}; net.extra = nn.ParameterList([nn.Parameter(torch.zeros(2))]); "
         "net.__class__ = type('N', (nn.Sequential,), {'forward': lambda s, x: s[1](s[0](x))}); "
         "return net", "1 parameters are never used: extra.0; remove them"),
        ("m = nn.Linear(num_classes, num_classes, bias=False); n = nn.Linear(num_classes, "
         "num_classes, bias=False); n.weight = m.weight; return nn.Sequential(nn.Flatten(), "
         "nn.Linear(prod(shape), num_classes), m, n)",
         "2.weight and 3.weight are one parameter (tied); a parameter belongs to one layer"),
        (f"net = {NET}; net.append(nn.Linear(num_classes, num_classes, device='meta')); return net",
         "the parameters are on the devices cpu, meta; build the net without naming a device"),
        (f"torch.set_default_dtype(torch.float64); return {NET}",
         "making the net is refused: it changes torch's default dtype of the whole process"),
        (f"__import__('os').environ['A_NEW_ONE'] = '1'; return {NET}",
         "making the net is refused: it changes the environment of the whole process"),
    ],
)  # fmt: skip
def test_a_net_that_cannot_be_used_is_told(write_plugin: Write, body: str, message: str) -> None:
    write_plugin("nets.py", with_arguments("", body))
    model = parse({"name": "net"})
    settings = UnchangedProcess()
    with settings, pytest.raises(ModelRejected) as refused:
        build_described(model, DIGITS)
    assert str(refused.value).startswith(message)
    told = re.search(r"\((\S+nets\.py), line (\d+), in net\)", str(refused.value))
    assert told is not None
    assert "def net(" in Path(told[1]).read_text().splitlines()[int(told[2]) - 1] or (
        "cannot be made" in message
    )
    assert settings.changes == ()
    assert settings.printed == ""


WITHOUT_RULES = (
    TOP
    + """
class Sampled(nn.Module):
    def forward(self, x):
        grid = x[:, :, :3, :3].movedim(1, 3)
        return nn.functional.grid_sample(x, grid, align_corners=False)


class Half(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x / 2

    @staticmethod
    def backward(ctx, gradient):
        return gradient / 2


@torch.fx.wrap
def half(x):
    return Half.apply(x)


class Halved(nn.Module):
    def forward(self, x):
        return half(x)


def sampled(shape, num_classes):
    return nn.Sequential(
        nn.Conv2d(shape[0], 2, 3), Sampled(), nn.Flatten(), nn.Linear(18, num_classes)
    )


def halved(shape, num_classes):
    return nn.Sequential(
        nn.Flatten(), nn.Linear(prod(shape), 4), Halved(), nn.Linear(4, num_classes)
    )


MODELS = {"sampled": sampled, "halved": halved}
"""
)


@pytest.mark.parametrize(
    ("net", "expected"),
    [("small", []), ("sampled", ["linearised"]), ("halved", ["tangent_kernel", "linearised"])],
)
def test_probes_without_a_rule_for_their_derivative_are_refused_at_submission(
    write_plugin: Write, net: str, expected: list[str], tmp_path: Path
) -> None:
    """They are those that fail in a run."""
    write_plugin("nets.py", SMALL if net == "small" else WITHOUT_RULES)
    base: dict[str, Any] = {"kind": "train", "model": {"name": net}, "epochs": 1, "probes": {}}
    base["data"] = {"name": "digits", "train_size": 128, "test_size": 10}
    errors = check_spec(parse_spec(base), DIGITS)
    assert [(one.pointer, one.code) for one in errors] == [
        ("#/spec/probes/quantities", "no-derivative") for _ in expected
    ]
    assert [one.detail.split("'")[1] for one in errors] == expected
    for group in ("tangent_kernel", "linearised", "movement", "features"):
        spec = parse_spec({**base, "probes": {"quantities": [group]}})
        ctx = LocalRunContext(tmp_path / group, [0], Execution(device="cpu"), data_dir=tmp_path)
        with pytest.raises(ModelRejected) if group in expected else nullcontext():
            train(spec, ctx)


def test_what_a_factory_prints_is_not_shown(
    write_plugin: Write, capfd: pytest.CaptureFixture[str]
) -> None:
    write_plugin("nets.py", with_arguments("", f"print('loud'); return {NET}"))
    build_described(parse({"name": "net"}), DIGITS)
    assert capfd.readouterr() == ("", "")


def test_weights_that_a_factory_draws_depend_on_the_seed_alone(write_plugin: Write) -> None:
    body = f"net = {NET}; nn.init.uniform_(net[1].weight); return net"
    write_plugin("nets.py", with_arguments("", body))
    net = build_described(parse({"name": "net"}), DIGITS)
    draw = net.draw_own_start
    assert draw is not None
    torch.manual_seed(1)
    first = draw(7)
    torch.manual_seed(2), torch.rand(3)
    second, other = draw(7), draw(8)
    assert first.keys() == second.keys() == other.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not any(torch.equal(first[name], other[name]) for name in first)


def test_packages_offer_nets_by_entry_points(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "far_nets.py").write_text(SMALL)
    info = tmp_path / "far_nets-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: far-nets\nVersion: 1.2\n")
    (info / "entry_points.txt").write_text(
        "[richregime.models]\nall = far_nets\none = far_nets:small\nbad = far_nets:absent\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    before = set_net_host(LocalHost(None))
    try:
        listing = net_host().list_plugin_models()
        assert {name: (one.source, one.origin) for name, one in listing.models.items()} == {
            "small": ("far-nets==1.2", "far-nets"),
            "one": ("far-nets==1.2", "far-nets"),
        }
        (problem,) = listing.problems
        assert problem.origin == "far-nets"
        assert problem.message.startswith("AttributeError: ")
        model = parse({"name": "one", "width": 5})
        assert describe(model) == [5 * 785, 60]
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: far-nets\nVersion: 1.3\n")
        set_net_host(LocalHost(None))
        with pytest.raises(ModelRejected, match=r"far-nets==1\.2"):
            build_described(model, DIGITS)
    finally:
        set_net_host(before)
        sys.modules.pop("far_nets", None)


def test_a_listing_keeps_all_as_json(write_plugin: Write) -> None:
    from pydantic import TypeAdapter

    from engine.models.plugin_models import PluginModels

    host = write_plugin(
        "nets.py",
        with_arguments(", a: list[Literal['x', 'y']] = ['x'], b: float | None = 0.5"),
    )
    write_plugin("bad.py", "raise ValueError")
    adapter, listing = TypeAdapter(PluginModels), host.list_plugin_models()
    assert adapter.validate_json(adapter.dump_json(listing)) == listing
    assert isinstance(listing.models["net"], PluginModel)


def test_torchvision_is_imported_for_a_plug_in_that_uses_it_and_for_no_other(
    tmp_path: Path,
) -> None:
    """In a process of its own, as this one may have imported it."""
    plain, other = tmp_path / "plain", tmp_path / "other"
    for folder in (plain, other):
        folder.mkdir()
    text = "def f(shape, num_classes):\n    ...\nMODELS = {'%s': f}\n"
    (plain / "plain.py").write_text(text % "plain")
    (tmp_path / "between.py").write_text("import torchvision\n")
    (other / "through.py").write_text("import between\n" + text % "through")
    code = (
        "import sys\nfrom pathlib import Path\n"
        "from engine.models.plugin_loading import load_plugins\n"
        "for folder in sys.argv[1:]:\n"
        "    found = load_plugins(Path(folder))\n"
        "    print([*found.models], found.problems, 'torchvision' in sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(plain), str(other)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([*sys.path, str(tmp_path)])},
        capture_output=True,
        text=True,
        timeout=170,
        check=True,
    )
    assert done.stdout.splitlines() == ["['plain'] [] False", "['through'] [] True"]
