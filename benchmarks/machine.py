"""What the benchmarks share with `steadyview benchmark`."""

from pathlib import Path

from steadyview.benchmark.machine import Run, machine_facts, measure

__all__ = ["ROOT", "Run", "machine_facts", "measure"]

ROOT = Path(__file__).resolve().parent.parent
