"""Rows from a plan file: nothing lost, shares that sum, commands that repeat the run."""

from dataclasses import replace

import pytest

from planner.plan import Training
from reports.answers import answer
from reports.case import Case
from reports.rows import (
    arena_rows,
    candidate_rows,
    command_lines,
    environment_facts,
    report_line,
    scaling_rows,
    source_rows,
    stems,
    verdict_meaning,
)
from tests.reports.cases import comparison, measured_case, measurement, plan_file


def case(**changes):
    return Case(plans=replace(plan_file(), **changes))


def test_candidates_are_those_of_the_file_with_their_distance_to_the_best():
    rows = candidate_rows(case())
    assert [row["label"] for row in rows] == [ranked.label for ranked in plan_file().plans]
    assert rows[0]["slower_frac"] == 0
    assert all(row["bound_s"] <= row["closed_form_s"] <= row["step_s"] for row in rows)


def test_waste_is_arena_over_live_peak():
    prediction = plan_file().plans[0].prediction
    assert max(row["waste"] for row in arena_rows(case())) == prediction.waste


def test_every_part_of_the_cluster_names_its_source():
    rows = source_rows(case())
    assert {row["kind"] for row in rows} == {"device", "link"}
    assert all(row["source"] for row in rows)
    assert sum(row["count"] for row in rows if row["kind"] == "device") == 4


def test_the_environment_is_flat_text():
    facts = dict(environment_facts(measured_case()))
    assert facts["identity: device"] == "V100"
    assert facts["identity: lanes"] == "4"


def test_commands_repeat_the_question_with_what_differs_from_the_defaults():
    training = Training(batch=64, learning_rate=0.1, seed=7)
    asked = command_lines(case(training=training))[0]
    assert asked == (
        "foreplan plan lenet-5 v100-quad --batch 64 --learning-rate 0.1 --seed 7 --top 3"
        " --software datasheet -o plan.json"
    )


def test_commands_quote_names_for_the_shell():
    assert "'a b;c'" in command_lines(case(model="a b;c"))[0]


def test_commands_of_a_measured_plan_run_and_check_it():
    lines = command_lines(measured_case())
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
    (block,) = answer((case(training=adamw),))
    table, _ = block.tables
    assert "adamw, learning rate 0.001, beta1 0.9, beta2 0.999, epsilon 1e-08" in str(table)
    assert "--optimizer adamw --learning-rate 0.001" in command_lines(case(training=adamw))[0]


def test_a_command_holds_the_search_to_what_it_was_held_to():
    star = comparison()[0]
    assert (
        "--fix algorithm=star --software datasheet -o star.json" in command_lines(star, "star")[0]
    )
    silent = replace(star, plans=replace(star.plans, fixed=None))
    assert "--fix" not in command_lines(silent)[0]
    told = command_lines(silent, "star")[0]
    plan = star.subject.plan
    for choice in (f"microbatch={plan.microbatch}", "algorithm=star", "overlap=o"):
        assert f"--fix {choice}" in told


def test_the_page_of_a_comparison_is_made_from_the_files_of_its_commands():
    files = stems(comparison())
    assert len(set(files)) == 3
    line = report_line(comparison())
    made = [
        command.split()[-1]
        for case, stem in zip(comparison(), files, strict=True)
        for command in command_lines(case, stem)
        if " -o " in command
    ]
    assert line.split()[2:-2] == made


def test_efficiency_is_speedup_by_workers_and_only_the_plan_itself_is_measured():
    rows = scaling_rows(measured_case())
    assert rows[0]["efficiency_frac"] == rows[0]["speedup"] == 1
    for row in rows:
        assert row["efficiency_frac"] == pytest.approx(row["speedup"] / row["workers"])
    assert [row["measured_s"] is None for row in rows] == [True, False, True]


def test_what_can_be_has_no_reason_against_it():
    assert verdict_meaning("fits") == verdict_meaning("something else") == ""
    assert "static arena" in verdict_meaning("out_of_memory")
