"""The paper's printed numbers and claims, and their comparison with measured ones.

Lee, Park, Seo, Kang (2022), "Self-Knowledge Distillation via Dropout", arXiv 2208.05642. Importing
this package does not load torch.
"""

from sdd_eval.paper.comparison import PaperComparison, compare_with_paper
from sdd_eval.paper.tables import PaperNumber, paper_frame, paper_numbers

__all__ = ["PaperComparison", "PaperNumber", "compare_with_paper", "paper_frame", "paper_numbers"]
