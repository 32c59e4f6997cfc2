import pytest
import torch

from textdl.errors import UsageError
from textdl.layers.embedding import begin_with


def test_known_rows_are_replaced_and_scaled_together():
    matrix = torch.full((4, 2), 0.5)
    begin_with(matrix, torch.tensor([[0.0, 0.0], [3.0, 0.0], [0.0, 0.0], [0.0, -1.0]]))
    # mean square of the lengths: (9 + 1) / 2 = 5
    expected = torch.tensor([[0.5, 0.5], [3 / 5**0.5, 0.0], [0.5, 0.5], [0.0, -1 / 5**0.5]])
    torch.testing.assert_close(matrix, expected)


def test_no_vector_at_all_changes_nothing():
    matrix = torch.full((4, 2), 0.5)
    begin_with(matrix, torch.zeros(4, 2))
    assert (matrix == 0.5).all()


def test_vectors_of_another_size_are_refused():
    with pytest.raises(UsageError, match=r"vectors of 3 features for 4 words .* --embedding-size 3"):
        begin_with(torch.zeros(4, 2), torch.zeros(4, 3))
