"""`fit`, `validate`, `test` and `predict`: their help and their misspelt options, before Lightning is imported."""

from __future__ import annotations

from vdsm_glass import recipes
from vdsm_glass.commands.config_errors import ConfigChecker

EVERYTHING = "--help=all"

HELP = """usage: vdsm-glass {command} --config RECIPE.yaml [--config OVERLAY.yaml ...] [--OPTION VALUE ...]

{about}

A recipe is a YAML file; further --config files and dotted options are laid over it, the last one wins:
  --config FILE                  a recipe, such as experiments/vdsm/sprites_pretrain.yaml, or what is laid over one
  --run.dir DIR --run.name NAME  where the run is written: DIR/NAME/version_N (default: runs, the recipe's name)
  --ckpt_path last|best|FILE     {checkpoint}
  --model.NAME VALUE             an argument of the model, such as --model.learning_rate 5e-4
  --data.NAME VALUE              an argument of the dataset, such as --data.batch_size 8, --data.root DIR
  --trainer.NAME VALUE           an argument of Lightning's Trainer, such as --trainer.max_epochs 10
  --checkpoint.NAME VALUE        when checkpoints are written;  --nan_guard.skip N  how many NaN steps are passed over
  --evaluation.NAME VALUE        what `test` scores: metrics, protocols, max_clips, weights, stand_ins
  --seed_everything N            the seed of everything random (default: 0)
  --print_config                 print the whole config with its comments, and stop

`vdsm-glass {command} {everything}` lists every option; `--model.help CLASS` and `--data.help CLASS` those of one class,
such as `--data.help data_modules.Pendulum`.
"""
ABOUT = {
    "fit": "Trains the model of a recipe.",
    "validate": "Makes one pass over the validation split and prints the losses.",
    "test": "Makes one pass over the test split; writes numbers and pictures beside the checkpoint.",
    "predict": "Writes the model's outputs for the test split beside the checkpoint.",
}


def main(argv: list[str]) -> int:
    """The command; `argv` begins with its word.  Raises: UserError."""
    command, *options = argv
    if options in (["-h"], ["--help"]):
        checkpoint = "the run to go on with" if command == "fit" else "the trained model"
        text = HELP.format(command=command, about=ABOUT[command], checkpoint=checkpoint, everything=EVERYTHING)
        print(text, end="")
        return 0
    expanded = recipes.expand(options)
    ConfigChecker(command, recipes.configs_in(expanded)).check_names(expanded)

    from vdsm_glass.commands.train import main as run

    return run([command, *("--help" if option == EVERYTHING else option for option in options)])
