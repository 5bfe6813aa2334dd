"""Early lock release loses nothing that was acknowledged, though the rows that all wait for are free before the disk has the commit."""

from bench.crash import crash_under_load


def test_no_acknowledged_payment_is_lost_when_the_server_stops_under_load() -> None:
    report = crash_under_load(crashes=2, payments=80, cashiers=3)

    assert report.acknowledged > 0
    assert report.lost == ()
    assert report.broken == ()
    assert report.stored >= report.acknowledged
