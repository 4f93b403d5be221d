"""Read torch files without running code: tensors, plain values, and inert placeholders.

A torch file is a pickle, and a pickle names the functions that build its content. Here only
the names in `_BUILDERS` lead to functions: they build tensors and plain containers. Every
other class becomes a `Placeholder`, which stores its arguments and its state and does nothing.
So a trainer may store numpy scalars, paths, namespaces or OmegaConf containers beside the
weights. A file that calls a function, or names one of the standard library, is refused.
"""

import _compat_pickle
import io
import pickle
import sys
import types
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import torch
from torch import Tensor

_TORCHSCRIPT_MEMBER = "/constants.pkl"
# Classes of the standard library whose objects are plain values. Each becomes a placeholder.
_VALUES = {
    "argparse": {"Namespace"},
    "builtins": {
        *("bool", "bytearray", "bytes", "complex", "dict", "float", "frozenset", "int", "list"),
        *("object", "range", "set", "slice", "str", "tuple", "type"),
        "getattr",  # a method is stored as getattr(its class, its name); its call is refused
    },
    "collections": {"ChainMap", "Counter", "OrderedDict", "UserDict", "defaultdict", "deque"},
    "copyreg": {"_reconstructor"},
    "datetime": {"date", "datetime", "time", "timedelta", "timezone"},
    "decimal": {"Decimal"},
    "fractions": {"Fraction"},
    "functools": {"partial"},
    "operator": {"getitem"},  # Optional[int] is stored as getitem(Optional, int)
    "re": {"_compile"},
    "types": {"GenericAlias", "NoneType", "SimpleNamespace"},
    "uuid": {"SafeUUID", "UUID"},
}
_VALUE_MODULES = ("pathlib", "typing")
# Functions of other packages that trainers' files name to build arrays and numbers.
_KNOWN_FUNCTIONS = frozenset({"scalar", "dtype", "_reconstruct", "_frombuffer"})


class RefusedError(Exception):
    """The file would run code if it were loaded without restriction; says what it names."""


class _PlaceholderType(type):
    """Class of placeholder classes: calls are checked, and no attribute can be set."""

    stands_for: str
    may_be_called: bool

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        if not cls.may_be_called:
            raise RefusedError(cls.stands_for)
        return type.__call__(cls, *args, **kwargs)

    def __setattr__(cls, name: str, value: Any) -> None:
        raise RefusedError(f"{cls.stands_for}.{name}")


class Placeholder(metaclass=_PlaceholderType):
    """An object whose class was not loaded.

    Attributes
    ----------
    stands_for
        The class's module and name.
    args, keywords
        What its constructor was given.
    state
        What was to be restored into it, usually a dict of attributes.
    items
        What was to be put into it, if it is a list or a dict by another name.
    """

    stands_for = ""
    may_be_called = True
    dump_patches = False  # torch asks the class of a module in its older format for this

    args: tuple[Any, ...]
    keywords: dict[str, Any]
    state: Any
    items: Any

    def __new__(cls, *args: Any, **keywords: Any) -> "Placeholder":
        """Store the arguments."""
        made = super().__new__(cls)
        object.__setattr__(made, "__dict__", {"args": args, "keywords": keywords})
        made.__dict__.update(state=None, items=None)
        return made

    def __setstate__(self, state: Any) -> None:
        self.__dict__["state"] = state

    def __setattr__(self, name: str, value: Any) -> None:
        raise RefusedError(f"{self.stands_for}.{name}")

    def __call__(self, *args: Any, **keywords: Any) -> Any:
        """Refuse: what is called would run."""
        raise RefusedError(self.stands_for)

    def __setitem__(self, key: Any, value: Any) -> None:
        self._filled(dict)[key] = value

    def append(self, value: Any) -> None:
        """Add an item, as a list, or any class that is filled like one, is told to do."""
        self._filled(list).append(value)

    add = append

    def extend(self, values: Any) -> None:
        """Add several items."""
        self._filled(list).extend(values)

    def _filled(self, kind: type) -> Any:
        if self.items is None:
            self.__dict__["items"] = kind()
        if not isinstance(self.items, kind):
            raise pickle.UnpicklingError(f"{self.stands_for} holds both items and keys")
        return self.items


class _Dict(dict[Any, Any]):
    """Stands for an OrderedDict, without attributes: a stored one could hide its methods."""

    __slots__ = ()

    def __setstate__(self, _: Any) -> None:
        """Ignore the attributes; of state dicts these are the modules' versions."""


class _Builder:
    """A function that may be called, and whose attributes cannot be reached or set."""

    __slots__ = ("_function",)
    _function: Callable[..., Any]

    def __init__(self, function: Callable[..., Any]) -> None:
        object.__setattr__(self, "_function", function)

    def __call__(self, *args: Any) -> Any:
        return self._function(*args)

    def __setattr__(self, name: str, value: Any) -> None:
        raise RefusedError(f"setting {name}")


def _parameter(data: Tensor, *_: Any) -> Tensor:
    return data


def _bytes_of(text: str, encoding: str) -> bytes:
    """Return bytes that pickle's protocol 2 has written as text."""
    if encoding not in ("latin1", "latin-1"):
        raise RefusedError(f"_codecs.encode to {encoding}")
    return text.encode("latin1")


_BUILDERS: dict[str, Any] = {
    "_codecs.encode": _Builder(_bytes_of),
    "collections.OrderedDict": _Builder(_Dict),
    "torch.Size": _Builder(torch.Size),
    "torch.device": _Builder(torch.device),
    "torch._utils._rebuild_tensor": _Builder(torch._utils._rebuild_tensor),
    "torch._utils._rebuild_tensor_v2": _Builder(torch._utils._rebuild_tensor_v2),
    "torch._utils._rebuild_tensor_v3": _Builder(torch._utils._rebuild_tensor_v3),
    "torch._utils._rebuild_parameter": _Builder(_parameter),
    "torch._utils._rebuild_parameter_with_state": _Builder(_parameter),
} | {f"builtins.{kind.__name__}": _Builder(kind) for kind in (set, frozenset, bytearray, complex)}


class _Unpickler(pickle.Unpickler):
    """Finds builders and placeholders, and imports nothing."""

    def find_class(self, module: str, name: str) -> Any:
        # Protocol 2 writes the names that Python 2 had: subprocess is `commands` there.
        module, name = _compat_pickle.NAME_MAPPING.get((module, name), (module, name))
        module = _compat_pickle.IMPORT_MAPPING.get(module, module)
        full = f"{module}.{name}"
        if full in _BUILDERS:
            return _BUILDERS[full]
        if module == "torch" and isinstance(kind := vars(torch).get(name), torch.dtype):
            return kind
        if module.split(".")[0] in sys.stdlib_module_names:
            if not _is_value(module, name.split(".")[0]):
                raise RefusedError(full)
            may_be_called = "." not in name
        else:
            last = name.split(".")[-1]
            may_be_called = last.lstrip("_")[:1].isupper() or last in _KNOWN_FUNCTIONS
        members = {"stands_for": full, "may_be_called": may_be_called}
        return _PlaceholderType("Placeholder", (Placeholder,), members)


def _is_value(module: str, name: str) -> bool:
    if module.split(".")[0] in _VALUE_MODULES:  # Python 3.13 has pathlib._local
        return True
    return name in _VALUES.get(module.removeprefix("_"), ())  # C parts have names as _operator


def _load_pickle(source: IO[bytes], **options: Any) -> Any:
    return _Unpickler(source, **options).load()


_RESTRICTED_PICKLE = types.SimpleNamespace(
    __name__="restricted_pickle", Unpickler=_Unpickler, load=_load_pickle
)


def read_torch_file(path: Path) -> Any:
    """Return what a torch file holds, on the CPU, with placeholders for unknown objects.

    Raises
    ------
    RefusedError
        It would run code.
    Exception
        It is damaged: torch has no common error for that.
    """
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            if any(name.endswith(_TORCHSCRIPT_MEMBER) for name in archive.namelist()):
                raise RefusedError("a TorchScript program")
        return _torch_load(path)
    # From memory torch reads its older format only, and unpacks no archive to disk.
    return _torch_load(io.BytesIO(path.read_bytes()))


def _torch_load(source: Path | io.BytesIO) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.load(
            source,
            map_location="cpu",
            pickle_module=_RESTRICTED_PICKLE,
            weights_only=False,  # torch's own restriction refuses everything it does not know
        )
