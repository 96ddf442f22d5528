"""Cached kernels know what they are made of, and threads come from the layer that was meant."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import halocline
from halocline.cli.doctor import examine
from halocline.compilation import source_digest

PACKAGE = Path(halocline.__file__).parent
KERNEL = """
from numba import njit
from halocline.toy_helper import scaled

@njit(cache=True)
def value(x):
    return scaled(x)
"""
HELPER = """
from numba import njit

@njit(inline="always")
def scaled(x):
    return {factor} * x
"""
USE = """
import sys
from pathlib import Path
import halocline
from halocline import compilation
compilation._PACKAGE = Path(sys.argv[1])
halocline.__path__.append(sys.argv[1])
from halocline import toy_kernel
print(toy_kernel.value(1.0), sum(toy_kernel.value.stats.cache_hits.values()))
"""
THREADS = """
import numba
{before}
from halocline.cli.doctor import _kernel_threads
item = _kernel_threads()
print(item.found, item.ok, item.required, item.remedy, sep="|")
"""


def python(code: str, *arguments: str, **environment: str) -> str:
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ, **environment}).stdout.strip()


def test_a_cached_kernel_is_compiled_again_when_a_function_of_another_file_changes(tmp_path: Path) -> None:
    folder = tmp_path / "halocline"
    folder.mkdir()
    folder = folder.resolve()
    (folder / "toy_kernel.py").write_text(KERNEL)
    seen = []
    for factor in (2.0, 2.0, 3.0, 3.0):
        (folder / "toy_helper.py").write_text(HELPER.format(factor=factor))
        value, hits = python(USE, str(folder), NUMBA_CACHE_DIR=str(tmp_path / "cache")).split()
        seen.append((float(value), int(hits)))
    assert seen == [(2.0, 0), (2.0, 1), (3.0, 0), (3.0, 1)], "value of the kernel, and whether it came from the cache"


def test_a_digest_follows_imports_through_other_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from halocline import compilation

    package = (tmp_path / "halocline").resolve()
    package.mkdir()
    monkeypatch.setattr(compilation, "_PACKAGE", package)
    texts = {"a": "from halocline import (\n    b,\n)", "b": "from halocline.c import x", "c": "x = 1", "d": "x = 1"}

    def digest(**changed: str) -> str:
        compilation._content.cache_clear()
        source_digest.cache_clear()
        for name, text in {**texts, **changed}.items():
            (package / f"{name}.py").write_text(text)
        return source_digest(package / "a.py")

    first = digest()
    assert digest() == first
    assert digest(d="x = 2") == first, "nothing imports it"
    assert len({first, digest(a="from halocline import b, d"), digest(b="from halocline.c import y"), digest(c="x = 2")}) == 4


def test_every_package_with_kernels_prepares_the_cache_first() -> None:
    kernels = [path for path in PACKAGE.rglob("*.py") if "njit" in path.read_text() and path.name != "compilation.py"]
    assert len(kernels) > 10
    for path in kernels:
        above = [path, *(folder / "__init__.py" for folder in path.parents if folder.is_relative_to(PACKAGE))]
        assert any("from halocline import compilation" in item.read_text() for item in above), path


@pytest.mark.skipif(sys.platform != "linux", reason="the OpenMP of numba's wheels for Linux")
def test_doctor_names_the_threads_that_kernels_use() -> None:
    found = {item.name: item for item in examine()}["kernel threads"]
    assert not found.required
    clean = {"NUMBA_NUM_THREADS": "2", "NUMBA_THREADING_LAYER": "default"}
    assert python(THREADS.format(before=""), **clean).split("|")[:2] == ["2 of OpenMP", "True"]
    text, ok, required, remedy = python(THREADS.format(before=""), NUMBA_NUM_THREADS="2", NUMBA_THREADING_LAYER="workqueue").split("|")
    assert "2 of a work queue" in text
    assert "slower than OpenMP" in text
    assert "NUMBA_THREADING_LAYER=workqueue" in text
    assert (ok, required) == ("False", "False")
    assert "NUMBA_THREADING_LAYER" in remedy


@pytest.mark.skipif(sys.platform != "linux", reason="the OpenMP of numba's wheels for Linux")
def test_doctor_says_when_other_code_started_the_threads() -> None:
    before = "numba.config.THREADING_LAYER_PRIORITY = ['workqueue', 'tbb', 'omp']\nnumba.get_num_threads()"
    text, ok, _, remedy = python(THREADS.format(before=before), NUMBA_NUM_THREADS="2", NUMBA_THREADING_LAYER="default").split("|")
    assert "a work queue" in text
    assert "other code started the threads first" in text
    assert ok == "False"
    assert "import halocline before" in remedy
