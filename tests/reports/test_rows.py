"""Rows from a plan file: nothing lost, shares that sum, commands that repeat the run."""

from dataclasses import replace

import pytest

from planner.plan import Training
from reports.answers import question
from reports.case import Case, layout
from reports.rows import (
    arena_rows,
    candidate_rows,
    command_lines,
    environment_facts,
    grade_rows,
    memory_rows,
    search_rows,
    source_rows,
    verdict_rows,
)
from tests.reports.cases import measurement, plan_file


def case(**changes):
    return Case(plans=replace(plan_file(), **changes), measured=None)


def test_candidates_are_those_of_the_file_with_their_distance_to_the_best():
    rows = candidate_rows(plan_file())
    assert [row["label"] for row in rows] == [ranked.label for ranked in plan_file().plans]
    assert rows[0]["slower_frac"] == 0
    assert all(row["bound_s"] <= row["closed_form_s"] <= row["step_s"] for row in rows)


def test_the_certificate_accounts_for_every_candidate():
    proof = plan_file().certificate
    assert sum(row["count"] for row in verdict_rows(plan_file())) == proof.candidates
    assert sum(row["count"] for row in search_rows(plan_file())) == proof.by_verdict["fits"]


def test_memory_is_the_arena_of_rank_0_and_waste_is_arena_over_live_peak():
    prediction = plan_file().plans[0].prediction
    rows = memory_rows(prediction)
    assert sum(row["bytes"] for row in rows) == prediction.arena_bytes[0]
    assert sum(row["frac"] for row in rows) == pytest.approx(1)
    assert max(row["waste"] for row in arena_rows(prediction)) == prediction.waste


def test_grades_share_the_critical_path():
    rows = grade_rows(plan_file().plans[0].prediction)
    assert sum(row["frac"] for row in rows) == pytest.approx(1)
    assert all(row["meaning"] for row in rows)


def test_every_part_of_the_cluster_names_its_source():
    rows = source_rows(case())
    assert {row["kind"] for row in rows} == {"device", "link"}
    assert all(row["source"] for row in rows)
    assert sum(row["count"] for row in rows if row["kind"] == "device") == 4


def test_the_environment_is_flat_text():
    facts = dict(environment_facts(Case(plans=plan_file(), measured=measurement())))
    assert facts["identity: device"] == "V100"
    assert facts["identity: lanes"] == "4"


def test_commands_repeat_the_question_with_what_differs_from_the_defaults():
    training = Training(batch=64, learning_rate=0.1, seed=7)
    asked = command_lines(case(training=training))[0]
    assert asked == (
        "foreplan plan lenet-5 v100-quad --batch 64 --learning-rate 0.1 --seed 7 --top 3"
        " -o plan.json"
    )


def test_commands_quote_names_for_the_shell():
    assert "'a b;c'" in command_lines(case(model="a b;c"))[0]


def test_commands_of_a_measured_plan_run_and_check_it():
    lines = command_lines(Case(plans=plan_file(), measured=measurement()))
    assert "foreplan execute plan.json --steps 20 --check -o measurement.json" in lines
    assert "foreplan data digits" in lines


def test_commands_write_the_records_of_the_model_and_warm_up_as_long():
    imagenet, measured = replace(plan_file(), model="resnet-18"), measurement()
    once = replace(measured.executions[0], steps=30)
    measured = replace(measured, model="resnet-18", executions=(once,))
    lines = command_lines(Case(plans=imagenet, measured=measured))
    assert "foreplan data synthetic --shape 3x224x224 --classes 1000" in lines
    assert any("--steps 30 --warmup 0" in line for line in lines)


def test_an_optimizer_is_told_with_the_settings_that_it_takes():
    adamw = Training(batch=64, optimizer="adamw", learning_rate=0.001)
    (table,) = question(case(training=adamw)).tables
    assert "adamw, learning rate 0.001, beta1 0.9, beta2 0.999, epsilon 1e-08" in str(table)
    assert "--optimizer adamw --learning-rate 0.001" in command_lines(case(training=adamw))[0]


def test_a_layout_reads_as_words():
    plan = plan_file().plans[0].plan
    alone = replace(plan, workers=1, algorithm="none", placement=(0,), microbatch=64)
    assert layout(alone) == "1 worker, microbatch 64, no exchange"
    pair = replace(plan, workers=2, algorithm="star", microbatch=32, overlap=True)
    assert layout(pair) == "2 workers, microbatch 32, star exchange overlapped"
