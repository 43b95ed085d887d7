from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import awkward as ak
import correctionlib
import correctionlib.schemav2 as cs
import numpy as np
import pytest

from intccms.engine.calls import Caller
from intccms.engine.corrections import Factors, apply, check_correction_files
from intccms.engine.objects import Objects, from_events
from intccms.errors import FunctionError, InputError
from intccms.schema import Correction, load_config
from intccms.schema.base import ObjVar, Sys
from tests.engine import small

JET_ETA, JET_PT = ObjVar("Jet", "eta"), ObjVar("Jet", "pt")
N_TRUE = ObjVar("Pileup", "nTrueInt")


def formula(name: str, expression: str, **inputs: str) -> cs.Correction:
    names = [key for key, kind in inputs.items() if kind != "string"]
    content: Any = cs.Formula(
        nodetype="formula", expression=expression, parser="TFormula", variables=names
    )
    for key, kind in inputs.items():
        if kind == "string":
            shifts = {"nominal": "", "up": "*1.1", "down": "*0.8"}
            items = [
                cs.CategoryItem(
                    key=word,
                    value=content.model_copy(update={"expression": f"({expression}){factor}"}),
                )
                for word, factor in shifts.items()
            ]
            content = cs.Category(nodetype="category", input=key, content=items)
    return cs.Correction(
        name=name,
        version=1,
        inputs=[cs.Variable(name=key, type=kind) for key, kind in inputs.items()],
        output=cs.Variable(name="out", type="real"),
        data=content,
    )


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    real, word = "real", "string"
    chained = cs.CompoundCorrection(
        name="both",
        inputs=[cs.Variable(name="eta", type=real), cs.Variable(name="pt", type=real)],
        output=cs.Variable(name="out", type=real),
        inputs_update=["pt"],
        input_op="*",
        output_op="*",
        stack=["first", "second"],
    )
    charges = [cs.CategoryItem(key=key, value=1 + 0.1 * key) for key in (-1, 1)]
    by_charge = cs.Correction(
        name="whole_number",
        version=1,
        inputs=[cs.Variable(name="charge", type="int")],
        output=cs.Variable(name="out", type=real),
        data=cs.Category(nodetype="category", input="charge", content=charges),
    )
    corrections = [
        formula("sys_last", "1+0.001*x", n=real, systematic=word),
        formula("sys_middle", "1+0.01*x+0.001*y", eta=real, systematic=word, pt=real),
        formula("sys_first", "1+0.01*x+0.001*y", systematic=word, eta=real, pt=real),
        formula("plain", "0.01*x+0.001*y", eta=real, pt=real),
        formula("with_rho", "1+0.001*x*y+0.1*z", pt=real, rho=real, area=real),
        by_charge,
        formula("first", "1+0.01*x", eta=real, pt=real),
        formula("second", "1+0.001*y", eta=real, pt=real),
    ]
    path = tmp_path_factory.mktemp("library") / "corrections.json"
    written = cs.CorrectionSet(
        schema_version=2, corrections=corrections, compound_corrections=[chained]
    )
    path.write_text(written.model_dump_json(exclude_unset=True))
    return path


@pytest.fixture(scope="module")
def objects(few: Path) -> Objects:
    return from_events(small.chunk(few))


@pytest.fixture(scope="module")
def factors() -> Factors:
    return Factors(lambda path: path, Caller(1))


@pytest.fixture(scope="module")
def direct(library: Path) -> Any:
    return correctionlib.CorrectionSet.from_file(str(library))


def correction(library: Path | None = None, **fields: Any) -> Correction:
    if library is not None:
        fields = {"file": str(library), **fields}
    return Correction.model_validate({"name": "sf", "type": "event", **fields})


def wide(array: Any) -> np.ndarray:
    return np.asarray(array, dtype=np.float64)


def test_flat_inputs_equal_a_direct_call(
    library: Path, objects: Objects, factors: Factors, direct: Any
) -> None:
    sf = correction(library, key="sys_last", args=[N_TRUE, Sys()])
    expected = direct["sys_last"].evaluate(wide(objects.column(N_TRUE)), "nominal")
    assert np.array_equal(factors.nominal(sf, objects), expected)


@pytest.mark.parametrize(
    ("key", "args"),
    [("sys_first", [Sys(), JET_ETA, JET_PT]), ("sys_middle", [JET_ETA, Sys(), JET_PT])],
)
def test_the_systematic_goes_where_sys_stands(
    library: Path, objects: Objects, factors: Factors, direct: Any, key: str, args: list[Any]
) -> None:
    sf = correction(library, key=key, args=args)
    eta, pt = small.flat(objects.column(JET_ETA)), small.flat(objects.column(JET_PT))
    given = [eta, pt]
    inputs = ["up" if isinstance(arg, Sys) else given.pop(0) for arg in args]
    source = correction(library, key=key, args=args, uncertainty_sources=[{"name": "u"}])
    got = factors.varied(source, source.uncertainty_sources[0], "up", objects)
    assert np.array_equal(small.flat(got), direct[key].evaluate(*inputs))
    assert ak.array_equal(ak.num(got), ak.num(objects["Jet"]))
    assert factors.nominal(sf, objects).ndim == 2


def test_an_event_column_is_repeated_for_each_object(
    library: Path, objects: Objects, factors: Factors, direct: Any
) -> None:
    args = [JET_PT, ObjVar("PuppiMET", "pt"), ObjVar("Jet", "area")]
    got = factors.nominal(correction(library, key="with_rho", args=args), objects)
    counts = ak.num(objects["Jet"])
    rho = np.repeat(wide(objects["PuppiMET"].pt), wide(counts).astype(int))
    area = small.flat(objects["Jet"].area)
    expected = direct["with_rho"].evaluate(small.flat(objects.column(JET_PT)), rho, area)
    assert np.array_equal(small.flat(got), expected)


def test_an_event_column_may_come_first(
    library: Path, objects: Objects, factors: Factors, direct: Any
) -> None:
    args = [ObjVar("PuppiMET", "pt"), JET_PT, 0.5]
    got = factors.nominal(correction(library, key="with_rho", args=args), objects)
    met = np.repeat(wide(objects["PuppiMET"].pt), wide(ak.num(objects["Jet"])).astype(int))
    expected = direct["with_rho"].evaluate(met, small.flat(objects.column(JET_PT)), 0.5)
    assert np.array_equal(small.flat(got), expected)


def test_whole_numbers_reach_integer_inputs(
    library: Path, objects: Objects, factors: Factors, direct: Any
) -> None:
    sf = correction(library, key="whole_number", args=[ObjVar("Muon", "charge")])
    expected = direct["whole_number"].evaluate(
        np.asarray(ak.flatten(objects["Muon"].charge), dtype=np.int64)
    )
    assert np.array_equal(small.flat(factors.nominal(sf, objects)), expected)


@pytest.mark.parametrize("literal", [2.5, 2])
def test_literals_are_passed_on(
    library: Path, objects: Objects, factors: Factors, direct: Any, literal: float
) -> None:
    sf = correction(library, key="plain", args=[literal, N_TRUE])
    expected = direct["plain"].evaluate(float(literal), wide(objects.column(N_TRUE)))
    assert np.array_equal(factors.nominal(sf, objects), expected)


def test_a_literal_string_is_passed_on(
    library: Path, objects: Objects, factors: Factors, direct: Any
) -> None:
    sf = correction(library, key="sys_last", args=[N_TRUE, "down"])
    expected = direct["sys_last"].evaluate(wide(objects.column(N_TRUE)), "down")
    assert np.array_equal(factors.nominal(sf, objects), expected)


def test_a_wrong_number_of_inputs_names_those_that_are_wanted(
    library: Path, objects: Objects, factors: Factors
) -> None:
    sf = correction(library, key="plain", args=[N_TRUE])
    with pytest.raises(FunctionError, match=r"'sf': .*1 inputs are given.*\['eta', 'pt'\]"):
        factors.nominal(sf, objects)


def test_the_nominal_index_can_be_another(
    library: Path, objects: Objects, factors: Factors, direct: Any
) -> None:
    sf = correction(library, key="sys_last", args=[N_TRUE, Sys()], nominal_idx="down")
    expected = direct["sys_last"].evaluate(wide(objects.column(N_TRUE)), "down")
    assert np.array_equal(factors.nominal(sf, objects), expected)


def test_compound_corrections_are_found_by_name(
    library: Path, objects: Objects, factors: Factors, direct: Any
) -> None:
    got = factors.nominal(correction(library, key="both", args=[JET_ETA, JET_PT]), objects)
    eta, pt = small.flat(objects.column(JET_ETA)), small.flat(objects.column(JET_PT))
    assert np.array_equal(small.flat(got), direct.compound["both"].evaluate(eta, pt))


def test_transform_in_changes_the_inputs(
    library: Path, objects: Objects, factors: Factors, direct: Any
) -> None:
    sf = correction(
        library,
        key="sys_middle",
        args=[JET_ETA, Sys(), JET_PT],
        transform_in=lambda eta, pt: (np.abs(eta), pt * 2),
    )
    eta, pt = small.flat(objects.column(JET_ETA)), small.flat(objects.column(JET_PT))
    doubled = np.asarray(pt.astype(np.float32) * 2, dtype=np.float64)
    expected = direct["sys_middle"].evaluate(np.abs(eta), "nominal", doubled)
    assert np.array_equal(small.flat(factors.nominal(sf, objects)), expected)


def test_transform_in_may_make_two_arrays_of_one(
    library: Path, objects: Objects, factors: Factors, direct: Any
) -> None:
    sf = correction(
        library,
        key="plain",
        args=[ObjVar("Jet")],
        transform_in=lambda jets: (jets.eta, jets.pt),
    )
    eta, pt = small.flat(objects.column(JET_ETA)), small.flat(objects.column(JET_PT))
    expected = direct["plain"].evaluate(eta, pt)
    assert np.array_equal(small.flat(factors.nominal(sf, objects)), expected)


def test_transform_in_may_make_one_array_of_two(
    library: Path, objects: Objects, factors: Factors, direct: Any
) -> None:
    sf = correction(
        library,
        key="sys_last",
        args=[JET_ETA, JET_PT, Sys()],
        transform_in=lambda eta, pt: ak.sum(pt, axis=1),
    )
    total = wide(ak.sum(objects.column(JET_PT), axis=1))
    assert np.array_equal(
        factors.nominal(sf, objects), direct["sys_last"].evaluate(total, "nominal")
    )


def test_transform_out_sees_the_result_and_the_original_arrays(
    library: Path, objects: Objects, factors: Factors, direct: Any
) -> None:
    sf = correction(
        library,
        key="plain",
        args=[JET_ETA, JET_PT],
        transform_in=lambda eta, pt: (np.abs(eta), pt),
        transform_out=lambda sf, eta, pt: ak.where(eta > 0, sf, 1.0),
    )
    eta, pt = small.flat(objects.column(JET_ETA)), small.flat(objects.column(JET_PT))
    expected = np.where(eta > 0, direct["plain"].evaluate(np.abs(eta), pt), 1.0)
    assert np.array_equal(small.flat(factors.nominal(sf, objects)), expected)


@pytest.mark.parametrize(("word", "reducer"), [("prod", np.prod), ("sum", np.sum)])
def test_objects_are_reduced_to_one_number_per_event(
    library: Path,
    objects: Objects,
    factors: Factors,
    direct: Any,
    word: str,
    reducer: Callable[..., Any],
) -> None:
    sf = correction(library, key="plain", args=[JET_ETA, JET_PT], reduce=word)
    got = wide(factors.nominal(sf, objects))
    for i in (0, 7, 123):
        jets = objects["Jet"][i]
        expected = reducer(direct["plain"].evaluate(wide(jets.eta), wide(jets.pt)))
        assert got[i] == pytest.approx(expected, rel=1e-12)


def test_reducing_what_has_no_objects_names_the_correction(
    library: Path, objects: Objects, factors: Factors
) -> None:
    sf = correction(library, key="sys_last", args=[N_TRUE, Sys()], reduce="prod")
    with pytest.raises(FunctionError, match="'sf': reduce"):
        factors.nominal(sf, objects)


def test_a_missing_input_is_an_error_not_a_number(
    library: Path, objects: Objects, factors: Factors
) -> None:
    sf = correction(
        library, key="sys_last", args=[JET_PT, Sys()], transform_in=lambda pt: ak.firsts(pt)
    )
    with pytest.raises(FunctionError, match="'sf'"):
        factors.nominal(sf, objects)


@pytest.mark.parametrize(
    ("op", "expected"), [("mult", [2.0, 6.0]), ("add", [3.0, 5.0]), ("subtract", [-1.0, 1.0])]
)
def test_operations(op: str, expected: list[float]) -> None:
    assert apply(op, np.array([1.0, 3.0]), np.array([2.0, 2.0])).tolist() == expected


def function_correction(op: str = "mult", **source: Any) -> Correction:
    return correction(
        use_correctionlib=False,
        op=op,
        args=[N_TRUE],
        nominal_function=lambda n: n * 0 + 1.5,
        uncertainty_sources=[{"name": "u", **source}],
    )


@pytest.mark.parametrize(
    ("op", "is_delta", "expected"),
    [("mult", False, 1.2), ("mult", True, 1.8), ("add", False, 1.2), ("add", True, 2.7)],
)
def test_a_delta_comes_on_top_of_the_nominal(
    objects: Objects, factors: Factors, op: str, is_delta: bool, expected: float
) -> None:
    sf = function_correction(op, up_function=lambda n: n * 0 + 1.2, is_delta=is_delta)
    got = factors.varied(sf, sf.uncertainty_sources[0], "up", objects)
    np.testing.assert_allclose(wide(got), expected, rtol=1e-6)


def test_the_missing_side_is_the_mirror_about_the_nominal(
    objects: Objects, factors: Factors
) -> None:
    sf = function_correction(up_function=lambda n: n * 0 + 1.2, symmetrise=True)
    got = factors.varied(sf, sf.uncertainty_sources[0], "down", objects)
    np.testing.assert_allclose(wide(got), 1.8, rtol=1e-6)


def test_a_function_without_inputs_returns_a_number(objects: Objects, factors: Factors) -> None:
    sf = correction(up_function=lambda: 1.1, down_function=lambda: 0.9)
    source = sf.uncertainty_sources[0]
    assert factors.nominal(sf, objects) == 1.0
    assert factors.varied(sf, source, "up", objects) == 1.1
    assert factors.varied(sf, source, "down", objects) == 0.9


def test_a_source_has_its_own_args_and_transforms(objects: Objects, factors: Factors) -> None:
    sf = function_correction(
        args=[JET_PT],
        transform_in=lambda pt: ak.num(pt),
        up_function=lambda counts: counts * 2.0,
        transform_out=lambda value, pt: value + ak.num(pt),
    )
    got = factors.varied(sf, sf.uncertainty_sources[0], "up", objects)
    assert np.array_equal(wide(got), 3.0 * wide(ak.num(objects["Jet"])))


def test_a_relative_uncertainty_is_one_plus_and_one_minus_its_value(
    library: Path, objects: Objects, factors: Factors, direct: Any
) -> None:
    sources = [{"name": "u", "key": "plain", "is_delta": True}]
    sf = correction(
        library,
        type="object",
        target=JET_PT,
        key="first",
        args=[JET_ETA, JET_PT],
        uncertainty_sources=sources,
    )
    eta, pt = small.flat(objects.column(JET_ETA)), small.flat(objects.column(JET_PT))
    nominal, delta = (direct[key].evaluate(eta, pt) for key in ("first", "plain"))
    for side, sign in (("up", 1.0), ("down", -1.0)):
        got = factors.varied(sf, sf.uncertainty_sources[0], side, objects)  # type: ignore[arg-type]
        np.testing.assert_allclose(small.flat(got), nominal * (1 + sign * delta), rtol=1e-12)


def test_a_relative_uncertainty_of_what_is_added_is_plus_and_minus_its_value(
    library: Path, objects: Objects, factors: Factors, direct: Any
) -> None:
    sources = [{"name": "u", "key": "plain", "is_delta": True}]
    sf = correction(
        library,
        type="object",
        op="add",
        target=JET_PT,
        args=[JET_ETA, JET_PT],
        uncertainty_sources=sources,
    )
    eta, pt = small.flat(objects.column(JET_ETA)), small.flat(objects.column(JET_PT))
    delta = direct["plain"].evaluate(eta, pt)
    for side, sign in (("up", 1.0), ("down", -1.0)):
        got = factors.varied(sf, sf.uncertainty_sources[0], side, objects)  # type: ignore[arg-type]
        np.testing.assert_allclose(small.flat(got), sign * delta, rtol=1e-12)


def test_two_files_with_the_same_key_are_not_mixed_up(
    library: Path, tmp_path: Path, objects: Objects, factors: Factors
) -> None:
    other = tmp_path / "other.json"
    doubled = cs.CorrectionSet(
        schema_version=2, corrections=[formula("sys_last", "2", n="real", systematic="string")]
    )
    other.write_text(doubled.model_dump_json(exclude_unset=True))
    args = [N_TRUE, Sys()]
    one, two = (correction(path, key="sys_last", args=args) for path in (library, other))
    assert not np.array_equal(factors.nominal(one, objects), factors.nominal(two, objects))


def test_corrections_that_share_a_key_keep_their_own_inputs(
    library: Path, objects: Objects, factors: Factors
) -> None:
    muons, jets = (
        correction(library, key="plain", args=[ObjVar(name, "eta"), ObjVar(name, "pt")])
        for name in ("Muon", "Jet")
    )
    got = [ak.num(factors.nominal(sf, objects)).to_list() for sf in (muons, jets)]
    assert got == [ak.num(objects[name]).to_list() for name in ("Muon", "Jet")]


# What a configuration names must be there before a run begins.


def listed(library: Path, **fields: Any) -> dict[str, Any]:
    one = {"name": "sf", "type": "event", "file": str(library), "args": [N_TRUE, Sys()], **fields}
    return small.config(corrections=[one])


def test_a_missing_key_names_the_nearest(library: Path) -> None:
    config = load_config(listed(library, key="sys_lost"))
    with pytest.raises(InputError, match="'sys_lost'.*did you mean 'sys_last'"):
        check_correction_files(config, [None])


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    config = load_config(listed(tmp_path / "absent.json", key="any"))
    with pytest.raises(InputError, match="absent.json"):
        check_correction_files(config, [None])


def compressed(library: Path) -> bytes:
    return gzip.compress(library.read_bytes())


def flipped(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 0xFF]) + content[middle + 1 :]


@pytest.mark.parametrize(
    ("name", "damaged"),
    [
        ("sf.json.gz", lambda one: compressed(one)[:-20]),
        ("sf.json.gz", lambda one: compressed(one)[:200]),
        ("sf.json.gz", lambda one: flipped(compressed(one))),
        ("sf.json.gz", lambda one: one.read_bytes()),
        ("sf.json.gz", lambda _: b""),
        ("sf.json", lambda one: one.read_bytes()[:-20]),
        ("sf.json", compressed),
        ("sf.json", lambda _: b"[1, 2]"),
        ("sf.json", lambda _: b'{"schema_version": 2, "corrections": [{"name": "x"}]}'),
        ("sf.json", lambda _: b'{"schema_version": 17, "corrections": []}'),
    ],
)
def test_a_damaged_file_is_named_in_one_line(
    library: Path, tmp_path: Path, name: str, damaged: Callable[[Path], bytes]
) -> None:
    (tmp_path / name).write_bytes(damaged(library))
    config = load_config(listed(tmp_path / name, key="sys_last"))
    with pytest.raises(InputError) as caught:
        check_correction_files(config, [None])
    assert str(caught.value).startswith(f"cannot read the correction file {tmp_path / name}: ")
    assert "\n" not in str(caught.value)


def test_a_directory_in_place_of_a_file_is_named(tmp_path: Path) -> None:
    config = load_config(listed(tmp_path, key="sys_last"))
    with pytest.raises(InputError, match="cannot read the correction file .*: Is a directory"):
        check_correction_files(config, [None])


UP_AND_DOWN = {"name": "u", "up_and_down_idx": ["up", "down"]}


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"nominal_idx": "nominall"}, "corrections.sf.nominal_idx: 'nominall' .*'nominal'"),
        ({"uncertainty_sources": [{"name": "u", "up_and_down_idx": ["upp", "down"]}]},
         "corrections.sf.uncertainty_sources.u.up_and_down_idx: 'upp' .*'up'"),
        ({"uncertainty_sources": [{"name": "u", "up_and_down_idx": ["up", "don"]}]},
         "up_and_down_idx: 'don' .*'down'"),
        ({"key": "sys_first", "args": [Sys(), JET_ETA, JET_PT], "nominal_idx": "central"},
         "nominal_idx: 'central' is no category of 'sys_first'"),
        ({"transform_in": lambda n: n, "nominal_idx": "central"}, "nominal_idx: 'central'"),
    ],
)  # fmt: skip
def test_a_word_that_the_file_does_not_know_is_named(
    library: Path, changed: dict[str, Any], says: str
) -> None:
    good = {"key": "sys_last", "uncertainty_sources": [UP_AND_DOWN]}
    check_correction_files(load_config(listed(library, **good)), [None])
    with pytest.raises(InputError, match=says):
        check_correction_files(load_config(listed(library, **(good | changed))), [None])


def test_any_word_is_right_where_the_file_has_a_default(tmp_path: Path) -> None:
    one = formula("sf", "2", x="real", systematic="string")
    one.data.default = 1.0
    path = tmp_path / "sf.json"
    path.write_text(cs.CorrectionSet(schema_version=2, corrections=[one]).model_dump_json())
    config = load_config(listed(path, key="sf", nominal_idx="whatever"))
    check_correction_files(config, [None])


def test_the_words_of_compound_corrections_are_those_of_their_parts(tmp_path: Path) -> None:
    word, real = "string", "real"
    parts = [formula(name, "1", systematic=word, pt=real) for name in ("first", "second")]
    both = cs.CompoundCorrection(
        name="both",
        inputs=[cs.Variable(name="systematic", type=word), cs.Variable(name="pt", type=real)],
        output=cs.Variable(name="out", type=real),
        inputs_update=[],
        input_op="*",
        output_op="*",
        stack=["first", "second"],
    )
    written = cs.CorrectionSet(schema_version=2, corrections=parts, compound_corrections=[both])
    path = tmp_path / "sf.json"
    path.write_text(written.model_dump_json(exclude_unset=True))
    given = {"key": "both", "args": [Sys(), N_TRUE]}
    check_correction_files(load_config(listed(path, **given)), [None])
    with pytest.raises(InputError, match="'central' is no category of 'both'"):
        check_correction_files(load_config(listed(path, **given, nominal_idx="central")), [None])


def test_the_keys_of_sources_are_looked_up_beside_a_nominal_function(library: Path) -> None:
    config = load_config(
        listed(
            library,
            use_correctionlib=False,
            nominal_function=lambda n: 1.0,
            uncertainty_sources=[{"name": "u", "key": "plane", "is_delta": True, "args": [N_TRUE]}],
        )
    )
    with pytest.raises(InputError, match="did you mean 'plain'"):
        check_correction_files(config, [None])


def test_a_file_that_is_edited_is_read_again_in_the_same_process(few: Path, tmp_path: Path) -> None:
    path = tmp_path / "sf.json"
    sf = {
        "name": "sf",
        "type": "event",
        "file": str(path),
        "key": "sf",
        "args": [("PuppiMET", "pt")],
    }
    sums = []
    for weight in ("1", "2", "3"):
        one = formula("sf", weight, x="real")
        path.write_text(cs.CorrectionSet(schema_version=2, corrections=[one]).model_dump_json())
        sums.append(small.outcome(few, small.config(corrections=[sf]))["nominal"])
    assert np.abs(sums[0]).max() > 0
    small.same(sums[1], 2 * sums[0])
    small.same(sums[2], 3 * sums[0])


@pytest.mark.parametrize(
    ("target", "use", "call"),
    [
        (("PuppiMET", "pt"), ("Jet", "pt"), lambda pt: pt * 0 + 1.5),
        (("Jet", "pt"), ("Jet", "pt"), lambda pt: ak.firsts(pt)),
        (("Jet", "pt"), ("Jet", "pt"), lambda pt: ak.ones_like(pt)[:, :1]),
        (("PuppiMET", "pt"), ("PuppiMET", "pt"), lambda pt: ak.mask(pt, pt > 20)),
        (("PuppiMET", "pt"), ("PuppiMET", "pt"), lambda pt: "twice"),
    ],
    ids=["lists for a number", "missing events", "too few", "missing numbers", "a word"],
)
def test_a_factor_that_does_not_fit_its_column_is_refused_by_name(
    few: Path, target: Any, use: Any, call: Callable[[Any], Any]
) -> None:
    scale = {"name": "scale", "type": "object", "target": target, "use": [use], "op": "mult"}
    quantity = small.observable("n", lambda column: ak.num(column, axis=0) * 0.0, target)
    configuration = small.config(
        corrections=[{**scale, "nominal_function": call}],
        channels=[small.channel("all", [quantity])],
    )
    with pytest.raises(FunctionError, match=rf"'scale' changes {target[0]}\.pt, which is .*factor"):
        small.run(few, configuration)
