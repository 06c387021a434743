from __future__ import annotations

import json

import pytest

from sdd_eval import store
from sdd_eval.errors import InputError
from sdd_eval.records import Card, Measurement, ModelSpec, Recipe, Run, decode, encode

SPEC = ModelSpec("resnet8", 100, (0.5, 0.5, 0.5), (0.2, 0.2, 0.2), 32)


def through_json(record):
    return decode(type(record), json.loads(json.dumps(encode(record))))


def test_records_survive_a_round_trip_through_json():
    recipe = Recipe(sd_dropout=1.0, milestones=(5, 7), method_options={"alpha": 0.1})
    card = Card("a", SPEC, recipe, {"accuracy": 0.5}, "00")
    measured = Measurement("ece", 0.1, "fraction", {"bins": 10}, "ten bins", 0.05, 0.2, 0.95)
    run = Run("a", "00", "cifar100", "11", "calibration", 1, {"bins": 10}, None, 3, (measured,))
    for record in (SPEC, recipe, card, measured, run):
        assert through_json(record) == record


def test_the_json_of_a_run_does_not_contain_its_arrays():
    run = Run("a", "00", "d", "11", "e", 1, {}, None, 3, (), arrays={"logits": [1, 2]})
    assert "arrays" not in encode(run)


def test_an_integer_is_read_as_a_float_field():
    assert decode(Recipe, {"lr": 1}).lr == 1.0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"epochs": "ten"}, "epochs is 'ten', not int"),
        ({"epochs": True}, "epochs is True, not int"),
        ({"lr": [1]}, r"lr is \[1\], not float"),
        ({"direction": "sideways"}, "direction is 'sideways', not one of both, forward, reverse"),
        ({"milestones": 3}, "milestones is 3, not a list"),
        ({"milestones": ["x"]}, "milestones is 'x', not int"),
        ({"epoch": 3}, "Recipe has no field 'epoch'"),
    ],
)
def test_the_error_about_a_wrong_type_names_field_and_file(change, message):
    with pytest.raises(InputError, match=f"card.json: .*{message}|card.json: {message}"):
        decode(Recipe, change, "card.json")


def test_the_error_about_a_missing_field_names_it():
    data = encode(SPEC)
    del data["classes"]
    with pytest.raises(InputError, match="ModelSpec lacks the field 'classes'"):
        decode(ModelSpec, data)


def test_a_record_must_be_a_json_object():
    with pytest.raises(InputError, match="Card must be a JSON object, not list"):
        decode(Card, [])


def test_the_former_name_of_a_field_is_read():
    stored = {**encode(Card("a", SPEC, Recipe(drop_rate=0.3), {}, "00")), "format": 1}
    stored["recipe"]["drop"] = stored["recipe"].pop("drop_rate")
    assert decode(Card, stored).recipe == Recipe(drop_rate=0.3, init="auto")


def test_unknown_keys_of_a_provenance_survive_reading_and_writing(tmp_path):
    stored = {
        "created": "2026-01-02",
        "card": None,
        "data": {"digits": {"origin": "official", "mirror": "ours"}, "early": "unverified"},
        "seed": "seven",
        "site": {"rack": 3},
    }
    card = Card("c", ModelSpec("small_cnn", 10, (0.4,), (0.2,), 8), None, {}, "0", stored)
    run = Run("c", "0", "digits", "1", "accuracy", 1, {}, None, 10, (), stored)
    for record, kind in ((card, Card), (run, Run)):
        store.write_record(tmp_path / "record.json", record)
        again = store.read_record(tmp_path / "record.json", kind)
        assert again == record
        assert again.provenance.created == "2026-01-02"
        assert again.provenance.extra["site"] == {"rack": 3}
    assert run.provenance.data["digits"].extra == {"mirror": "ours"}
    assert run.provenance.data["early"].origin == "unverified"
    assert run.provenance.seed is None, "it is no number"
    written = encode(run)["provenance"]
    assert {key: written[key] for key in ("card", "seed", "site")} == {
        "card": None, "seed": "seven", "site": {"rack": 3},
    }  # fmt: skip
    assert written["data"]["digits"] == {"origin": "official", "mirror": "ours"}
