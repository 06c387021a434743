"""Confidence intervals in closed form that hold for accurate networks and well-separated outliers.

Two ideas make most of them: Wilson's score interval with an effective number of images (Kish;
Korn and Graubard 1998), and square-and-add ("MOVER": Newcombe 1998; Zou and Donner 2008). Where a
variance is estimated, one pseudo error is added to it, never to the estimate, so that a sample
without errors has an interval of positive width. docs/explanation/intervals.md has their
simulated coverage.
"""
