"""What a code object does and the names it looks up; no file, line, comment or docstring."""

from __future__ import annotations

import dis
import json
from bisect import bisect_left
from collections.abc import Iterator
from operator import attrgetter
from types import CodeType
from typing import Any, NamedTuple

__all__ = ["Chain", "Import", "chains", "code_text", "constants_of", "names_used"]

NO_EFFECT = {"NOP", "CACHE", "EXTENDED_ARG"}
GLOBAL_LOADS = {"LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS"}
ATTRIBUTE_LOADS = {"LOAD_ATTR", "LOAD_METHOD"}
LOCAL_LOADS = {"LOAD_FAST", "LOAD_FAST_CHECK", "LOAD_DEREF", "LOAD_CLASSDEREF"}
BEFORE_CALL = {"PRECALL", "PUSH_NULL"}
# What the body of a class says about where it was written.
CLASS_NOTES = {"__doc__", "__qualname__", "__module__", "__firstlineno__", "__static_attributes__"}
CODE_NOTES = 0x4000000  # the flag that there is a docstring, from Python 3.13 on


class Import(NamedTuple):
    """An import statement inside a function."""

    level: int  # number of leading dots
    module: str
    names: tuple[str, ...] = ()  # of ``from module import …``
    is_alias: bool = False  # ``import a.b as c``, which does not give ``a``


class Chain(NamedTuple):
    """A name that a function looks up, and the attributes that it reads from it."""

    root: str  # a global name, or what the function itself imports
    attributes: tuple[str, ...]
    is_import: bool
    ending: str  # "()": called without arguments; "=": the last attribute is set


def code_text(code: CodeType) -> bytes:
    """Instructions with names and jumps spelled out, so that no table's order matters.

    A constant is only a place: `constants_of` gives them in the same order. Those that no
    instruction loads, as a docstring, do not count.
    """
    kept = _instructions(code)
    lines = [_line(one, kept) for one in kept]
    signature = [code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount]
    names = [code.co_varnames, code.co_cellvars, code.co_freevars]
    table = code.co_exceptiontable.hex()
    head = [signature, names, code.co_flags & ~CODE_NOTES, table]
    return json.dumps([head, lines]).encode()


def constants_of(code: CodeType) -> list[Any]:
    """Constants that are loaded, in the order of the instructions."""
    return [one.argval for one in _instructions(code) if one.opcode in dis.hasconst]


def names_used(code: CodeType) -> tuple[set[tuple[str, ...]], set[Import]]:
    """Global names with the attributes read from each, and imports; in nested code, too.

    ``helpers.cuts.PT`` gives ``("helpers", "cuts", "PT")``; a name that is used as a whole stands
    alone.
    """
    names: set[tuple[str, ...]] = set()
    imports: set[Import] = set()
    for one in _nested(code):
        kept = _instructions(one)
        for place, instruction in enumerate(kept):
            if instruction.opname in GLOBAL_LOADS:
                names.add((instruction.argval, *_attributes(kept[place + 1 :])))
            elif instruction.opname == "IMPORT_NAME":
                level, wanted = (before.argval for before in kept[place - 2 : place])
                is_alias = not wanted and kept[place + 1].opname == "IMPORT_FROM"
                names_wanted = tuple(wanted or ())
                imports.add(Import(level or 0, instruction.argval, names_wanted, is_alias))
    return names, imports


def chains(code: CodeType, *, nested: bool = True) -> Iterator[Chain]:
    """Yield what a function, or the body of a module, reads, calls and sets; in nested code, too.

    ``helpers.cuts.PT`` gives the root ``helpers`` and two attributes.
    """
    imported: dict[str, str] = {}
    for one in _nested(code) if nested else (code,):
        kept = _instructions(one)
        if one.co_name != "<module>":
            imported |= _local_imports(kept)
        for place, instruction in enumerate(kept):
            name, is_import = instruction.argval, instruction.opname in LOCAL_LOADS
            if is_import and name in imported:
                name = imported[name]
            elif instruction.opname not in GLOBAL_LOADS:
                continue
            attributes = tuple(_attributes(kept[place + 1 :]))
            after = kept[place + 1 + len(attributes) :]
            ending = ""
            if after and after[0].opname == "STORE_ATTR":
                attributes, ending = (*attributes, after[0].argval), "="
            call = next((one for one in after if one.opname not in BEFORE_CALL), None)
            if call is not None and call.opname == "CALL" and call.arg == 0:
                ending = "()"
            yield Chain(name, attributes, is_import, ending)


def _local_imports(kept: list[dis.Instruction]) -> dict[str, str]:
    """Return the full names of what is imported within a function, by local name."""
    found: dict[str, str] = {}
    module, name = "", ""
    for instruction in kept:
        if instruction.opname == "IMPORT_NAME":
            module = instruction.argval
            name = module.partition(".")[0]
        elif instruction.opname == "IMPORT_FROM":
            name = f"{module}.{instruction.argval}"
            if module.endswith(f".{instruction.argval}"):  # import a.b as c
                name = module
        elif instruction.opname.startswith("STORE_") and name:
            found[instruction.argval], name = name, ""
    return found


def _nested(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _nested(constant)


def _attributes(following: list[dis.Instruction]) -> Iterator[str]:
    for instruction in following:
        if instruction.opname not in ATTRIBUTE_LOADS:
            return
        yield instruction.argval


def _instructions(code: CodeType) -> list[dis.Instruction]:
    """Instructions that have an effect, as compiled: what the interpreter specialised is undone."""
    kept = [one for one in dis.get_instructions(code) if one.opname not in NO_EFFECT]
    notes = {
        place
        for place, one in enumerate(kept)
        if one.opname == "STORE_NAME" and one.argval in CLASS_NOTES
    }
    return [one for place, one in enumerate(kept) if not {place, place + 1} & notes]


def _line(one: dis.Instruction, kept: list[dis.Instruction]) -> list[Any]:
    if one.opcode in dis.hasconst:
        return [one.opname]
    if one.opcode in dis.hasjrel or one.opcode in dis.hasjabs:
        return [one.opname, bisect_left(kept, one.argval, key=attrgetter("offset"))]
    if one.opcode in dis.hasname:  # the text has the flags that share the argument's bits
        return [one.opname, one.argrepr]
    return [one.opname, one.arg]
