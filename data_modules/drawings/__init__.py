"""Pictures drawn by our code, where the real ones are missing or too many: see `data_modules/drawings/tiny.py`."""
