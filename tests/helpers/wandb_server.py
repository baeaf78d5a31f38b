"""In-memory server with the API of W&B for one sweep, ``wandb sweep`` and its agent."""

import json
from typing import Any

import yaml

from tests.helpers.wandb_cloud import WandbCloud


class SweepServer(WandbCloud):
    """Server for the client of W&B; the package ``sweeps`` of W&B proposes the runs.

    Attributes:
        config: The sweep file sent by the client.
        warnings: Violations of the schema of W&B.
        proposed: The points sent to the agent, in order.
    """

    def __init__(self) -> None:
        super().__init__()
        self.config: dict[str, Any] = {}
        self.warnings: list[str] = []
        self.proposed: list[dict[str, Any]] = []
        self._runs: list[Any] = []

    @property
    def environment(self) -> dict[str, str]:
        """Environment variables that connect the client to this server; runs stay offline."""
        return {**super().environment, "WANDB_MODE": "offline", "WANDB_SILENT": "false"}

    def answer(self, query: str, variables: dict[str, Any]) -> dict[str, Any]:
        """Return the data of the answer to a GraphQL query."""
        if "upsertSweep" in query:
            return {"upsertSweep": {**self._accept(variables), "clientMutationId": None}}
        if "sweep(sweepName" in query:
            sweep = {"id": "s", "name": "swept", "runs": {"edges": []}}
            return {"project": {"sweep": {**sweep, "config": yaml.safe_dump(self.config)}}}
        if "createAgent" in query:
            return {"createAgent": {"agent": {"id": "agent"}}}
        if "agentHeartbeat" in query:
            states = json.loads(variables["runState"])
            commands = [] if states else [self._next()]
            return {"agentHeartbeat": {"agent": {"id": "agent"}, "commands": json.dumps(commands)}}
        return super().answer(query, variables)

    def _accept(self, variables: dict[str, Any]) -> dict[str, Any]:
        from sweeps import schema_violations_from_proposed_config

        self.config = yaml.safe_load(variables["config"])
        self.warnings = schema_violations_from_proposed_config(self.config)
        project = {"id": "p", "name": "zoo", "entity": {"id": "e", "name": "me"}}
        sweep = {"name": "swept", "project": project}
        return {"sweep": sweep, "configValidationWarnings": self.warnings}

    def _next(self) -> dict[str, Any]:
        from sweeps import next_run

        run = next_run(self.config, self._runs)
        if run is None:
            return {"type": "exit"}
        self._runs.append(run)
        self.proposed.append({name: entry["value"] for name, entry in run.config.items()})
        name = f"run{len(self._runs)}"
        program = self.config.get("program")
        return {"type": "run", "run_id": name, "program": program, "args": run.config}
