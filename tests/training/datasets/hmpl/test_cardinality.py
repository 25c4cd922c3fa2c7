import pytest

from instructsam_training.datasets.hmpl.cardinality import cardinality_of


@pytest.mark.parametrize(
    ('targets', 'same_class', 'expected'),
    [
        ([1], [1, 2], '1to1'),
        ([1], [1], '1to1'),
        ([1, 3], [1, 2, 3], '1toN'),
        ([3, 1, 2], [1, 2, 3], '1toAll'),
        (['a', 'b'], ['b', 'a'], '1toAll'),
    ],
)
def test_subsets_of_hmpl_instruct(targets, same_class, expected):
    assert cardinality_of(targets, same_class) == expected


def test_targets_are_instances_of_the_class():
    with pytest.raises(ValueError, match='at least one'):
        cardinality_of([], [1])
    with pytest.raises(ValueError, match=r"\['4'\] of another"):
        cardinality_of([1, 4], [1, 2])
