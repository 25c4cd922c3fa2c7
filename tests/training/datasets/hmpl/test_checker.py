import pytest

from instructsam_training.datasets.hmpl.candidate import Candidate
from instructsam_training.datasets.hmpl.checker import check_questions, find_failures, number_instances, parse_choices
from instructsam_training.datasets.io.sam3i_file import LevelTexts

TEXTS = LevelTexts(('mug',), ('both left mugs',), ('what holds the coffee', 'drink from these'))
CANDIDATE = Candidate('7/mug/1', 'a.jpg', (4, 6), 'mug', (11, 12), (11, 12, 13)).written(TEXTS, ('the left fork',))
INSTANCES = (11, 12, 13, 20)
NUMBERS = number_instances(CANDIDATE, INSTANCES, seed=0)
QUESTIONS = list(check_questions(CANDIDATE, NUMBERS))


def right_replies() -> list[str]:
    return [', '.join(sorted(question.correct)) for question in QUESTIONS]


def test_each_instruction_is_asked_for_its_instances_and_for_the_name_of_the_class():
    targets = frozenset(str(NUMBERS[each]) for each in CANDIDATE.targets)
    assert [(question.about, question.correct) for question in QUESTIONS] == [
        ('simple', targets),
        ('simple/name', frozenset(['yes'])),
        ('complex', targets),
        ('complex/name', frozenset(['no'])),
        ('complex', targets),
        ('complex/name', frozenset(['no'])),
        ('negative', frozenset(['0'])),
    ]
    assert all(question.text in question.prompt for question in QUESTIONS)
    assert '"mug"' in QUESTIONS[1].prompt
    assert QUESTIONS[0].choices == ('0', '1', '2', '3', '4')


def test_only_all_right_answers_pass():
    assert find_failures(QUESTIONS, right_replies()) == ()
    for number in range(len(QUESTIONS)):
        replies = right_replies()
        replies[number] = 'perhaps'
        (failure,) = find_failures(QUESTIONS, replies)
        assert QUESTIONS[number].text in failure
    one_of_two = [str(NUMBERS[11]), *right_replies()[1:]]
    assert len(find_failures(QUESTIONS, one_of_two)) == 1


def test_nothing_checked_is_no_success():
    with pytest.raises(ValueError, match='a reply to each question'):
        find_failures([], [])
    with pytest.raises(ValueError, match='got 1 for 7'):
        find_failures(QUESTIONS, ['1'])


@pytest.mark.parametrize(
    ('reply', 'choices', 'expected'),
    [
        ('2 and 3.', ('0', '1', '2', '3'), {'2', '3'}),
        ('0', ('0', '1'), {'0'}),
        ('Number 7', ('0', '1'), None),
        ('', ('0', '1'), None),
        ('Yes, it does.', ('yes', 'no'), {'yes'}),
        ('maybe', ('yes', 'no'), None),
    ],
)
def test_replies(reply, choices, expected):
    assert parse_choices(reply, choices) == expected


def test_numbers_are_shuffled_but_reproducible():
    numbers = [number_instances(CANDIDATE, INSTANCES, seed) for seed in range(20)]
    orders = {tuple(each[instance] for instance in INSTANCES) for each in numbers}
    assert len(orders) > 5
    assert number_instances(CANDIDATE, INSTANCES, 3) == number_instances(CANDIDATE, INSTANCES, 3)
    with pytest.raises(ValueError, match=r'missing \[12\]'):
        number_instances(CANDIDATE, (11, 13), 0)
