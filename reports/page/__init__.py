"""One page of a sweep: a self-contained HTML file, and what of a sweep goes into papers.

* `choose`: which points are shown: fronts, and a sample of the others that is the same each time.
* `columns`: what columns are called, which way is better, which of them are axes.
* `breakdown`: area and energy by block, and what bounds each layer, of the points that are shown.
* `commands`: the command lines that realise a point.
* `model`: all of it as one JSON document; `html`: the file around it (`assets/`: markup, style and script).
* `figure`: a front for a paper, one or two columns wide.
"""
