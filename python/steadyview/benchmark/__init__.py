"""Stabilisers over datasets: tables that can be trusted, resumed and repeated."""

from .datasets import Clip, find_clips
from .runner import known_records, run_benchmark
from .tables import Table, summarise, write_tables
from .tools import Tool, tools_of

__all__ = [
    "Clip",
    "Table",
    "Tool",
    "find_clips",
    "known_records",
    "run_benchmark",
    "summarise",
    "tools_of",
    "write_tables",
]
