import logging

import pytest
from earthprobe import progress
from earthprobe.progress import Progress, duration


def test_it_says_how_much_how_fast_and_how_long(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture):
    clock = iter([0.0, 4.0, 20.0, 25.0, 40.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    caplog.set_level(logging.INFO)
    counter = Progress(logging.getLogger("test"), 4000)
    for _ in range(4):
        counter.add(1000)
    assert caplog.messages == [
        "2,000 of 4,000 patches, 100.0 a second, 20 s left",
        "4,000 of 4,000 patches, 100.0 a second, 0 s left",
    ]


def test_a_slow_rate_is_a_minute_s(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture):
    clock = iter([0.0, 100.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    caplog.set_level(logging.INFO)
    Progress(logging.getLogger("test"), 100, "trees").add(4)
    assert caplog.messages == ["4 of 100 trees, 2.4 a minute, 40 min left"]


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0 s"), (89, "89 s"), (90, "2 min"), (3600, "60 min"), (12_000, "3 h 20 min")]
)
def test_duration(seconds: float, text: str):
    assert duration(seconds) == text
