"""Confidence intervals in closed form that hold for accurate networks and well-separated outliers.

Most of them are based on two ideas: Wilson's score interval with an effective number of images
(Kish; Korn and Graubard 1998), and square-and-add ("MOVER": Newcombe 1998; Zou and Donner 2008).
When a variance is estimated, one pseudo error is added to it, but never to the estimate, so that a
sample without errors has an interval of positive width. See docs/explanation/intervals.md for their
simulated coverage.
"""
