from __future__ import annotations

import json

import pytest

from sdd_eval import store
from sdd_eval.errors import InputError
from sdd_eval.protocol import Protocol
from sdd_eval.records import RUN_FORMAT, Measurement, Run, decode, encode

ONE = Protocol({"attack": "FGSM", "temperature": "T, fitted by NLL"})


def run_of(*protocols):
    numbers = [
        Measurement(f"m{i}", 0.5, "fraction", {}, protocol, fitted={"T": f"{i}"})
        for i, protocol in enumerate(protocols)
    ]
    return Run("c", "00", "digits", "11", "fgsm", 1, {}, None, 10, tuple(numbers))


def test_a_protocol_is_an_ordered_mapping_of_its_conditions():
    assert dict(ONE) == {"attack": "FGSM", "temperature": "T, fitted by NLL"}
    assert list(ONE) == ["attack", "temperature"]
    assert Protocol({"attack": "FGSM", "note": ""}) == Protocol({"attack": "FGSM"})


def test_protocols_are_equal_if_their_texts_are():
    same, other = Protocol("FGSM; T, fitted by NLL"), Protocol({"attack": "PGD"})
    assert same == ONE
    assert (ONE.id, hash(ONE)) == (same.id, hash(same))
    assert other != ONE
    assert ONE.id != other.id
    assert ONE != "FGSM; T, fitted by NLL"


def test_a_number_without_conditions_has_an_empty_id():
    assert (Protocol().id, Protocol().text, len(Protocol(""))) == ("", "", 0)


def test_a_plain_text_of_a_plugin_is_one_condition():
    number = Measurement("m", 0.5, "fraction", {}, "lead of the largest logit")
    assert dict(number.protocol) == {"protocol": "lead of the largest logit"}


def test_a_run_has_a_table_of_protocols_and_its_numbers_their_ids():
    run = run_of(ONE, ONE, "another", "")
    stored = json.loads(json.dumps(encode(run)))
    assert stored["protocols"] == {
        ONE.id: dict(ONE),
        Protocol("another").id: {"protocol": "another"},
    }
    assert [number["protocol"] for number in stored["measurements"]][1::2] == [ONE.id, ""]
    read = decode(Run, stored)
    assert read == run
    assert read.measurements[0].protocol is read.measurements[1].protocol


@pytest.mark.parametrize("protocol", ["0123456789ab", 3, None, ["a"]])
def test_an_id_that_the_run_does_not_have_is_refused(protocol):
    stored = encode(run_of(ONE))
    stored["measurements"][0]["protocol"] = protocol
    with pytest.raises(InputError, match=r"protocol is .*, not the id of a protocol"):
        decode(Run, stored, "file")


@pytest.mark.parametrize("table", [None, [], {"a": "text"}, {"a": {"b": 1}}])
def test_a_run_with_a_broken_table_of_protocols_is_refused(table):
    stored = {**encode(run_of(ONE)), "protocols": table}
    with pytest.raises(InputError, match=r"^file: protocols: Expected"):
        decode(Run, stored, "file")


@pytest.mark.parametrize(
    ("sentence", "text", "fitted"),
    [
        (
            "logits divided by T = 0.05, a bound of the range, fitted by NLL; ε = 0.2",
            "logits divided by T, fitted by NLL; ε = 0.2",
            {"T": "0.05, a bound of the range"},
        ),
        (
            "T cross-fitted: the first's T = 1.2, fitted by NLL, the second's T = 3e+04, fitted",
            "T cross-fitted: the first's T, fitted by NLL, the second's T, fitted",
            {"the first's T": "1.2", "the second's T": "3e+04"},
        ),
        (
            "ODIN; T = 1000, fitted, and ε = 0.0014, fitted: the step",
            "ODIN; T, fitted, and ε, fitted: the step",
            {"T": "1000", "ε": "0.0014"},
        ),
        ("FGSM beats PGD; not raised at any size", "FGSM beats PGD", {}),
        (
            "FGSM beats PGD; raised: ε = 1/255 at T one, ε = 2/255 at T one",
            "FGSM beats PGD",
            {"raised": "ε = 1/255 at T one, ε = 2/255 at T one"},
        ),
        (
            "ε = 1/255; of the 812 images, before any attack, that b too classifies rightly: right",
            "ε = 1/255; of the images, before any attack, that b too classifies rightly: right",
            {"images": "812"},
        ),
        (
            "transfer (PGD-50, one start each, on a-seed0); an image",
            "transfer (PGD-50, one start each, on another network); an image",
            {"transferred from": "a-seed0"},
        ),
        ("logits divided by T = 1; ε = 0.2", "logits divided by T = 1; ε = 0.2", {}),
    ],
)
def test_a_run_of_format_1_is_read_with_separate_fitted_values(tmp_path, sentence, text, fitted):
    stored = encode(run_of("x"))
    (number,) = stored["measurements"]
    number["protocol"] = sentence
    del number["fitted"], stored["protocols"]
    path = tmp_path / "run.json"
    path.write_text(json.dumps({**stored, "format": 1}))
    run = store.read_run(path)
    assert run.format == RUN_FORMAT
    assert run.measurements[0].protocol.text == text
    assert run.measurements[0].fitted == fitted
    store.write_record(path, run)
    assert store.read_run(path) == run
