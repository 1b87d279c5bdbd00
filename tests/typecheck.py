"""An import hook that holds every call of a module's functions against their signatures, by beartype.

A signature is resolved at the first call, when all names of its module are there; a hint whose name is
imported for type checkers alone stays open.
"""

import ast
import dataclasses
import functools
import sys
import types
from importlib.machinery import PathFinder, SourceFileLoader
from typing import Any, get_type_hints

from beartype import BeartypeConf, beartype

NUMERIC_TOWER = BeartypeConf(is_pep484_tower=True, violation_type=TypeError)  # a whole number is a float too


def _resolved(hint, names):
    """A hint as an object, `Any` where it can't be had."""
    holder = functools.partial(_resolved)
    holder.__annotations__ = {"hint": hint}
    try:
        return get_type_hints(holder, names)["hint"]
    except NameError:
        return Any


_checks = {}  # code of a function: the first that was made of it, without and with its check


def _of_another(thing, first, checked):
    """A function with the check of one that was made of the same code.

    Inner functions are made at every call of the outer one, a check takes a thousand times as long.
    """
    if checked is first:
        return thing
    parts = {name: thing if part is first else part for name, part in (checked.__kwdefaults__ or {}).items()}
    if thing not in parts.values():  # beartype keeps it elsewhere
        return beartype(thing, conf=NUMERIC_TOWER)
    own = types.FunctionType(checked.__code__, checked.__globals__, argdefs=checked.__defaults__)
    own.__kwdefaults__ = parts
    return functools.wraps(thing)(own)


def check(thing):
    """A function whose calls are checked; a data class whose own making is."""
    if isinstance(thing, type):
        if dataclasses.is_dataclass(thing) and "__init__" in vars(thing):
            thing.__init__ = check(thing.__init__)
        return thing
    if thing.__code__ in _checks:
        return _of_another(thing, *_checks[thing.__code__])
    checked = None

    @functools.wraps(thing)
    def call(*args, **kwargs):
        nonlocal checked
        if checked is None:
            hints = thing.__annotations__.items()
            thing.__annotations__ = {name: _resolved(hint, thing.__globals__) for name, hint in hints}
            checked = beartype(thing, conf=NUMERIC_TOWER)
            _checks[thing.__code__] = thing, checked
        return checked(*args, **kwargs)

    return call


class _Loader(SourceFileLoader):
    def get_code(self, fullname):
        """Made anew, since the cache of bytecode holds modules as they are."""
        path = self.get_filename(fullname)
        return self.source_to_code(self.get_data(path), path)

    def source_to_code(self, data, path, **options):
        tree = ast.parse(data, path)
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                # before all other decorators of a function, after all of a class
                place = len(node.decorator_list) if isinstance(node, ast.FunctionDef) else 0
                name = ast.copy_location(ast.Name("__check__", ast.Load()), node)
                node.decorator_list.insert(place, name)
        return compile(tree, path, "exec", dont_inherit=True)

    def exec_module(self, module):
        module.__dict__["__check__"] = check
        super().exec_module(module)


class _Finder:
    def __init__(self, packages):
        self.packages = packages

    def find_spec(self, name, path=None, target=None):
        if not any(name == p or name.startswith(p + ".") for p in self.packages):
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = _Loader(spec.loader.name, spec.loader.path)
        return spec


def install(packages):
    """Has modules of these packages checked that are imported from now on."""
    sys.meta_path.insert(0, _Finder(packages))
