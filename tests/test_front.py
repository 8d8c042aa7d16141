"""What clients may say to a node."""

from typing import Any

import pytest

from nanoboost.consensus.counters import Counters, Duration
from nanoboost.errors import RemoteError
from nanoboost.front import Front
from nanoboost.ids import JobId, NodeId
from nanoboost.wire.codec import Catalog
from nanoboost.wire.messages import NotMaster, RequestRefused, Submitted
from nanoboost.wire.operating import OPERATING, CountersReport, GetCounters, Measure


@pytest.mark.parametrize(
    "answer",
    [Submitted(1, JobId("job")), NotMaster(1, "", 0), RequestRefused(1, "why")],
)
def test_an_answer_is_no_question_and_reaches_nobody(answer: Any) -> None:
    node: Any = None  # touching it would be an AttributeError
    session: Any = None
    with pytest.raises(RemoteError, match="is no question"):
        Front(node).answer(session, answer)


def test_counters_are_asked_of_the_node_itself_and_are_numbers_with_names() -> None:
    class Counting:
        counters = Counters(elections_won=2)

        def gauges(self) -> Duration:
            return Duration(count=3)

    class Asked:
        me = NodeId("1" * 16)
        consensus = Counting()

    said: list[CountersReport] = []

    class Asker:
        send = staticmethod(said.append)

    node: Any = Asked()
    session: Any = Asker()
    Front(node).answer(session, GetCounters(7))
    (report,) = said
    assert (report.request, report.node) == (7, Asked.me)
    assert Measure("elections_won", 2.0) in report.measures
    assert Measure("count", 3.0) in report.measures
    assert Catalog(OPERATING).decode(Catalog(OPERATING).encode(report)) == report
