"""The papers' tables as data, one YAML file each, and what our runs have reached of them."""
