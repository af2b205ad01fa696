"""What a change does, for people."""

from tollkeeper.core.revisions import Change
from tollkeeper.routes.differences import lines


def test_only_what_differs_is_shown_with_a_little_around_it() -> None:
    before = {"desc": "a", "uri": "/a", "update_time": 1}
    found = lines([Change("routes", "1", before, {**before, "uri": "/b", "update_time": 2})])

    assert found[0] == "~ routes/1"
    assert '    -  "uri": "/a"' in found
    assert '    +  "uri": "/b"' in found
    assert not any("update_time" in line for line in found)
    assert lines([Change("routes", "1", before, None)])[0] == "- routes/1"
