"""The same benchmark over many machines, through Ray (`pip install steadyview[cluster]`)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from ..errors import InputError, OptionError
from .runner import Cell, begun_record, run_cell

__all__ = ["RayRunner"]

#: A clip whose worker is lost is run again elsewhere, so often.
RETRIES = 4


class RayRunner:
    """Runs cells as Ray tasks; give it to `run_benchmark` as `run_all`.

    Every machine must see the clips and the output folder under the same names, as on a cluster's
    shared file system, and have steadyview installed. Records are written by the machine that
    asks, as they come.

    Args:
        address: of a running cluster ("auto", "ray://host:10001"), or "local" to start one here.
        cpus, gpus: that each task claims: cells that are timed together share no core.

    Raises:
        OptionError: Ray is not installed.
        InputError: the cluster cannot be reached.
    """

    def __init__(self, address: str = "local", *, cpus: float = 2, gpus: float = 0) -> None:
        try:
            import ray
        except ImportError:
            raise OptionError("ray: is not installed: pip install 'steadyview[cluster]'") from None
        self._ray: Any = ray
        self._started = not ray.is_initialized()
        if self._started:
            where = None if address == "local" else address
            try:
                ray.init(address=where, log_to_driver=False, include_dashboard=False)
            except (ConnectionError, RuntimeError, ValueError) as error:
                raise InputError(f"ray: cannot reach {address}: {error}") from error
        # A lost worker is the cluster's fault; what a tool does wrong comes back as a record.
        options = {"num_cpus": cpus, "num_gpus": gpus, "max_retries": RETRIES}
        self._task = self._ray.remote(**options)(run_cell)

    def __call__(self, cells: Sequence[Cell]) -> Iterator[dict[str, Any]]:
        ray = self._ray
        waiting = {self._task.remote(cell): cell for cell in cells}
        while waiting:
            finished, _ = ray.wait(list(waiting))
            for reference in finished:
                cell = waiting.pop(reference)
                try:
                    yield ray.get(reference)
                except ray.exceptions.RayError as error:
                    lost = f"lost on the cluster {RETRIES + 1} times: {type(error).__name__}"
                    yield begun_record(cell) | {"status": "failed", "error": lost}

    def close(self) -> None:
        """Leaves the cluster; ends one that was started here."""
        if self._started:
            self._ray.shutdown()

    def __enter__(self) -> RayRunner:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
