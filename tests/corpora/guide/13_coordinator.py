# Final coordinator run (runs after all workers complete)
import wandb

run = wandb.init(
    project="distributed-processing",
    job_type="finalize",
    group="batch_42"
)

# Finalize the artifact (locks version)
final_artifact = wandb.Artifact(
    name="processed_results",
    type="dataset",
    metadata={"workers": 8, "batch_id": 42}
)

run.finish_artifact(
    final_artifact,
    distributed_id="batch_42"
)

run.finish()
