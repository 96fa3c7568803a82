"""Weights & Biases without questions: if there is no account, it logs to the run folder."""

from __future__ import annotations

import netrc
import os
import secrets
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

from lightning.pytorch.loggers import WandbLogger
from lightning.pytorch.utilities import rank_zero_only

ID_FILE = "wandb_id"
CLOUD = "https://api.wandb.ai"
# If a login takes longer, logging is offline.
LOGIN_SECONDS = 10


class RunWandbLogger(WandbLogger):
    """Logs to W&B if there is an account, else offline under `<run>/wandb`, for `wandb sync` to send.

    WANDB_MODE takes precedence if it is set. The W&B run's id is kept in `<run>/wandb_id`, so that a resumed run and
    later tests log to the same W&B run.

    Args:
        project: W&B project.
        entity: W&B user or team; by default the account's own.
        group: groups runs on W&B's page.
        tags: W&B tags.
        folder: where it writes, by default the run folder, which the command line sets by `enter`.
    """

    def __init__(
        self,
        project: str = "vdsm-glass",
        entity: str | None = None,
        group: str | None = None,
        tags: list[str] | None = None,
        folder: str | None = None,
    ) -> None:
        super().__init__(project=project, entity=entity, group=group, tags=tags, save_dir=folder or ".")
        # W&B has removed this argument and warns about it.
        self._wandb_init.pop("anonymous", None)
        self._id_home = Path(folder) if folder else None

    def enter(self, folder: Path, *, run: Path | None = None, config: dict[str, Any] | None = None) -> None:
        """Sets the folder.

        Args: run, the run folder whose W&B run this belongs to, by default `folder`; config, shown by W&B.
        """
        self._save_dir = str(folder)
        self._id_home = run or folder
        home = self._id_home.absolute()
        name = "/".join(home.parts[-3:])
        self._wandb_init |= {"dir": str(folder), "name": self._name or name, "config": config}

    @property
    def experiment(self) -> Any:
        """The W&B run, which starts when it is first used, on the first process only."""
        if self._experiment is None and rank_zero_only.rank == 0:
            self._begin()
        return super().experiment

    def _begin(self) -> None:
        import wandb

        home = self._id_home or Path(self._save_dir or ".")
        id_file = home / ID_FILE
        stored = id_file.read_text(encoding="utf-8").strip() if id_file.is_file() else secrets.token_hex(4)
        # A sweep's agent sets the id.
        self._id = self._wandb_init["id"] = os.environ.get("WANDB_RUN_ID") or stored
        Path(self._wandb_init["dir"]).mkdir(parents=True, exist_ok=True)
        self._wandb_init["mode"] = mode = chosen_mode()
        self._wandb_init["settings"] = wandb.Settings(init_timeout=LOGIN_SECONDS, console="off")
        if mode == "online":
            try:
                self._experiment = super().experiment
            except wandb.Error as error:
                print(
                    f"W&B cannot be reached ({error}); logging offline to {self._wandb_init['dir']}/wandb",
                    file=sys.stderr,
                )
                self._wandb_init["mode"] = "offline"
                # Its service would not start the same run a second time.
                wandb.teardown()
        home.mkdir(parents=True, exist_ok=True)
        id_file.write_text(f"{self._id}\n", encoding="utf-8")


def chosen_mode() -> str:
    """WANDB_MODE if it is set, else `online` with an account and `offline` without one."""
    return os.environ.get("WANDB_MODE") or ("online" if has_account() else "offline")


def has_account() -> bool:
    """Whether the environment or the netrc file has a key, so that W&B can log in without asking."""
    if os.environ.get("WANDB_API_KEY") or os.environ.get("WANDB_IDENTITY_TOKEN_FILE"):
        return True
    host = urlparse(os.environ.get("WANDB_BASE_URL", CLOUD)).hostname or ""
    by_default = [Path.home() / ".netrc", Path.home() / "_netrc"]
    candidates = [Path(os.environ["NETRC"])] if "NETRC" in os.environ else by_default
    for file in filter(Path.is_file, candidates):
        try:
            if netrc.netrc(str(file)).authenticators(host):
                return True
        except netrc.NetrcParseError as error:
            print(f"{file} cannot be read ({error}); W&B logs offline", file=sys.stderr)
    return False
