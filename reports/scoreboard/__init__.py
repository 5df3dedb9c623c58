"""The scoreboard: published numbers beside ours, every one computed again by one command (``hwgen reproduce``).

- `reports.scoreboard.number`: what a published number is, where it stands, and how ours is got (`Measure`).
- `reports.scoreboard.measures`: the ways to get ours; the same for all papers.
- `reports.scoreboard.papers`: a module a paper, found by scanning the folder: adding a paper is adding a file.
- `reports.scoreboard.board`: runs them, keeps what was measured, reads and writes the committed results.
- `reports.scoreboard.page`: the page, its plot, and ``python -m reports.scoreboard``.
"""
