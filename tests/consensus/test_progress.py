"""What a leader believes of a member's log."""

from nanoboost.consensus.progress import Phase, Progress


def probing(match: int) -> Progress:
    progress = Progress(1, 0.0)
    progress.agreed(match)
    progress.probe(match + 1)
    return progress


def test_a_refusal_leads_back_to_where_the_logs_may_agree() -> None:
    progress = Progress(1, 0.0)
    progress.probe(9)
    assert progress.refused(8, 4)
    assert (progress.phase, progress.next) == (Phase.PROBE, 4)


def test_who_denies_what_it_has_acknowledged_is_not_asked_again_at_once() -> None:
    """A machine with an older copy of the disk answers so: seen in the simulator (identity_clash,
    seed 3), 1,700 questions a second and no end."""
    progress = probing(match=8)
    assert not progress.refused(8, 4)
    assert (progress.match, progress.next) == (8, 9)
