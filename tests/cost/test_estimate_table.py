import pytest

from protbert_classify.cost import estimate_table


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.5, "below 1 s"), (25, "25 s"), (600, "10 min"), (7200, "2 h"), (604800, "7 days")]
)
def test_durations_are_rounded_to_what_an_estimate_can_say(seconds, text):
    assert estimate_table._duration(seconds) == text
