"""`vdsm-glass play`: a trained model as a page to play with. Sessions know no page, pages no mathematics."""
