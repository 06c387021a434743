"""A table of the paper as LaTeX (booktabs): each cell the paper's number, then the measured one."""

from __future__ import annotations

from collections.abc import Sequence

from sdd_eval.paper.comparison import Beside
from sdd_eval.paper.rows import READ_AS, TITLES, Line, lines, shown
from sdd_eval.paper.tables import PaperNumber

_LATEX = {"&": r"\&", "%": r"\%", "_": r"\_", "#": r"\#", "λ": r"$\lambda$", "ε": r"$\epsilon$"}
_SIGNS = {"−": "$-$", "±": r"$\pm$", "—": "--", "↑": r"$\uparrow$", "↓": r"$\downarrow$"}
#: What of a number says its row; the rest says its column.
_ROWS = {
    **{5: ("dataset",), 6: ("corruption",), 7: ("outliers", "method"), 8: ("metric",)},
    **{10: ("model",), 14: ("lambda",)},
}
_NAMES = {
    **{"ce": "CE", "ls": "LS", "cs_kd": "CS-KD", "ddgsd": "DDGSD", "byot": "BYOT", "dml": "DML"},
    **{"dropout": "Dropout", "cifar100": "CIFAR-100", "cifar100_c": "CIFAR-100-C"},
    **{"cub200": "CUB-200-2011", "stanford_dogs": "Stanford Dogs", "imagenet": "ImageNet"},
    **{"accuracy": "Accuracy", "accuracy_top5": "Top-5", "ece": "ECE", "mca": "mean"},
    **{"fgsm_accuracy": "FGSM", "auroc": "AUROC", "fpr_at_95_tpr": "FPR95"},
    **{"aupr_in": "AUPR in", "aupr_out": "AUPR out", "map": "mAP", "map50": "mAP@0.5"},
}


def latex(table: int, besides: Sequence[Beside]) -> str:
    """The table; the real best of each contest in bold, among the paper's and the measured alike.

    `\\usepackage{booktabs}` is all that it needs.
    """
    of_table = lines([each for each in besides if each.number.table == table])
    rows = list(dict.fromkeys(_row(line.beside.number) for line in of_table))
    columns = list(dict.fromkeys(_column(line.beside.number) for line in of_table))
    cells = {(_row(n), _column(n)): line for line in of_table for n in [line.beside.number]}
    header = " & ".join(["", *(rf"\multicolumn{{2}}{{c}}{{{_escaped(c)}}}" for c in columns)])
    rules = " ".join(rf"\cmidrule(lr){{{2 * i + 2}-{2 * i + 3}}}" for i in range(len(columns)))
    body = [
        " & ".join([_escaped(row), *(_cell(cells.get((row, column))) for column in columns)])
        for row in rows
    ]
    return "\n".join(
        [
            f"% Table {table}: {TITLES[table]}. Paper | measured here; best in bold.",
            *([f"% Read as: {READ_AS[table]}"] if table in READ_AS else []),
            rf"\begin{{tabular}}{{l{'rr' * len(columns)}}}",
            r"\toprule",
            rf"{header} \\",
            rules,
            " & ".join(["", *["Paper", "Here"] * len(columns)]) + r" \\",
            r"\midrule",
            *(rf"{line} \\" for line in body),
            r"\bottomrule",
            r"\end{tabular}",
            *_notes(of_table),
            "",
        ]
    )


def _cell(line: Line | None) -> str:
    """The paper's number and the measured one; † is one that is not comparable."""
    if line is None:
        return " & "
    number, measured = line.beside.number, line.beside.measured
    paper = _bold(_escaped(shown(number, number.value)), line.leads)
    here = _bold(_escaped(shown(number, measured.mean)), line.measured_leads)
    if measured.n > 1:
        here += _escaped(f" ± {shown(number, measured.std)}")
    mark = {"reproduced": r"$^{\checkmark}$", "not comparable": r"$^{\dagger}$"}
    return f"{paper} & {here}{mark.get(line.beside.judged.verdict, '')}"


def _notes(of_table: Sequence[Line]) -> list[str]:
    """Comments below the table: what is not comparable, and why."""
    said = [why for line in of_table for why in line.beside.judged.why]
    return [f"% not comparable or too few: {why}" for why in dict.fromkeys(said)]


def _bold(text: str, leads: bool) -> str:
    return rf"\textbf{{{text}}}" if leads else text


def _parts(number: PaperNumber) -> dict[str, str]:
    """All that tells a number from the others of its table, in words."""
    method = _NAMES[number.method] + (" + SD-Dropout" if number.sd_dropout else "")
    fixed = ("bins", "detector", "epsilon") if number.table != 4 else ()
    at = {name: str(value) for name, value in number.at.items() if name not in fixed}
    return {
        "dataset": _NAMES.get(number.dataset, number.dataset),
        "model": number.model,
        "method": method,
        "metric": _NAMES.get(number.metric, number.metric.replace("_", " ")),
        **at,
    }


def _row(number: PaperNumber) -> str:
    """The row of a number: its method with what is special in it, unless the table says else."""
    parts = _parts(number)
    if number.table in _ROWS:
        found = [parts[name] for name in _ROWS[number.table] if name in parts]
        return ", ".join(found or [parts["metric"]]).replace("_", " ")
    special = [f"{name} {parts[name]}" for name in _SPECIAL if name in parts]
    return parts["method"] + (f" ({', '.join(special)})" if special else "")


_SPECIAL = ("direction", "position", "variant", "hidden_layers")
#: What a column says, table by table; elsewhere the data set.
_COLUMNS = {
    **{2: ("metric",), 3: ("metric",), 4: ("metric", "epochs"), 5: ("method",), 6: ("method",)},
    **{7: ("metric",), 8: ("epoch",), 10: ("method",), 14: ("drop",)},
}


def _column(number: PaperNumber) -> str:
    parts = _parts(number)
    named = _COLUMNS.get(number.table, ("dataset",))
    words = {"epoch": "epoch ", "drop": "drop ", "epochs": "epochs "}
    return ", ".join(words.get(name, "") + parts[name] for name in named if name in parts)


def _escaped(text: str) -> str:
    for sign, word in {**_LATEX, **_SIGNS}.items():
        text = text.replace(sign, word)
    return text
