"""The user's code: loaded where a graph is submitted, bundled, loaded again in a child process.

**A user's module hides no module of Python and no installed package, here or there**: modules
beside the graph's file are found last, and the file itself is loaded under a name of its own, so
`random.py` may be a graph.  The same files give the same bundle, byte for byte.
"""

import ast
import hashlib
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import io
import sys
import zipfile
import zipimport
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from nanoboost.errors import GraphError

if TYPE_CHECKING:
    from nanoboost.nano import Nano

PREFIX = "__graph__."
"""What a graph's own file is called as a module: `__graph__.` and the name of the file."""

BUNDLE_BYTES_MAX = 32 * 1024 * 1024
LARGEST_SHOWN = 3


class Beside(importlib.abc.MetaPathFinder):
    """Finds the modules beside a graph's file, or in a bundle, after all other finders."""

    def __init__(self, place: str) -> None:
        self.place = place
        self.found: set[str] = set()

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """The module of that name, if it is beside; the modules in a package are found by it."""
        if path is not None:
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, [self.place])
        if spec is None or spec.loader is None:
            return None
        self.found.add(fullname)
        return spec


def _look_beside(place: str) -> Beside:
    """Find modules at `place` from now on, and forget those from another place."""
    for finder in [each for each in sys.meta_path if isinstance(each, Beside)]:
        if finder.place == place:
            return finder
        sys.meta_path.remove(finder)
        for name in list(sys.modules):
            if name.partition(".")[0] in finder.found or name.startswith(PREFIX):
                del sys.modules[name]
    made = Beside(place)
    sys.meta_path.append(made)
    return made


def load_file(path: Path) -> ModuleType:
    """The module that a graph's file is.  Raises what the file raises."""
    _look_beside(str(path.parent))
    name = module_name(path)
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        # From the source: a .pyc of the same second and size could be another version's.
        exec(compile(path.read_bytes(), str(path), "exec", dont_inherit=True), module.__dict__)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def module_name(path: Path) -> str:
    """What `load_file` calls the module of a graph's file."""
    return PREFIX + path.stem.replace(".", "_")


# --- bundling --------------------------------------------------------------------------------


def bundle(path: Path) -> tuple[bytes, str]:
    """A zip of a graph's file and the local modules that it imports, and the zip's SHA-256."""
    files = {f"{module_name(path).replace('.', '/')}.py": path}
    waiting = [path]
    while waiting:
        for name, found in _imported(waiting.pop(), path.parent):
            if name not in files:
                files[name] = found
                if found.suffix == ".py":
                    waiting.append(found)
    contents = {name: files[name].read_bytes() for name in sorted(files)}
    size = sum(map(len, contents.values()))
    if size > BUNDLE_BYTES_MAX:
        largest = sorted(contents, key=lambda name: -len(contents[name]))[:LARGEST_SHOWN]
        raise GraphError(
            f"the modules beside {path.name} have {size} bytes, at most {BUNDLE_BYTES_MAX} can "
            f"travel; the largest: {', '.join(largest)}"
        )
    return _zipped(contents)


def _zipped(contents: dict[str, bytes]) -> tuple[bytes, str]:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        for name, data in contents.items():
            entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            entry.create_system = 3
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, data)
    return out.getvalue(), hashlib.sha256(out.getvalue()).hexdigest()


def _imported(path: Path, root: Path) -> Iterator[tuple[str, Path]]:
    """The files in `root` behind the imports of `path`: modules, and packages as a whole."""
    for top in sorted(_imports(path)):
        if _is_elsewhere(top, root):
            continue
        if (root / top / "__init__.py").is_file():
            yield from _package(root / top, root)
        elif (root / f"{top}.py").is_file():
            yield f"{top}.py", root / f"{top}.py"


def _imports(path: Path) -> set[str]:
    """The top-level names that a file imports anywhere."""
    try:
        tree = ast.parse(path.read_bytes(), str(path))
    except SyntaxError as error:
        raise GraphError(f"{path.name}: {error.msg} (line {error.lineno})") from None
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            names.add(node.module.partition(".")[0])
    return names


def _package(directory: Path, root: Path) -> Iterator[tuple[str, Path]]:
    for path in sorted(directory.rglob("*")):
        parts = path.relative_to(root).parts
        if "__pycache__" in parts or any(part.startswith(".") for part in parts):
            continue
        if path.is_symlink() and not path.resolve().is_relative_to(root.resolve()):
            raise GraphError(f"{'/'.join(parts)} is a link out of {root}: it cannot travel")
        if path.is_file():
            yield "/".join(parts), path


def _is_elsewhere(top: str, root: Path) -> bool:
    """Whether Python or an installed package provides the module, which is then what is meant."""
    if top == "nanoboost" or top in sys.stdlib_module_names:
        return True
    spec = importlib.machinery.PathFinder.find_spec(top)
    if spec is None or spec.loader is None:
        return False
    return not Path(spec.origin or "").is_relative_to(root)


# --- in a child ------------------------------------------------------------------------------


def load_class(bundle_path: Path, module: str, qualname: str) -> "type[Nano]":
    """A Nano class, from a bundle whose digest was checked, or from an installed package."""
    _look_beside(str(bundle_path))
    found: Any = sys.modules.get(module)
    if found is None:
        _check_none_is_hidden(bundle_path)
        if module.startswith(PREFIX):
            found = _load_zipped(bundle_path, module)
        else:
            found = importlib.import_module(module)
    for name in qualname.split("."):
        found = getattr(found, name)
    return found


def _load_zipped(bundle_path: Path, name: str) -> ModuleType:
    directory, _, inside = name.rpartition(".")
    importer = zipimport.zipimporter(str(bundle_path / directory))
    module = ModuleType(name)
    module.__file__ = importer.get_filename(inside)
    module.__dict__["__loader__"] = importer  # tracebacks find the source lines by it
    sys.modules[name] = module
    try:
        exec(importer.get_code(inside), module.__dict__)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _check_none_is_hidden(bundle_path: Path) -> None:
    """This machine may have a package that was not there where the job was submitted."""
    with zipfile.ZipFile(bundle_path) as archive:
        tops = {name.partition("/")[0].removesuffix(".py") for name in archive.namelist()}
    for top in sorted(tops - {PREFIX.rstrip(".")}):
        spec = importlib.machinery.PathFinder.find_spec(top)
        if top in sys.stdlib_module_names or (spec and spec.loader):
            where = f" ({spec.origin})" if spec and spec.origin else ""
            raise GraphError(f"a module {top} is installed here{where} and hides yours: rename it")
