"""Write files so that nobody ever sees half of one, and nothing that was there is lost by a mistake.

Every output of every command goes through here. `check_output` says before the work whether a path can be written,
`write_all` and `replacing` write it. What a path leads to decides how:

- a regular file, or a new name: written under a temporary name beside it, then renamed over it;
- a symbolic link: the file that it leads to is replaced, the link stays;
- a character device or a pipe (``/dev/null``, ``/dev/stdout``, a FIFO with a reader): written through, never replaced;
- a read-only file, a folder, a block device, a socket: refused.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from hwgen.errors import HwgenError, os_error

__all__ = ["check_folder", "check_output", "make_folder", "replacing", "resolved", "write_all", "write_atomic"]

FORMATS: Mapping[str, str] = {
    ".v": "Verilog",
    ".sv": "Verilog",
    ".vh": "Verilog",
    ".json": "JSON",
    ".sdc": "SDC",
    ".toml": "TOML",
    ".csv": "CSV",
    ".md": "Markdown",
    ".parquet": "Parquet",
    ".npy": "NumPy",
    ".png": "PNG",
    ".svg": "SVG",
    ".pdf": "PDF",
    ".html": "HTML",
    ".tex": "LaTeX",
    ".lib": "Liberty",
    ".gguf": "GGUF",
    ".safetensors": "safetensors",
}
"""What a suffix says is inside."""

_DESCRIPTOR = r"/dev/fd/(\d+)|/proc/(?:self|thread-self|%d)/fd/(\d+)"


def resolved(path: str | Path) -> Path:
    """The path that is written when ``path`` is: absolute, links followed. Two outputs with one of these are one file.

    Raises `HwgenError` for a path that no system takes.
    """
    try:
        return Path(os.path.realpath(path))
    except (OSError, ValueError) as error:
        raise HwgenError(f"path {str(path)!r}: must be a path: {error}") from error


def check_output(
    path: str | Path,
    what: str,
    formats: Iterable[str] = (),
    *,
    need_suffix: bool = False,
    bare: bool = False,
    make_parents: bool = False,
) -> None:
    """Refuse a path that an output file cannot be written to; nothing is written.

    Parameters
    ----------
    what: whose output it is, e.g. ``emit: --sdc``.
    formats: names in `FORMATS` that can be written there; a suffix that promises another one is refused.
    need_suffix: refuse also a suffix that promises nothing, and none; with ``bare`` none is allowed.
    make_parents: missing folders above are made when the file is written.

    Raises `HwgenError`.
    """
    wanted = tuple(formats)
    text = str(path)
    if not text or text == "-" or (text.endswith(os.sep) and not Path(path).is_dir()):
        raise HwgenError(f"{what} must be a file, not {text!r}")
    mode = _mode(path, what)
    special = mode is not None and _special(Path(path))
    if wanted and not special:
        suffix = Path(path).suffix.lower()
        known = FORMATS.get(suffix)
        if known not in wanted and (known is not None or need_suffix) and not (bare and not suffix):
            ends = " or ".join(end for one in wanted for end, name in FORMATS.items() if name == one)
            raise HwgenError(f"{what} must end in {ends}, not {text!r}")
    if mode is None:
        _check_parent(Path(path), what, make_parents)
        return
    if stat.S_ISDIR(mode):
        raise HwgenError(f"{what}: output must be a file, not the folder {text!r}")
    if stat.S_ISBLK(mode) or stat.S_ISSOCK(mode):
        kind = "block device" if stat.S_ISBLK(mode) else "socket"
        raise HwgenError(f"{what}: output must be a file, not the {kind} {text!r}")
    # Whoever may do everything would replace a file that somebody protected: the mode is asked, not the system.
    if not mode & 0o222 or not os.access(path, os.W_OK):
        raise HwgenError(f"{what}: cannot write {text!r}: it is read-only")
    if not special:
        _check_parent(resolved(path), what, False)


def check_folder(path: str | Path, what: str, *, make_parents: bool = False) -> None:
    """Refuse a path that an output folder cannot be: it is a folder that can be written, or can be made.

    Raises `HwgenError`.
    """
    text = str(path)
    mode = _mode(path, what) if text else None
    if not text or (mode is not None and not stat.S_ISDIR(mode)):
        raise HwgenError(f"{what} must be a folder, not {text!r}")
    if mode is None:
        _check_parent(Path(path), what, make_parents)
    elif not os.access(path, os.W_OK | os.X_OK):
        raise HwgenError(f"{what}: cannot write in the folder {text!r}: Permission denied")


def _mode(path: str | Path, what: str) -> int | None:
    """What the path leads to; None for nothing yet."""
    try:
        return os.stat(path).st_mode
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise HwgenError(f"{what}: cannot write {str(path)!r}: {reason}") from error


def _check_parent(path: Path, what: str, make_parents: bool) -> None:
    # A link that leads nowhere yet: its target is what will be made.
    parent = resolved(path).parent
    while make_parents and not parent.exists() and parent != parent.parent:
        parent = parent.parent
    reason = None
    if not parent.exists():
        reason = os.strerror(errno.ENOENT)
    elif not parent.is_dir():
        reason = os.strerror(errno.ENOTDIR)
    else:
        # Permissions do not say it all (read-only disks, /proc, quotas): a file is made there, and removed.
        try:
            with tempfile.NamedTemporaryFile(dir=parent, prefix=".hwgen-", suffix=".tmp"):
                pass
        except OSError as error:
            raise os_error(f"{what}: cannot write {str(path)!r}", error) from error
    if reason is not None:
        raise HwgenError(f"{what}: cannot write {str(path)!r}: {reason}")
    try:
        # A name that is too long is found out before the work; the temporary one beside it is short.
        os.stat(path)
    except FileNotFoundError:
        pass
    except OSError as error:
        raise HwgenError(f"{what}: cannot write {str(path)!r}: {error.strerror}") from error


def write_atomic(path: str | Path, content: str | bytes, what: str) -> None:
    """Write ``content`` to a temporary name beside ``path``, then rename.

    Raises `HwgenError` naming ``what`` and the path when the folder is missing or not writable; nothing is left behind.
    """
    write_all({Path(path): content}, what)


def write_all(
    files: Mapping[Path, str | bytes] | Iterable[tuple[Path, str | bytes]], what: str, folders: Iterable[Path] = ()
) -> None:
    """Write several files, all or none: every one lies whole under a temporary name before the first is renamed.

    ``folders`` are made first, and unmade when something fails. Raises `HwgenError` as `write_atomic`, and when two of
    the files are one.
    """
    folders = list(folders)
    pairs = list(files.items() if isinstance(files, Mapping) else files)
    seen: dict[Path, Path] = {}
    for target, _ in pairs:
        check_output(target, what, make_parents=_under(target, folders))
        real = resolved(target)
        if real in seen and not _special(target):
            raise HwgenError(f"{what}: {str(seen[real])!r} and {str(target)!r} are one file, each needs its own")
        seen[real] = target
    made: list[Path] = []
    try:
        for folder in folders:
            if not folder.exists():
                make_folder(folder, what)
                made.append(folder)
        with contextlib.ExitStack() as stack:
            commits = []
            for target, content in pairs:
                raw = content.encode() if isinstance(content, str) else content
                commits.append((target, stack.enter_context(_staged(target, what)), raw))
            for target, staged, raw in commits:
                try:
                    staged.write_bytes(raw)
                except OSError as error:
                    raise os_error(f"{what}: cannot write {str(target)!r}", error) from error
            _commit([(target, staged) for target, staged, _ in commits], what)
    except BaseException:
        for folder in reversed(made):
            with contextlib.suppress(OSError):
                folder.rmdir()
        raise


@contextlib.contextmanager
def replacing(path: str | Path, what: str) -> Iterator[Path]:
    """Give a temporary file for a program or a library to write; when the block ends well it takes the place of
    ``path``, as `write_all` would write it.

    Raises `HwgenError` when that is not possible; an ``OSError`` of the block is told as one of the output.
    """
    target = Path(path)
    check_output(target, what)
    with _staged(target, what) as staged:
        try:
            yield staged
        except OSError as error:
            raise os_error(f"{what}: cannot write {str(target)!r}", error) from error
        _commit([(target, staged)], what)


def _under(target: Path, folders: Iterable[Path]) -> bool:
    return any(folder in target.parents for folder in folders)


def _special(target: Path) -> bool:
    try:
        return not stat.S_ISREG(os.stat(target).st_mode) or _descriptor(target) is not None
    except OSError:
        return False


def _descriptor(target: Path) -> int | None:
    """The open file that a name such as ``/dev/stdout`` stands for."""
    named = {"/dev/stdin": 0, "/dev/stdout": 1, "/dev/stderr": 2}.get(str(target))
    if named is not None:
        return named
    match = re.fullmatch(_DESCRIPTOR % os.getpid(), str(target))
    return int(match[1] or match[2]) if match else None


@contextlib.contextmanager
def _staged(target: Path, what: str) -> Iterator[Path]:
    """An empty temporary file, beside the file that will be replaced; gone when the block ends."""
    folder = None if _special(target) else resolved(target).parent
    try:
        # The name of the target is left out: with it a long one would become too long.
        handle, name = tempfile.mkstemp(dir=folder, prefix=".hwgen-", suffix=".tmp")
    except OSError as error:
        raise os_error(f"{what}: cannot write {str(target)!r}", error) from error
    os.close(handle)
    try:
        yield Path(name)
    finally:
        Path(name).unlink(missing_ok=True)


def _commit(staged: list[tuple[Path, Path]], what: str) -> None:
    """Put staged files in their places; when one cannot be, those before it are put back."""
    umask = os.umask(0)
    os.umask(umask)
    undo: list[tuple[Path, Path | None]] = []
    target = Path()
    try:
        for target, temporary in sorted(staged, key=lambda pair: not _special(pair[0])):
            if _special(target):
                _through(target, temporary.read_bytes())
                continue
            real = resolved(target)
            old = real.exists()
            os.chmod(temporary, stat.S_IMODE(real.stat().st_mode) if old else 0o666 & ~umask)
            kept = temporary.with_suffix(".old") if old and len(staged) > 1 else None
            if kept is not None:
                with contextlib.suppress(OSError):
                    os.link(real, kept)
            undo.append((real, kept))
            os.replace(temporary, real)
    except BaseException as error:
        for real, kept in reversed(undo):
            with contextlib.suppress(OSError):
                if kept is not None:
                    os.replace(kept, real)
                elif real != resolved(target):
                    real.unlink()
        if isinstance(error, OSError):
            raise os_error(f"{what}: cannot write {str(target)!r}", error) from error
        raise
    finally:
        for _, kept in undo:
            if kept is not None:
                kept.unlink(missing_ok=True)


def _through(target: Path, raw: bytes) -> None:
    """Write into a device, a pipe, or an open file."""
    own = _descriptor(target)
    if own is not None:
        sys.stdout.flush()
        handle = os.dup(own)
    else:
        # A pipe that nobody reads would make the opening wait for ever: asked not to, the system says so.
        handle = os.open(target, os.O_WRONLY | os.O_NONBLOCK)
        os.set_blocking(handle, True)
    with os.fdopen(handle, "wb") as stream:
        stream.write(raw)


def make_folder(path: str | Path, what: str) -> Path:
    """Create a folder unless it is there; its parent must be.

    Raises `HwgenError` naming ``what`` and the path when that is not possible.
    """
    folder = Path(path)
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise os_error(f"{what}: cannot make the folder {str(folder)!r}", error) from error
    return folder
