"""FaissNearestNeighbour: the rows whose vectors are nearest to that of each row."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field, PrivateAttr

from common.errors import RowError, UsageError
from common.parameters.runtime_parameters import RuntimeOption
from common.steps.base import GlobalStep, StepInput, StepOutput
from common.steps.extras import not_installed
from common.steps.vectors.matrix import matrix_of

if TYPE_CHECKING:
    import numpy as np

    Singles = np.ndarray[Any, np.dtype[np.float32]]

_PREFIX = "METRIC_"
_EXACT = "Flat"
_NONE = -1
"""What an index says in place of a neighbour that it did not find."""
_PLACES = re.compile(r"Error: (?:'.*' failed: )?|\.(?:h|cpp):\d+: ")
"""Of a message of faiss, what stands before the reason."""


class FaissNearestNeighbour(GlobalStep):
    """Adds `nn_indices`, the numbers of the `k` rows whose `embedding` is nearest, and `nn_scores`, how near they are.

    Rows count from 0 in the order of the step's input; the nearest comes first, and no row is its own neighbour.
    A score is what the metric of the index gives: the square of the distance by default, so less is nearer; with
    `metric_type: INNER_PRODUCT` the product, so more is nearer. For the cosine, add `string_factory: "L2norm,Flat"`,
    which scales vectors to length 1. There are fewer than `k` where there are fewer rows, or an approximate index finds
    fewer.

    Without `string_factory` the search is exact: time grows with the square of the rows. An approximate index, such as
    `IVF300,Flat` or `HNSW32`, is faster for a million rows, and may miss some. Vectors are compared as 32-bit floats.
    Needs the package faiss: `pip install "penstock[faiss]"`. After "The Faiss library" (Douze et al., 2024,
    arXiv:2401.08281).
    """

    _version: ClassVar[int] = 1

    final_errors = (RowError,)

    device: RuntimeOption[int | list[int] | None] = Field(
        default=None,
        description="GPU to search on, or several, or all of them for a negative number; needs a build of faiss for "
        "GPUs. Default: the CPU.",
    )
    string_factory: RuntimeOption[str | None] = Field(
        default=None,
        description="The index, in the words of faiss's index_factory, such as IVF300,Flat; default: Flat.",
    )
    metric_type: RuntimeOption[int | str | None] = Field(
        default=None,
        description="The metric: one of faiss.METRIC_..., by its number or name, such as 0 or INNER_PRODUCT; default: "
        "L2.",
    )
    k: RuntimeOption[int] = Field(default=1, ge=1, description="Neighbours to find for each row.")
    search_batch_size: RuntimeOption[int] = Field(default=50, ge=1, description="Rows to search for at a time.")
    train_size: RuntimeOption[int | None] = Field(
        default=None,
        ge=1,
        description="Vectors that an index that is trained learns from, evenly spaced among the rows; default: all.",
    )

    _metric: int = PrivateAttr(default=1)

    @property
    def inputs(self) -> list[str]:
        return ["embedding"]

    @property
    def outputs(self) -> list[str]:
        return ["nn_indices", "nn_scores"]

    def check_here(self) -> None:
        """Raises as `load`."""
        self.load()

    def load(self) -> None:
        """Checks the options.

        Raises:
            UsageError: faiss is not installed, or does not know the index, the metric or the device.
        """
        try:
            import faiss
        except ImportError as error:
            raise not_installed("faiss", "faiss", error) from None
        self._metric = _number_of("L2" if self.metric_type is None else self.metric_type)
        if self.string_factory is not None:
            try:
                faiss.index_factory(64, self.string_factory, self._metric)
            except RuntimeError as error:
                # Others than this may lie in the length of the vectors, which is not known yet.
                if "could not parse" in str(error):
                    raise UsageError(
                        f"faiss knows no index '{self.string_factory}'; string_factory is such as "
                        "Flat, IVF300,Flat or HNSW32"
                    ) from None
        if self.device is not None and not (hasattr(faiss, "StandardGpuResources") and faiss.get_num_gpus()):
            raise UsageError(
                f"device is {self.device}, but this build of faiss finds no GPU; install one for "
                "GPUs on a host that has one, or leave device out to search on the CPU"
            )

    def process(self, inputs: StepInput) -> StepOutput:
        """Yields all rows, in order, each with its neighbours.

        Raises:
            RowError: an embedding is missing or no vector of finite numbers as long as the others, or faiss cannot
                search them with this index; this ends the run.
        """
        vectors = self._singles(inputs)
        try:
            found = self._neighbours(vectors) if inputs else []
        except RuntimeError as error:
            why = _PLACES.split(str(error))[-1]
            raise RowError(
                f"faiss cannot search {len(vectors)} vectors of {vectors.shape[1]} numbers with the index "
                f"'{self.string_factory or _EXACT}': {why}; choose another string_factory, or leave it out"
            ) from None
        yield [
            {**row, "nn_indices": [other for other, _ in near], "nn_scores": [score for _, score in near]}
            for row, near in zip(inputs, found, strict=True)
        ]

    def _singles(self, rows: StepInput) -> Singles:
        import numpy as np

        vectors = matrix_of(rows)
        with np.errstate(over="ignore"):
            singles: Singles = vectors.astype(np.float32)
        if (large := np.flatnonzero(~np.isfinite(singles).all(axis=1))).size:
            raise RowError(f"row {large[0]}: column 'embedding' holds a number too large for the 32 bits of faiss")
        return singles

    def _neighbours(self, vectors: Singles) -> list[list[tuple[int, float]]]:
        """For each vector the numbers of the nearest others, and their scores."""
        import faiss
        import numpy as np

        count = len(vectors)
        index = self._placed(faiss, faiss.index_factory(vectors.shape[1], self.string_factory or _EXACT, self._metric))
        if not index.is_trained:
            size = min(self.train_size or count, count)
            index.train(vectors[np.arange(size) * count // size])
        index.add(vectors)
        near: list[list[tuple[int, float]]] = []
        for start in range(0, count, self.search_batch_size):
            # One more than k: nearest to a row is mostly the row itself.
            found = index.search(vectors[start : start + self.search_batch_size], min(self.k + 1, count))
            for number, (scores, others) in enumerate(zip(*found, strict=True), start):
                pairs = zip(others.tolist(), scores.tolist(), strict=True)
                near.append([(other, score) for other, score in pairs if other not in (number, _NONE)][: self.k])
        return near

    def _placed(self, faiss: Any, index: Any) -> Any:
        if self.device is None:
            return index
        if isinstance(self.device, list):
            return faiss.index_cpu_to_gpus_list(index, gpus=self.device)
        if self.device < 0:
            return faiss.index_cpu_to_all_gpus(index)
        return faiss.index_cpu_to_gpu(faiss.StandardGpuResources(), self.device, index)


def _number_of(metric: int | str) -> int:
    """The number of a metric. Raises UsageError: faiss has none such."""
    import faiss

    known = {name.removeprefix(_PREFIX): int(getattr(faiss, name)) for name in dir(faiss) if name.startswith(_PREFIX)}
    if isinstance(metric, str) and (name := metric.removeprefix(_PREFIX)) in known:
        return known[name]
    if isinstance(metric, int) and metric in known.values():
        return metric
    shown = ", ".join(f"{number} ({name})" for name, number in sorted(known.items(), key=lambda item: item[1]))
    raise UsageError(f"faiss has no metric_type {metric!r}; there are {shown}")
