"""What numba must know before anything is compiled: the order of threading layers, and when a cached kernel is out of date.

Imported by every package that holds kernels, before these.
"""

from __future__ import annotations

import functools
import hashlib
import os
import re
from pathlib import Path
from typing import Any

import numba
from numba.core import caching

LAYERS = ("omp", "tbb", "workqueue")
"""A step takes a millisecond or two, of which the compiled loops are a part. The threads of a work queue sleep between two calls and
take longer to wake than such a loop takes; those of OpenMP spin for a while. NUMBA_THREADING_LAYER overrides this."""

_PACKAGE = Path(__file__).resolve().parent
_IMPORTS = re.compile(
    r"^[ \t]*(?:from[ \t]+(halocline[\w.]*)[ \t]+import[ \t]+(\([^)]*\)|[^\n]*)|import[ \t]+(halocline[\w.]*))", re.MULTILINE
)


def prefer_spinning_threads() -> None:
    """Let numba choose among the threading layers in the order of :data:`LAYERS`, unless the environment has one; before they start."""
    if "NUMBA_THREADING_LAYER_PRIORITY" not in os.environ:
        numba.config.THREADING_LAYER_PRIORITY = list(LAYERS)  # type: ignore[attr-defined]


def threading_layer() -> str:
    """The layer that compiled loops of this process run on; starts its threads where none has run yet.

    Raises:
        ValueError: NUMBA_THREADING_LAYER asks for one that is not installed.
    """
    numba.get_num_threads()  # starts them
    return str(numba.threading_layer())


@functools.cache
def source_digest(path: Path) -> str:
    """Of a file of this package and all files of this package that it imports, directly or through others.

    A compiled kernel contains functions and constants of these.
    """
    files: set[Path] = set()
    waiting = [path.resolve()]
    while waiting:
        item = waiting.pop()
        if item not in files:
            files.add(item)
            waiting += _imported(item)
    parts = [f"{item.relative_to(_PACKAGE)}:{_content(item)[0]}" for item in sorted(files)]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _imported(path: Path) -> list[Path]:
    """Files of this package that are imported by name in a file."""
    found = []
    for module, names, plain in _IMPORTS.findall(_content(path)[1]):
        base = _PACKAGE.parent.joinpath(*(module or plain).split("."))
        candidates = [base.with_suffix(".py"), base / "__init__.py"]
        candidates += [base / f"{name}.py" for name in re.findall(r"\w+", names)]
        found += [item.resolve() for item in candidates if item.is_file()]
    return found


@functools.cache
def _content(path: Path) -> tuple[str, str]:
    """Hash and text of a file."""
    text = path.read_text(encoding="utf-8")
    return hashlib.sha256(text.encode()).hexdigest(), text


def stamp_kernels_with_imports() -> None:
    """Make the cache of numba compare what a kernel imports as well.

    On its own it compares the file of the kernel alone, and would go on with a function of another file that has changed. A numba
    that keeps its stamps elsewhere is left as it is.
    """
    mixin: Any = getattr(caching, "_SourceFileBackedLocatorMixin", None)
    if mixin is None or hasattr(mixin.get_source_stamp, "knows_imports"):
        return
    own = mixin.get_source_stamp

    def get_source_stamp(self: Any) -> Any:
        path = Path(self._py_file).resolve()
        ours = path.is_relative_to(_PACKAGE) and path.is_file()
        return (own(self), source_digest(path)) if ours else own(self)

    get_source_stamp.knows_imports = True  # type: ignore[attr-defined]
    mixin.get_source_stamp = get_source_stamp


prefer_spinning_threads()
stamp_kernels_with_imports()
