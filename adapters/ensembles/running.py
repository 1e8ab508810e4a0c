"""What a version's file says of items."""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from adapters.base import F32
from adapters.ensembles.members import Member
from adapters.errors import RequirementMissing

if TYPE_CHECKING:
    import onnxruntime

EMBEDDING = "embedding"
"""Input of a file that takes embeddings."""


@dataclass(frozen=True, eq=False)
class Running:
    """A member whose file is open.

    Attributes:
        member: Which.
    """

    member: Member

    def check(self) -> None:
        """Refuse a file that does not take the member's columns.

        Raises:
            RequirementMissing: It takes no embedding, or one of another width.
        """
        name, entries = self.member.name, self._session.get_inputs()
        inputs = [entry.name for entry in entries]
        if inputs != [EMBEDDING]:
            raise RequirementMissing(
                f"{name} takes {', '.join(inputs)} instead of an embedding: a table's row, or what the backbone holds "
                "inside, where it was trained together with its last blocks. It cannot be compiled into an average; "
                "leave it out, or fit a head on the embeddings."
            )
        width, given = entries[0].shape[1], self.member.behind - self.member.first
        if isinstance(width, int) and width != given:
            raise RequirementMissing(f"{name} takes embeddings {width} wide, and its own are {given} wide here.")

    def answer(self, z: F32) -> F32:
        """Ask it.

        Args:
            z: (n, d) float32: embeddings of all backbones side by side.

        Returns:
            (n, k') float32: its probabilities at its own temperature, or (n, 1) its values.
        """
        self.check()
        own = np.ascontiguousarray(z[:, self.member.first : self.member.behind])
        output = "probabilities" if self.member.classes else "value"
        found: F32 = self._session.run([output], {EMBEDDING: own})[0]
        return found

    @cached_property
    def _session(self) -> "onnxruntime.InferenceSession":
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        return onnxruntime.InferenceSession(self.member.onnx, options, providers=["CPUExecutionProvider"])
