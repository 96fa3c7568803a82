"""GLASS on any video: what a video shows, the recipe that follows from it, and a page that shows what is learned."""

PAGE, FINDINGS, LEARNED = "page.html", "findings.json", "learned.json"
"""Files: the page and what was seen, in the folder of `learn`; the numbers, in the run's."""
