"""The paper's numbers and claims, to stand beside measured ones; torch stays unloaded."""

from sdd_eval.paper.comparison import Beside, set_beside
from sdd_eval.paper.tables import PaperNumber, paper_frame, paper_numbers

__all__ = ["Beside", "PaperNumber", "paper_frame", "paper_numbers", "set_beside"]
