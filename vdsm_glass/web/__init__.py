"""`vdsm-glass export MODEL --web DIR`: a trained model as a page that any static host serves and the browser runs."""
