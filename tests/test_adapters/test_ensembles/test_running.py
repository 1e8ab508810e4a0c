import numpy as np
import onnx
import pytest

from adapters.ensembles.members import Member
from adapters.ensembles.running import Running
from adapters.errors import RequirementMissing
from adapters.heads import AffineHead


def test_a_member_answers_from_its_own_columns(stranger):
    weight = np.eye(2, 3)
    z = np.array([[9, 9, 1, 2, 3, 9]], dtype=np.float32)
    p = Running(stranger("ab", d=3, weight=weight, temperature=1.0, first=2)).answer(z)
    np.testing.assert_allclose(p, [np.exp([1, 2]) / np.exp([1, 2]).sum()], rtol=1e-6)


def test_numbers_are_answered_as_values():
    head = AffineHead(np.array([[2.0, 1.0]], np.float32), np.array([1.0], np.float32), ())
    running = Running(Member("number:1", head.onnx(1.0), (), {}, 0, 2))
    np.testing.assert_allclose(running.answer(np.array([[3, 4]], np.float32)), [[11.0]])


def test_another_width_is_refused(stranger):
    member = stranger("ab", d=3)
    wide = Member("wide:1", member.onnx, member.classes, {}, 0, 5)
    with pytest.raises(RequirementMissing, match="wide:1 takes embeddings 3 wide"):
        Running(wide).answer(np.zeros((1, 5), np.float32))


def test_a_part_of_a_backbone_is_refused(stranger):
    member = stranger("ab", d=3)
    model = onnx.load_from_string(member.onnx)
    model.graph.input[0].name = model.graph.node[0].input[0] = "block4"
    inside = Member("tuned:1", model.SerializeToString(), member.classes, {}, 0, 3)
    with pytest.raises(RequirementMissing, match="tuned:1 takes block4 instead of an embedding"):
        Running(inside).check()
