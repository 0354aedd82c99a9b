"""CSV and Parquet files become data sets, and errors name line and column."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from engine.data.importing.convert import convert
from engine.data.importing.options import ImportOptions
from engine.data.npz import NpzLimits, read_npz
from engine.errors import InvalidSpec

IRIS = "length,width,species\n" + "".join(
    f"{1.5 + number},{number / 4},{('setosa', 'virginica')[number % 2]}\n" for number in range(20)
)


def convert_text(folder: Path, text: str | bytes, **options: Any) -> Any:
    path = folder / "t.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return convert(path, folder / "out.npz", "t", ImportOptions(file_name="t.csv", **options))


def errors_of(folder: Path, text: str | bytes, **options: Any) -> list[str]:
    with pytest.raises(InvalidSpec) as caught:
        convert_text(folder, text, **options)
    return [error.detail for error in caught.value.errors]


def rows_of(converted: Any) -> dict[tuple[float, ...], int]:
    arrays = read_npz(converted.path)
    return {
        tuple(x.tolist()): int(y)
        for part in ("train", "test")
        for x, y in zip(arrays[f"x_{part}"], arrays[f"y_{part}"], strict=True)
    }


def test_rows_become_float32_features_with_the_names_of_columns_and_classes(
    tmp_path: Path,
) -> None:
    converted = convert_text(tmp_path, IRIS)
    info = converted.info
    assert (info.shape, info.dtype, info.num_classes) == ((2,), "float32", 2)
    assert (info.train_counts, info.test_counts) == ((8, 8), (2, 2))
    assert info.class_names == ("setosa", "virginica")
    assert info.feature_names == ("length", "width")
    assert converted.notes == ("labels: column 'species'",)
    assert rows_of(converted) == {(1.5 + n, n / 4): n % 2 for n in range(20)}


def test_the_seed_draws_the_test_rows_and_equal_imports_have_equal_bytes(tmp_path: Path) -> None:
    found = []
    for number, seed in enumerate((0, 0, 1)):
        folder = tmp_path / str(number)
        folder.mkdir()
        found.append(convert_text(folder, IRIS, seed=seed).path.read_bytes())
    assert found[0] == found[1] != found[2]
    half = convert_text(tmp_path, IRIS, test_share=0.5).info
    assert (half.train_counts, half.test_counts) == ((5, 5), (5, 5))


@pytest.mark.parametrize(
    ("text", "label", "names", "classes"),
    [
        ("a;b;c\n" + "1;x;2\n2;y;3\n" * 2, "b", ("a", "c"), ("x", "y")),
        ("1,2,0\n3,4,1\n" * 2, None, ("column1", "column2"), ("0", "1")),
        ("\ufeffa\tk\n" + "1\t10\n2\t9\n" * 2, "k", ("a",), ("9", "10")),
        ('a,k\n1,"x, y"\n2,z\n\n1,"x, y"\n2,z\n', None, ("a",), ("x, y", "z")),
    ],
)
def test_delimiters_headers_and_labels_as_people_have_them(
    tmp_path: Path, text: str, label: str | None, names: tuple[str, ...], classes: tuple[str, ...]
) -> None:
    info = convert_text(tmp_path, text, label=label).info
    assert (info.feature_names, info.class_names) == (names, classes)


def test_a_column_of_text_is_left_out_and_told(tmp_path: Path) -> None:
    text = "when,a,k\n" + "may,1,x\njune,2,y\n" * 2
    converted = convert_text(tmp_path, text)
    assert converted.info.feature_names == ("a",)
    assert converted.notes[1] == "column 'when' was left out: it holds text (line 2: 'may')"


@pytest.mark.parametrize(
    ("text", "detail"),
    [
        ("a,k\n1,x\n2,\n", "line 3, column 'k': the label is missing"),
        ("a,k\n1,x\n,y\n", "line 3, column 'a': the value is missing"),
        ("a,k\n1,x\nNaN,y\n", "line 3, column 'a': the value is missing"),
        ("a,k\n1,x\ntwo,y\n", "line 3, column 'a': 'two' is not a number"),
        ("a,k\n1,x\n1e39,y\n", "line 3, column 'a': 1e39 is too large for float32"),
        ("a,k\n1,x\n1,2,y\n", "line 3 has 3 cells; there are 2 columns"),
        ("a,k\n", "the table has no rows"),
        ("", "the file is empty"),
        ("k\nx\ny\n", "its only column is 'k'"),
        ("a,k\nx,1\ny,2\n", "no column holds numbers: column 'a' was left out"),
        ("a,k\n1,x\n2,x\n", "the column of labels, 'k' (the last of a, k), holds one class ('x')"),
        ("a,k\n1,x\n2,x\n3,y\n", "class 'y' has 1 example"),
        ("a,a\n1,x\n", "line 1: the names of columns hold 'a' twice"),
        ('a,k\n1,"x\n', "line 2: unexpected end of data"),
        (
            "größe,k\n1,x\n".encode("latin1"),
            "line 1: byte 3 is 0xf6, which is not UTF-8; save the file as UTF-8",
        ),
        ("a,k\n1,x\n2,é\n".encode("latin1"), "line 3: byte 3 is 0xe9"),
        ("a,price\n" + "".join(f"1,{n}.5\n" for n in range(1_001)), "1,001 different values"),
    ],
)
def test_errors_name_the_line_and_nothing_is_written(
    tmp_path: Path, text: str | bytes, detail: str
) -> None:
    (found,) = errors_of(tmp_path, text)
    assert found.startswith("t.csv: ")
    assert detail in found
    assert not (tmp_path / "out.npz").exists()


def test_ten_errors_are_listed_and_the_others_counted(tmp_path: Path) -> None:
    found = errors_of(tmp_path, "a,k\n1,x\n" + ",y\n" * 25)
    assert [one.split(",")[0] for one in found[:10]] == [f"t.csv: line {n}" for n in range(3, 13)]
    assert found[10:] == ["t.csv: 15 more errors"]


def test_an_unknown_column_of_labels_is_refused_with_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(InvalidSpec) as caught:
        convert_text(tmp_path, IRIS, label="kind")
    (error,) = caught.value.errors
    assert error.pointer == "#/query/label"
    assert error.detail == "there is no column 'kind'; there are length, width, species"


def test_numbers_over_the_limit_are_refused_while_they_are_read(tmp_path: Path) -> None:
    (found,) = errors_of(tmp_path, IRIS, limits=NpzLimits(max_bytes=64))
    assert "line 11: the numbers take more than 64 bytes" in found


def write_parquet(folder: Path, **columns: Any) -> Path:
    path = folder / "t.parquet"
    parquet.write_table(pa.table(columns), path)
    return path


def test_parquet_gives_the_data_of_the_same_csv(tmp_path: Path) -> None:
    path = write_parquet(
        tmp_path,
        length=pa.array([1.5 + n for n in range(20)], pa.float64()),
        width=pa.array([n / 4 for n in range(20)], pa.float32()),
        species=["setosa", "virginica"] * 10,
    )
    from_parquet = convert(path, tmp_path / "p.npz", "t", ImportOptions())
    from_csv = convert_text(tmp_path, IRIS)
    assert from_parquet.path.read_bytes() == from_csv.path.read_bytes()


def test_errors_in_parquet_name_the_row(tmp_path: Path) -> None:
    path = write_parquet(tmp_path, a=[1.0, None, float("nan")], k=[1, 2, None])
    with pytest.raises(InvalidSpec) as caught:
        convert(path, tmp_path / "out.npz", "t", ImportOptions(file_name="t.parquet"))
    assert [error.detail for error in caught.value.errors] == [
        "t.parquet: row 2, column 'a': the value is missing",
        "t.parquet: row 3, column 'k': the label is missing",
        "t.parquet: row 3, column 'a': the value is missing",
    ]
    whole = write_parquet(tmp_path, width=[1.0], k=[1]).read_bytes()
    for damaged in (whole[:60], whole.replace(b"width", b"wid\xffh")):
        path.write_bytes(damaged)
        with pytest.raises(InvalidSpec, match="not a readable Parquet file"):
            convert(path, tmp_path / "out.npz", "t", ImportOptions())


def test_parquet_without_pyarrow_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_parquet(tmp_path, a=[1.0], k=[1])
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(InvalidSpec, match="pip install pyarrow"):
        convert(path, tmp_path / "out.npz", "t", ImportOptions())


def test_text_without_the_name_of_a_table_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "t"
    path.write_text(IRIS)
    with pytest.raises(InvalidSpec, match=r"the name of a table ends in \.csv"):
        convert(path, tmp_path / "out.npz", "t", ImportOptions())
