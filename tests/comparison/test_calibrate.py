"""Calibration: noise recovered from launches made with known noise, stored, used and printed."""

import random
import statistics
from collections.abc import Sequence
from pathlib import Path

import pytest

from comparison import calibrate, noise
from comparison.calibrate import noise_of
from comparison.cell_summary import Metric
from comparison.cli import Question, main
from comparison.noise import Noise
from perf.stats.sequential_test import StoppingRule
from tests.comparison.cases import scaled
from tests.comparison.runs import Made, write_run


@pytest.fixture(autouse=True)
def _state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)


def blocks(launch: float, drift: float, count: int, seed: int) -> list[list[float]]:
    chance = random.Random(seed)
    out = []
    for _ in range(count):
        centre = chance.gauss(0, drift)
        out.append([centre + chance.gauss(0, launch) for _ in range(5)])
    return out


def test_recovers_the_noise_that_was_put_in() -> None:
    found = [noise_of(blocks(0.01, 0.03, 40, seed)) for seed in range(30)]
    assert statistics.fmean(n.launch for n in found) == pytest.approx(0.01, rel=0.25)
    assert statistics.fmean(n.drift for n in found) == pytest.approx(0.03, rel=0.15)
    assert {n.df for n in found} == {8}
    assert noise_of(blocks(0.01, 0.0, 3, 1)).df == 2


def test_a_still_machine_has_no_drift() -> None:
    assert noise_of([[0.0, 0.01, 0.02, 0.01, 0.0]] * 6).drift == 0.0


def launches(count: int, drift: float, seed: int) -> Sequence[float]:
    chance = random.Random(seed)
    return [5 * (1 + drift * chance.random()) * (1 + chance.gauss(0, 0.002)) for _ in range(count)]


def test_a_calibrated_machine_sees_what_the_built_in_bound_does_not(
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_run(Path("result/a"), [Made()])
    write_run(Path("result/b"), [scaled(1.08)])
    assert main(Question.ALL, ["-p", "a", "-c", "b"]) == 0
    write_run(Path("result/aa"), [Made(launch_ms=launches(60, 0.001, 1), runs=20)])
    assert calibrate.main(["--runs", "result/aa"]) == 0
    told = capsys.readouterr().out
    assert "squeezenet::CUDAExecutionProvider/latency_p50: 60 launches" in told
    assert "A/A flagged 0 of" in told
    assert main(Question.ALL, ["-p", "a", "-c", "b"]) == 1
    told = capsys.readouterr().out
    assert "beyond the calibrated noise of this cell" in told
    assert "judged by this machine's noise, calibrated 20" in told


def test_a_cell_that_was_not_calibrated_is_judged_by_the_noisiest_that_was() -> None:
    cells = [
        Made(launch_ms=launches(30, 0.0, 2)),
        Made(model="wild", launch_ms=launches(30, 0.3, 3)),
    ]
    write_run(Path("result/aa"), cells)
    assert calibrate.main(["--runs", "result/aa"]) == 0
    profile = noise.load(noise.machine_id())
    assert profile
    wild, _ = noise.expected(profile, "wild::CUDAExecutionProvider", Metric.P50, canary=False)
    other, where = noise.expected(profile, "other::X", Metric.P50, canary=False)
    assert wild == other
    assert where == "calibrated noise of this machine's noisiest cell"


def test_runs_that_were_not_asked_alike_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    write_run(Path("result/x"), [Made(launch_ms=launches(30, 0, 1))])
    write_run(Path("result/y"), [Made(launch_ms=launches(30, 0, 1), version="1.32")])
    assert calibrate.main(["--runs", "result/x", "result/y"]) == 2
    assert (
        "was not asked alike in these runs (it differs in ep_version)" in capsys.readouterr().err
    )


def test_too_few_launches_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    write_run(Path("result/x"), [Made()])
    assert calibrate.main(["--runs", "result/x"]) == 2
    assert "no cell has 15 launches; raise --launches" in capsys.readouterr().err


def test_no_calibrated_drift_is_believed_below_a_floor() -> None:
    still = noise.Measured(Noise(0.001, 0.0, 8), 60, 12)
    profile = noise.Profile("m", "2026-11-26", {"c/latency_p50": still})
    found, _ = noise.expected(profile, "c", Metric.P50, canary=False)
    assert found.drift == noise.LEAST_DRIFT


def test_the_error_of_the_sequential_rule_is_stated_from_the_profile() -> None:
    measured = noise.Measured(Noise(0.01, 0.01), 60, 12, false_alarms=0.0, comparisons=300)
    profile = noise.Profile("m", "2026-11-26", {"c/latency_p50": measured})
    told = noise.sequential_error(profile, StoppingRule())
    assert "of 300 cells compared with themselves, 0 were flagged and confirmed" in told
    assert "at most 0.99 % with 95 % confidence" in told  # 1 - 0.05 ** (1 / 300)


def test_a_profile_survives_its_file() -> None:
    measured = noise.Measured(Noise(0.01, 0.02, 5), 60, 12, 0.01, 100, 0.03)
    profile = noise.Profile("some-machine", "2026-11-26", {"c/latency_p50": measured})
    where = noise.store(profile)
    assert where.name == "some-machine.json"
    assert noise.load("some-machine") == profile
    assert noise.load("another") is None


def test_it_launches_by_itself_and_the_comparison_then_says_so(
    home: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(home)
    words = ["-m", "models", "-e", "cpu", "--models", "linear", "--launches", "16"]
    assert calibrate.main(words) == 0
    assert "linear::CPUExecutionProvider/latency_p50: 16 launches" in capfd.readouterr().out
    profile = noise.load(noise.machine_id())
    assert profile
    assert profile.cells["linear::CPUExecutionProvider/latency_p50"].groups == 3
    run = next(Path("result").glob("calibrate-*"))
    main(Question.ALL, ["-p", str(run), "-c", str(run)])
    assert "judged by this machine's noise, calibrated 20" in capfd.readouterr().out
