from benchmarks.report.turns import about, by_turns


def test_what_is_measured_is_told_with_its_round() -> None:
    told: list[str] = []
    for number, tell in by_turns(2, about("photos", told.append)):
        tell(f"server {number}")
    assert told == ["photos: round 1 of 2: server 0", "photos: round 2 of 2: server 1"]
