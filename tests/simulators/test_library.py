from __future__ import annotations

import ctypes
import re
from pathlib import Path

import pytest

from hwgen.errors import HwgenError
from hwgen.simulators import library
from hwgen.simulators.library import shared_library

FILES = {
    "twice.cpp": '#include "two.h"\nextern "C" int twice(int x) { return kTwo * x; }',
    "two.h": "const int kTwo = 2;",
}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HWGEN_CACHE_DIR", str(tmp_path))
    return tmp_path.resolve()


def test_a_library_is_built_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = shared_library("twice", "twice.cpp", FILES)
    assert path.parent.parent == folder
    assert ctypes.CDLL(str(path)).twice(21) == 42
    made = path.stat().st_mtime_ns
    assert shared_library("twice", "twice.cpp", FILES) == path
    assert path.stat().st_mtime_ns == made
    # Every file counts, and so does the processor.
    other = shared_library("twice", "twice.cpp", {**FILES, "two.h": "const int kTwo = 3;"})
    assert ctypes.CDLL(str(other)).twice(21) == 63
    monkeypatch.setattr(library, "_processor", lambda: "#define __AVX9__ 1")
    assert shared_library("twice", "twice.cpp", FILES) != path


def test_the_processor_is_what_the_compiler_knows_of_it() -> None:
    assert "#define __VERSION__" in library._processor()


def test_sums_and_products_stay_apart() -> None:
    """Joined to one instruction, the product would not be rounded."""
    text = 'extern "C" double joined(double a, double b, double c) { return a * b + c; }'
    found = ctypes.CDLL(str(shared_library("joined", "joined.cpp", {"joined.cpp": text}))).joined
    found.restype = ctypes.c_double
    found.argtypes = [ctypes.c_double] * 3
    assert found(1 + 2.0**-52, 1 - 2.0**-52, -1.0) == 0


def test_a_refusal_is_told_with_its_first_line(folder: Path) -> None:
    message = r"twice: the library cannot be built: twice\.cpp:1:10: fatal error: two\.h: .* \(whole log: "
    with pytest.raises(HwgenError, match=f"^{message}{re.escape(str(folder))}/twice-.*\\.log\\)$") as error:
        shared_library("twice", "twice.cpp", {"twice.cpp": FILES["twice.cpp"]})
    assert "\n" not in str(error.value)
