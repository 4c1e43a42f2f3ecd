"""Checks that each layer knows only the ones below it; prints every offence and exits with 1.

C++, by file suffix: kernels include neither torch nor pybind11, op files no pybind11, and the heavy
torch headers appear nowhere. Python: imports between the packages of steadyview run downwards.
"""

import ast
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

INCLUDE = re.compile(r'^\s*#\s*include\s*[<"]([^>"]+)[>"]', re.MULTILINE)
TORCH = re.compile(r"^(torch|ATen|c10)/")
HEAVY = {"torch/extension.h", "torch/all.h", "torch/torch.h"}
# Files that may see tensors: ops, bindings, and the checks that ops share.
OP_FILES = re.compile(r"(_op\.cpp|_op\.h|common/check\.h)$")
BINDING_FILES = re.compile(r"(_bind\.cpp|bindings_\w+\.cpp)$")

# Lower numbers may not import higher ones.
PYTHON_LAYERS = {
    "errors": 0, "files": 0, "_core": 0, "_C": 0,
    "video": 1, "ops": 1, "models": 1,
    "motion": 2, "metrics": 2,
    "scene": 3, "fill": 3, "report": 3,
    "render": 4, "path": 4, "synthetic": 4,
    "options": 5, "methods": 5,
    "stream": 6, "api": 6, "doctor": 6,
    "benchmark": 7, "evaluation": 8, "jobs": 8,
    "cli_common": 9, "cli_measure": 9, "cli": 9, "__main__": 10,
}  # fmt: skip


def cpp_offences() -> list[str]:
    offences = []
    for path in sorted((ROOT / "csrc").rglob("*")):
        if path.suffix not in {".h", ".cpp", ".cu", ".cuh", ".inl"}:
            continue
        name = path.relative_to(ROOT).as_posix()
        for header in INCLUDE.findall(path.read_text()):
            if header in HEAVY:
                offences.append(f"{name}: includes the banned heavy header {header}")
            elif header.startswith("pybind11/") and not BINDING_FILES.search(name):
                offences.append(f"{name}: only *_bind.cpp may include {header}")
            elif TORCH.match(header) and not (OP_FILES.search(name) or BINDING_FILES.search(name)):
                offences.append(f"{name}: a kernel may not include {header}")
    return offences


def imported_modules(tree: ast.AST, package: list[str]) -> list[str]:
    names = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join(base + ([node.module] if node.module else []))
            names += [f"{module}.{alias.name}" for alias in node.names]
    return names


def python_offences() -> list[str]:
    offences = []
    source = ROOT / "python"
    for path in sorted((source / "steadyview").rglob("*.py")):
        parts = list(path.relative_to(source).with_suffix("").parts)
        if len(parts) < 2 or parts[1] == "__init__":
            continue
        if parts[1] not in PYTHON_LAYERS:
            offences.append(f"{path.relative_to(ROOT)}: add {parts[1]!r} to PYTHON_LAYERS")
            continue
        for name in imported_modules(ast.parse(path.read_text()), parts[:-1]):
            target = name.split(".")
            if target[0] != "steadyview" or len(target) < 2 or target[1] == parts[1]:
                continue
            if PYTHON_LAYERS.get(target[1], -1) > PYTHON_LAYERS[parts[1]]:
                offences.append(f"{path.relative_to(ROOT)}: {parts[1]} may not import {target[1]}")
    return offences


if __name__ == "__main__":
    found = cpp_offences() + python_offences()
    print("\n".join(found) or "layers: every file knows only the layers below it")
    sys.exit(bool(found))
