"""What clients may say to a node."""

from typing import Any

import pytest

from nanoboost.errors import RemoteError
from nanoboost.front import Front
from nanoboost.ids import JobId
from nanoboost.wire.messages import NotMaster, RequestRefused, Submitted


@pytest.mark.parametrize(
    "answer",
    [Submitted(1, JobId("job")), NotMaster(1, "", 0), RequestRefused(1, "why")],
)
def test_an_answer_is_no_question_and_reaches_nobody(answer: Any) -> None:
    node: Any = None  # touching it would be an AttributeError
    session: Any = None
    with pytest.raises(RemoteError, match="is no question"):
        Front(node).answer(session, answer)
